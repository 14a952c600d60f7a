//! `claviger audit`.

use std::path::PathBuf;

use claviger_core::signal;
use claviger_server::config::Config;
use claviger_wire::ledger::Event;
use serde::Serialize;

use super::{block_on, export, online, tail::Tail, tlog, verify};
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
        AuditCommand::Export(args) => online(global, out, async |client| {
            export::run(args, &client, out).await
        }),
        AuditCommand::RotateKey(args) => rotate_key(&args, out),
        AuditCommand::Verify(args) => verify::run(&args, global, out),
    }
}

/// The folder of an export, which has no parts that could be left out.
fn folder(args: ExportArgs) -> Result<PathBuf, Failure> {
    if !conditions(*args.filter).is_empty() {
        let reason = "--format tlog writes the whole trail: leave out what narrows it";
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

pub(super) fn conditions(filter: FilterArgs) -> Query {
    named([
        ("kind", filter.kind),
        ("q", filter.text),
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
        // A record that is about no request has no path.
        let words = event.change.as_ref().and_then(signal::words);
        let path = words.as_deref().unwrap_or(&event.path);
        table.row([
            event.time.as_str().into(),
            event.actor.as_str().into(),
            event.method.as_str().into(),
            path.into(),
            Cell::toned(event.status.to_string(), Tone::of_status(event.status)),
            duration(event.duration_us).into(),
            or_dash(event.code.as_deref()).into(),
        ]);
    }
    table
}
