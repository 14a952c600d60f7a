//! `claviger audit verify --live`: checkpoint, hashes and records of a running server, one after the other,
//! into the verifier of exports; and what the server finds when it looks at what it keeps beside them.

use std::rc::Rc;

use claviger_core::ledger::{
    checkpoint::Checkpoint,
    note::Note,
    tree::tile::{RECORD_BYTES_MAX, Resource, Tile},
    verify::{TileClaims, Verifier},
};
use claviger_wire::ledger::{VerifyFinding, VerifyLine};
use tokio::runtime::Runtime;

use super::{
    Check, ReadTile, Trouble,
    checkpoints::Checkpoints,
    export::{Bodiless, Flaws},
    pace::Pace,
    report::Report,
    trust::Trust,
    words::{Found, Way},
};
use crate::{
    args::{Global, audit::VerifyArgs},
    client::{Client, Incoming},
    error::Failure,
    output::Output,
};

/// As much of a line is hashed: what is longer than a record is none, and its beginning tells as much.
const LINE_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;
/// More than a line of what the server finds can have.
const TOLD_BYTES_MAX: usize = 1024 * 1024;

/// A server, asked step by step: the verifier, which does not wait, asks for hashes in between.
struct Live {
    client: Client,
    runtime: Runtime,
}

/// What the server found when it looked at itself.
#[derive(Default)]
struct Told {
    findings: Vec<VerifyFinding>,
    count: u64,
    /// The last record whose body it has dropped, by a decision that it found.
    dropped: u64,
}

/// Verifies, and says what was found.
pub(super) fn run(args: &VerifyArgs, global: &Global, out: &Output) -> Result<(), Failure> {
    let client = Client::new(global, out)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("cannot start: {error}")))?;
    let live = Rc::new(Live { client, runtime });
    let trust = match args.keys.as_slice() {
        [] => Trust::of_server(&live.ask(live.client.log_keys())?, args.origin.as_deref())?,
        keys => Trust::new(keys, args.origin.as_deref())?,
    };
    let mut checkpoints = Checkpoints::default();
    for path in &args.anchors {
        checkpoints.take_anchors(path, &trust, out)?;
    }
    // First, for it is refused while another one is under way.
    let told = live.own_findings(out)?;
    let size = match live.checkpoint()? {
        Some(note) => {
            checkpoints.take_of_export(live.client.url(), &note, &trust);
            size_of(&note)
        }
        None => None,
    };
    let trouble = Trouble::default();
    let claims = TileClaims::new(tiles(&live, size, &trouble));
    let mut check = Verifier::new(claims, checkpoints.trusted());
    let mut pace = Pace::new(out);
    let last = size.unwrap_or(u64::MAX);
    let dropped = told.dropped.min(last);
    check.dropped(1, dropped);
    live.feed(&mut check, (dropped, last), &mut pace)?;
    let core = check.finish();
    pace.end();
    if let Some(failure) = trouble.take() {
        return Err(failure);
    }
    let mut report = Report::new(
        &trust,
        checkpoints,
        (&Bodiless::new(), Flaws::default()),
        core,
        Way::Live,
    );
    report.add(told.findings.into_iter().map(found), told.count);
    report.show(out)?;
    report.verdict()
}

/// How many records a checkpoint is about. Whether it can be believed is another question.
fn size_of(note: &[u8]) -> Option<u64> {
    let note = Note::parse(note).ok()?;
    Some(Checkpoint::parse(note.text()).ok()?.size())
}

/// Hashes, as the server has them. Those that it does not give are missing: then the records speak for
/// themselves, and a change can only be placed between two checkpoints.
fn tiles(live: &Rc<Live>, size: Option<u64>, trouble: &Trouble) -> ReadTile {
    let (live, trouble) = (Rc::clone(live), Trouble::clone(trouble));
    Box::new(move |level, number| {
        let tile = Tile::of_tree(level, number, size?)?;
        match live.ask(live.client.log_file(Resource::Tile(tile))) {
            Ok(hashes) => Some(hashes),
            Err(Failure::Refused(refusal)) if !matches!(refusal.status, 401 | 403) => None,
            Err(failure) => {
                trouble.borrow_mut().get_or_insert(failure);
                None
            }
        }
    })
}

impl Live {
    fn ask<T>(&self, question: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(question)
    }

    /// The signed note; `None` if the server cannot sign what it has.
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Failure> {
        match self.ask(self.client.log_file(Resource::Checkpoint)) {
            Ok(note) => Ok(Some(note)),
            Err(Failure::Refused(refusal)) if refusal.status == 500 => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What the server finds when it looks at its trail.
    fn own_findings(&self, out: &Output) -> Result<Told, Failure> {
        let mut told = Told::default();
        let mut lines = Lines::new(self.ask(self.client.verify())?, TOLD_BYTES_MAX);
        while let Some(line) = lines.next(self)? {
            let line = serde_json::from_slice(&line).map_err(|error| {
                Failure::Local(format!("the server says what is no finding: {error}"))
            })?;
            match line {
                VerifyLine::Progress(at) => out.progress(&format!(
                    "the server looks at what it keeps: {} of {} records",
                    at.records, at.of
                )),
                VerifyLine::Finding(finding) => told.findings.push(finding),
                VerifyLine::Verdict(verdict) => {
                    out.progress("");
                    told.count = verdict.findings;
                    told.dropped = verdict.dropped.map_or(0, |dropped| dropped.last);
                    return Ok(told);
                }
                VerifyLine::Failed(failure) => {
                    out.progress("");
                    return Err(Failure::Local(format!(
                        "the server did not come to an end with what it keeps: {} ({})",
                        failure.detail, failure.code
                    )));
                }
            }
        }
        Err(Failure::NoAnswer {
            url: self.client.url().to_owned(),
            cause: "it ended before the verdict".to_owned(),
        })
    }

    /// Gives the records to the verifier, behind a number and up to another.
    fn feed(
        &self,
        check: &mut Check,
        (dropped, last): (u64, u64),
        pace: &mut Pace<'_>,
    ) -> Result<(), Failure> {
        let export = self.ask(self.client.open_export())?;
        let mut lines = Lines::new(export, LINE_BYTES_MAX);
        let mut number = dropped;
        while number < last
            && let Some(line) = lines.next(self)?
        {
            check.record(&line);
            pace.step();
            number += 1;
        }
        Ok(())
    }
}

/// An answer, line by line.
struct Lines {
    incoming: Incoming,
    /// What has arrived, and how much of it was read.
    kept: Vec<u8>,
    read: usize,
    bytes_max: usize,
}

impl Lines {
    const fn new(incoming: Incoming, bytes_max: usize) -> Self {
        Self {
            incoming,
            kept: Vec::new(),
            read: 0,
            bytes_max,
        }
    }

    /// The next line without its line break, and at most so many bytes of it.
    fn next(&mut self, live: &Live) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let mut has_begun = false;
        loop {
            let rest = self.kept.get(self.read..).unwrap_or_default();
            has_begun |= !rest.is_empty();
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            let room = self.bytes_max.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            if let Some(end) = end {
                self.read += end + 1;
                return Ok(Some(line));
            }
            self.read = 0;
            self.kept.clear();
            match live.ask(self.incoming.next(&live.client))? {
                Some(piece) => self.kept.extend_from_slice(&piece),
                None => return Ok(has_begun.then_some(line)),
            }
        }
    }
}

/// What the server found, as the report has it.
fn found(finding: VerifyFinding) -> Found {
    Found {
        advice: advice(&finding.kind),
        kind: finding.kind.into(),
        record: Some(finding.seq),
        first: Some(finding.first),
        last: Some(finding.last),
        file: None,
        column: Some(finding.column),
        what: finding.what,
    }
}

/// What to do about a finding in a trail where it is kept.
pub(super) fn advice(kind: &str) -> &'static str {
    match kind {
        "column" => {
            "the records can be relied on, lists and filters cannot: stop the server, keep a copy of the \
             database, and put the column right or restore a backup"
        }
        "changed" | "removed" | "inserted" | "reordered" | "cut_off" => {
            "somebody wrote to the database: keep a copy of it as it is, and compare with an export or a \
             backup of before"
        }
        "root_mismatch" => {
            "somebody wrote to the database, and nothing says which record it was: compare with an export \
             or a backup of before"
        }
        "hashes_altered" => {
            "the records can be relied on; proofs cannot be made: keep a copy of the database, and restore \
             the hashes from a backup"
        }
        "unsigned" | "no_checkpoint" => {
            "nobody vouches for these: the log of the server says why it does not sign"
        }
        "fork" => {
            "keep both checkpoints: whoever holds the private key has signed two histories. Ask who runs \
             the server, and compare with the checkpoints that others kept"
        }
        "rollback" => {
            "the trail was set back, as by a restored backup: ask who runs the server, and keep the anchor"
        }
        _ => "ask who runs the server",
    }
}
