//! `claviger audit`.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use claviger_server::config::Config;
use claviger_wire::ledger::Event;
use serde::Serialize;

use super::{block_on, online, tail::Tail, tlog, verify};
use crate::{
    args::{
        Global,
        audit::{AuditCommand, ExportArgs, ExportFormat, FilterArgs, QueryArgs, RotateKeyArgs},
    },
    client::{Client, Query},
    error::Failure,
    output::{Cell, Output, Table, Tone},
    text::{duration, or_dash},
};

/// How often the progress of an export is shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Carries out one of the commands.
pub(super) fn run(command: AuditCommand, global: &Global, out: &Output) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { filter, follow } => online(global, out, async |client| {
            let tail = Tail::new(conditions(*filter), &client, out);
            tail.run(follow).await
        }),
        AuditCommand::Query(args) => {
            online(global, out, async |client| query(args, &client, out).await)
        }
        AuditCommand::Export(args) if args.format == ExportFormat::Tlog => {
            let cosigned = args.cosigned;
            let folder = folder(args)?;
            online(global, out, async |client| {
                tlog::export(&folder, cosigned, &client, out).await
            })
        }
        AuditCommand::Export(args) if args.cosigned => Err(Failure::Usage(
            "--cosigned is for --format tlog: lines have no checkpoint".to_owned(),
        )),
        AuditCommand::Export(args) => {
            online(global, out, async |client| export(args, &client, out).await)
        }
        AuditCommand::RotateKey(args) => rotate_key(&args, out),
        AuditCommand::Verify(args) => verify::run(&args, global, out),
    }
}

/// The folder of an export, which has no parts that could be left out.
fn folder(args: ExportArgs) -> Result<PathBuf, Failure> {
    if args.since.is_some() || args.until.is_some() {
        let reason = "--format tlog writes the whole trail: leave out --since and --until";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let missing = || Failure::Usage("--format tlog needs a folder: -o DIR".to_owned());
    args.output.ok_or_else(missing)
}

#[derive(Serialize)]
struct RotatedKeys {
    file: String,
    keys: usize,
}

fn rotate_key(args: &RotateKeyArgs, out: &Output) -> Result<(), Failure> {
    let config =
        Config::load(&args.data.flags()).map_err(|error| Failure::Usage(error.to_string()))?;
    let file = config.ledger_key_file.display().to_string();
    let keys = block_on(tokio::runtime::Builder::new_multi_thread(), async {
        claviger_server::rotate_log_key(config, args.finish)
            .await
            .map_err(|error| Failure::Local(error.to_string()))
    })?;
    out.show(&RotatedKeys { file, keys }, |rotated| {
        let mut table = Table::fields();
        table.field("keys", rotated.keys.to_string());
        table.field("file", rotated.file.as_str());
        table
    })?;
    if !args.finish {
        out.note(
            "start the server: from then on the new key signs, and the older ones too. Give those who \
             verify the new one (GET /org/audit/key), then: claviger audit rotate-key --finish",
        );
    }
    Ok(())
}

fn named<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> Query {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn conditions(filter: FilterArgs) -> Query {
    named([
        ("actor", filter.actor),
        ("token", filter.token),
        ("under", filter.under),
        ("about", filter.about),
        ("workspace", filter.workspace),
        ("route", filter.route),
        ("method", filter.method),
        ("status", filter.status),
        ("since", filter.since),
        ("until", filter.until),
    ])
}

async fn query(args: QueryArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = Some(args.limit);
    let list = client.list_events(conditions(args.filter), limit).await?;
    out.show(&list, |list| table(&list.events))?;
    if list.next_cursor.is_some() {
        out.note("there are more; give a larger --limit, or a narrower filter");
    }
    Ok(())
}

pub(super) fn table(events: &[Event]) -> Table {
    let mut table = Table::new(&[
        "TIME", "ACTOR", "METHOD", "PATH", "STATUS", "DURATION", "CODE",
    ]);
    for event in events {
        table.row([
            event.time.as_str().into(),
            event.actor.as_str().into(),
            event.method.as_str().into(),
            event.path.as_str().into(),
            Cell::toned(event.status.to_string(), Tone::of_status(event.status)),
            duration(event.duration_us).into(),
            or_dash(event.code.as_deref()).into(),
        ]);
    }
    table
}

async fn export(args: ExportArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let mut query = vec![("format", "jsonl".to_owned())];
    query.extend(named([("since", args.since), ("until", args.until)]));
    let Some(path) = args.output else {
        let mut progress = Progress::new(out, !out.is_terminal());
        client
            .export_events(&query, |piece| {
                out.raw(piece)?;
                progress.add(piece);
                Ok(())
            })
            .await?;
        progress.end();
        return Ok(());
    };
    tokio::select! {
        ended = export_to(&path, &query, client, out) => ended,
        _interrupted = tokio::signal::ctrl_c() => {
            Err(Failure::Local(format!("interrupted: {} was not written", path.display())))
        }
    }
}

/// Writes beside the file and renames at the end, so that the file is whole or as it was. An
/// unfinished file is removed when it is dropped.
async fn export_to(
    path: &Path,
    query: &Query,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::Local(format!("cannot write {}: {error}", path.display()));
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".claviger-export-")
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let mut progress = Progress::new(out, true);
    client
        .export_events(query, |piece| {
            file.write_all(piece).map_err(failed)?;
            progress.add(piece);
            Ok(())
        })
        .await?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    progress.end();
    Ok(())
}

/// Says on a terminal how much has arrived.
pub(super) struct Progress<'a> {
    out: &'a Output,
    is_shown: bool,
    records: u64,
    bytes: u64,
    shown_at: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(out: &'a Output, is_shown: bool) -> Self {
        let is_shown = is_shown && out.is_stderr_terminal();
        Self {
            out,
            is_shown,
            records: 0,
            bytes: 0,
            shown_at: Instant::now(),
        }
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        if !self.is_shown {
            return;
        }
        let lines = piece.iter().filter(|byte| **byte == b'\n').count();
        self.records += u64::try_from(lines).unwrap_or(u64::MAX);
        self.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if self.shown_at.elapsed() >= PROGRESS_PAUSE {
            self.shown_at = Instant::now();
            self.out.progress(&self.words());
        }
    }

    pub(super) fn end(&self) {
        if self.is_shown {
            self.out.progress("");
            self.out.note(&self.words());
        }
    }

    fn words(&self) -> String {
        let tenths = self.bytes * 10 / (1024 * 1024);
        format!(
            "{} records, {}.{} MiB",
            self.records,
            tenths / 10,
            tenths % 10
        )
    }
}
