//! The verification of a trail where it is kept: records, tree, checkpoints, and every column that is kept
//! beside them so that they are found.
//!
//! The server looks at itself here: whoever holds the machine can make it say anything. It finds what
//! somebody did to the database. The proof for others is `claviger audit verify`.

use std::sync::Arc;

use claviger_core::{
    action::ReadAudit,
    authorize::Permit,
    id::OrgId,
    ledger::{columns::Difference, verify::Finding},
    signal::SignalType,
};
use serde_json::json;
use tokio::{runtime::Handle, sync::mpsc};

use super::log::whole;
use crate::{
    app::App, clock, failure::Failure, gate, streams::Place, trace::Trace, verifications::Running,
};

mod dropped;
mod signed;
mod tree;
mod walk;

/// How many parts wait for a caller who takes them more slowly than they come.
const QUEUE_MAX: usize = 16;

/// A part of a verification, as it goes on.
#[derive(Debug)]
pub enum Told {
    /// How far it is.
    Progress {
        /// How many records were looked at.
        records: u64,
        /// How many there are.
        of: u64,
    },
    /// Something that is wrong.
    Found(Found),
    /// It came to its end. Nothing follows.
    Ended(Verdict),
    /// It could not be carried out to the end. Nothing follows.
    Failed(Failure),
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is, in a word: one of the verifier's, `column`, or `no_checkpoint`.
    pub kind: &'static str,
    /// The number of the first record that is not in its place because of it.
    pub seq: u64,
    /// The numbers of the first and the last record concerned, where there is more than one.
    pub range: Option<(u64, u64)>,
    /// The table and the column that does not say what the others do.
    pub column: &'static str,
    /// What it is, in a sentence without a full stop.
    pub what: String,
}

impl From<Difference> for Found {
    fn from(found: Difference) -> Self {
        Self {
            kind: "column",
            seq: found.seq,
            range: None,
            column: found.column,
            what: format!("record {}: {}", found.seq, found.what),
        }
    }
}

impl From<&Finding> for Found {
    fn from(finding: &Finding) -> Self {
        use claviger_core::ledger::verify::Kind;
        let column = match finding.kind {
            Kind::HashesAltered | Kind::TilesAltered | Kind::HashMissing => "audit_tiles.hashes",
            Kind::Fork | Kind::Unsigned | Kind::Rollback => "audit_checkpoints.root",
            Kind::Changed
            | Kind::Removed
            | Kind::Inserted { .. }
            | Kind::Reordered { .. }
            | Kind::CutOff
            | Kind::RootMismatch => "audit_runs.lines",
        };
        Self {
            kind: finding.kind.word(),
            seq: finding.place(),
            range: Some((finding.first, finding.last)),
            column,
            what: finding.to_string(),
        }
    }
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many records were read.
    pub records: u64,
    /// The last record without a body, and the record that says so.
    pub dropped: Option<(u64, u64)>,
    /// The records from 1 to this number are those that were signed, without a gap.
    pub intact: u64,
    /// How many records the largest checkpoint covers that fits.
    pub proved: Option<u64>,
    /// By which keys that one was signed: name and id.
    pub signed_by: Vec<String>,
    /// How many findings there were.
    pub findings: u64,
    /// The first record that a finding names.
    pub first: Option<u64>,
}

impl Verdict {
    /// Whether nothing was found.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.findings == 0
    }

    /// The verdict in sentences.
    #[must_use]
    pub fn words(&self) -> String {
        let proved = match (self.intact, self.dropped) {
            (0, _) => "No record is proved".to_owned(),
            (intact, Some((last, _))) if intact > last => {
                let first = last + 1;
                format!("Records {first} to {intact} are, byte for byte, those that were signed")
            }
            (intact, _) => {
                format!("Records 1 to {intact} are, byte for byte, those that were signed")
            }
        };
        let by = match self.signed_by.as_slice() {
            [] => String::new(),
            keys => format!(", by {}", keys.join(" and ")),
        };
        let found = match (self.findings, self.first) {
            (0, _) => "What is kept beside them agrees with them.".to_owned(),
            (1, Some(first)) => format!("One thing is wrong, at record {first}."),
            (count, Some(first)) => {
                format!("{count} things are wrong, the first at record {first}.")
            }
            (count, None) => format!("{count} things are wrong."),
        };
        let dropped = self.dropped.map(|(last, seq)| {
            format!(" The bodies of records 1 to {last} were dropped: record {seq} says so; their hashes are what was signed.")
        });
        format!("{proved}{by}.{} {found}", dropped.unwrap_or_default())
    }
}

/// Begins a verification of the caller's trail. It ends with its receiver, if that goes first.
///
/// # Errors
/// 403 for a caller that is bound to workspaces; 409 while another one of the org is under way; 429 as for
/// live streams.
pub fn start(
    app: &Arc<App>,
    permit: &Permit<ReadAudit>,
    trace: &Arc<Trace>,
) -> Result<mpsc::Receiver<Told>, Failure> {
    let org = whole(permit)?;
    let running = app.verifications.begin(org)?;
    let place = app.streams.take(permit.principal(), clock::now())?;
    let (out, told) = mpsc::channel(QUEUE_MAX);
    let (app, trace) = (Arc::clone(app), Arc::clone(trace));
    let handle = Handle::current();
    // A thread of its own: it hashes the whole trail, and waits for the store now and then.
    tokio::task::spawn_blocking(move || {
        let Some(ended) = carry_out(&app, &trace, (org, &handle), &out) else {
            return;
        };
        // Over before it is told: whoever reads the end may begin the next one at once.
        drop::<(Running, Place)>((running, place));
        // Whoever hung up meanwhile needs no answer.
        out.blocking_send(ended).unwrap_or_default();
    });
    Ok(told)
}

/// How it ended, unless nobody is there who could be told.
fn carry_out(
    app: &App,
    trace: &Trace,
    (org, handle): (OrgId, &Handle),
    out: &mpsc::Sender<Told>,
) -> Option<Told> {
    match walk::walk(app, org, handle, out) {
        Ok(verdict) => {
            if !verdict.is_sound() {
                record(app, trace, &verdict);
            }
            Some(Told::Ended(verdict))
        }
        Err(walk::Stop::Gone) => None,
        Err(walk::Stop::Closing) => Some(Told::Failed(Failure::Unready(
            "the service stops: verify again when it is back".to_owned(),
        ))),
        Err(walk::Stop::Failed(failure)) => Some(Told::Failed(failure)),
    }
}

/// A failed verification is a line of the log, and now and then a record.
fn record(app: &App, trace: &Trace, verdict: &Verdict) {
    let org = trace.principal.org;
    let (findings, first) = (verdict.findings, verdict.first);
    tracing::error!(%org, findings, first, intact = verdict.intact, "the audit trail was verified, and is not as it was signed");
    if app.verifications.is_due(org, clock::now()) {
        let change = json!({"signal": {
            "type": SignalType::VerificationFailed.as_str(),
            "findings": findings,
            "first": first,
            "intact": verdict.intact,
            "records": verdict.records,
        }});
        gate::record_failed_verification(app, trace, &change);
    }
}
