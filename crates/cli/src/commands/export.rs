//! `claviger audit export`, into a file or to standard output.
//!
//! A file that is there is gone on with: what stands behind its last whole record is cut off, and the
//! records that follow that one are added. So an export that was broken off is finished by the same
//! command, and one that was finished is brought up to date.

mod resume;

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use self::resume::Known;
use super::audit::conditions;
use crate::{
    args::audit::{ExportArgs, ExportFormat},
    client::{Client, Query},
    error::Failure,
    output::Output,
};

/// How often the progress of an export is shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// The format in the words of the API.
const fn word(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Csv => "csv",
        ExportFormat::Ocsf => "ocsf",
        ExportFormat::CloudEvents => "cloudevents",
        ExportFormat::Tlog => "tlog",
    }
}

/// Writes the export.
pub(super) async fn run(args: ExportArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let format = args.format;
    let mut query = vec![("format", word(format).to_owned())];
    query.extend(conditions(*args.filter));
    let Some(path) = args.output else {
        tell_dropped(client, out).await;
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
    let place = (&*path, format);
    tokio::select! {
        ended = export_to(place, query, client, out) => ended,
        _interrupted = tokio::signal::ctrl_c() => {
            let path = path.display();
            Err(Failure::Local(format!("interrupted: the same command goes on with {path}")))
        }
    }
}

/// Goes on with the file, or begins it.
async fn export_to(
    (path, format): (&Path, ExportFormat),
    mut query: Query,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| unwritable(path, &error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(failed)?;
    let known = resume::last_of(&mut file, format).map_err(|reason| reason.told(path))?;
    if let Some(Known { length, last }) = &known {
        let after = last.number(&query, client).await?;
        file.set_len(*length).map_err(failed)?;
        query.push(("after", after.to_string()));
        let path = path.display();
        out.note(&format!("going on with {path} behind record {after}"));
    } else {
        file.set_len(0).map_err(failed)?;
        tell_dropped(client, out).await;
    }
    append(file, &query, client, out)
        .await
        .map_err(|error| match error {
            Append::Local(error) => failed(error),
            Append::Remote(failure) => failure,
        })
}

/// What went wrong while a file grew.
enum Append {
    Local(std::io::Error),
    Remote(Failure),
}

async fn append(
    mut file: File,
    query: &Query,
    client: &Client,
    out: &Output,
) -> Result<(), Append> {
    use std::io::Seek as _;
    file.seek(std::io::SeekFrom::End(0))
        .map_err(Append::Local)?;
    let mut progress = Progress::new(out, true);
    let mut broken = None;
    let outcome = client
        .export_events(query, |piece| {
            file.write_all(piece).map_err(|error| {
                let reason = error.to_string();
                broken = Some(error);
                Failure::Local(reason)
            })?;
            progress.add(piece);
            Ok(())
        })
        .await;
    if let Some(error) = broken {
        return Err(Append::Local(error));
    }
    // What has arrived stays, whatever comes.
    let synced = file.sync_all().map_err(Append::Local);
    outcome.map_err(Append::Remote)?;
    progress.end();
    synced
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Local(format!("cannot write {}: {error}", path.display()))
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

/// Says where an export from the beginning begins. The export itself does not depend on it.
async fn tell_dropped(client: &Client, out: &Output) {
    if let Ok(Some((last, seq))) = dropped(client).await {
        let first = last + 1;
        out.note(&format!(
            "the export begins with record {first}: the bodies of those before were dropped, as record {seq} says"
        ));
    }
}

/// Up to which record the server has dropped bodies, and the number of the record that says so; `None` if it
/// says nothing.
pub(super) async fn dropped(client: &Client) -> Result<Option<(u64, u64)>, Failure> {
    let query = vec![("kind", "retention".to_owned())];
    let list = match client.list_events(query, Some(1)).await {
        // A server of before does not know of it.
        Err(Failure::Refused(refusal)) if matches!(refusal.status, 400 | 422) => return Ok(None),
        answer => answer?,
    };
    let said = list.events.first().and_then(|event| {
        let last = event
            .change
            .as_ref()?
            .get("dropped")?
            .get("last")?
            .as_u64()?;
        Some((last, event.seq))
    });
    Ok(said)
}
