//! `claviger audit`.

use std::{
    collections::HashSet,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use claviger_wire::ledger::Event;

use crate::{
    args::audit::{AuditCommand, ExportArgs, QueryArgs},
    client::{Client, Query},
    error::{Exit, Failure},
    output::{Cell, Output, Table, Tone},
    text::{duration, event_line, or_dash},
};

/// How many records `tail` begins with.
const TAIL_EVENTS: usize = 20;
/// How long `tail` waits between two looks.
const TAIL_PAUSE: Duration = Duration::from_secs(1);
/// How often the progress of an export is shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Carries out one of the commands.
pub(super) async fn run(
    command: AuditCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { follow: false } => Tail::new(client, out).begin().await,
        AuditCommand::Tail { follow: true } => {
            let mut tail = Tail::new(client, out);
            tokio::select! {
                ended = tail.follow() => ended,
                _interrupted = tokio::signal::ctrl_c() => Ok(()),
            }
        }
        AuditCommand::Query(args) => query(args, client, out).await,
        AuditCommand::Export(args) => export(args, client, out).await,
    }
}

/// Follows the trail. Each look at it leaves a record of its own there, which is not shown: the
/// record carries the id of the request.
struct Tail<'a> {
    client: &'a Client,
    out: &'a Output,
    last_seq: u64,
    own: HashSet<String>,
}

impl<'a> Tail<'a> {
    fn new(client: &'a Client, out: &'a Output) -> Self {
        Self {
            client,
            out,
            last_seq: 0,
            own: HashSet::new(),
        }
    }

    /// Prints the last records.
    async fn begin(&mut self) -> Result<(), Failure> {
        let query = vec![("limit", TAIL_EVENTS.to_string())];
        let (list, id) = self.client.events_with_id(&query).await?;
        self.own.extend(id);
        self.print(list.events)
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        self.begin().await?;
        let mut is_lost = false;
        loop {
            tokio::time::sleep(TAIL_PAUSE).await;
            match self.look().await {
                Ok(()) => is_lost = false,
                Err(failure) if failure.exit() == Exit::Unavailable => {
                    if !is_lost {
                        self.out
                            .warning(&format!("{failure}; trying again every second"));
                    }
                    is_lost = true;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Prints what came since the last look, whatever the order in which the server lists it.
    async fn look(&mut self) -> Result<(), Failure> {
        let after = ("after", self.last_seq.to_string());
        let (mut events, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![after.clone()];
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let (mut list, id) = self.client.events_with_id(&query).await?;
            self.own.extend(id);
            events.append(&mut list.events);
            match list.next_cursor {
                Some(next) => cursor = Some(next),
                None => return self.print(events),
            }
        }
    }

    fn print(&mut self, mut events: Vec<Event>) -> Result<(), Failure> {
        events.sort_unstable_by_key(|event| event.seq);
        for event in events {
            if event.seq <= self.last_seq {
                continue;
            }
            self.last_seq = event.seq;
            if self.own.remove(&event.id) {
                continue;
            }
            if self.out.is_json() {
                self.out.json_line(&event)?;
            } else {
                self.out.event(&event_line(&event))?;
            }
        }
        Ok(())
    }
}

fn named<const N: usize>(pairs: [(&'static str, Option<String>); N]) -> Query {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

async fn query(args: QueryArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let query = named([
        ("actor", args.actor),
        ("token", args.token),
        ("workspace", args.workspace),
        ("method", args.method),
        ("status", args.status),
        ("since", args.since),
        ("until", args.until),
    ]);
    let list = client.list_events(query, Some(args.limit)).await?;
    out.show(&list, |list| table(&list.events))?;
    if list.next_cursor.is_some() {
        out.note("there are more; give a larger --limit, or a narrower filter");
    }
    Ok(())
}

fn table(events: &[Event]) -> Table {
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
struct Progress<'a> {
    out: &'a Output,
    is_shown: bool,
    records: u64,
    bytes: u64,
    shown_at: Instant,
}

impl<'a> Progress<'a> {
    fn new(out: &'a Output, is_shown: bool) -> Self {
        let is_shown = is_shown && out.is_stderr_terminal();
        Self {
            out,
            is_shown,
            records: 0,
            bytes: 0,
            shown_at: Instant::now(),
        }
    }

    fn add(&mut self, piece: &[u8]) {
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

    fn end(&self) {
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
