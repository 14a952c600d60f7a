//! What a verification came to: for a person, for a pipe, and for a program.

use claviger_core::{
    ledger::verify::{Decided, FINDINGS_MAX, Finding, Kind, Report as Core, Source, Standing},
    time::format_duration,
};
use serde::Serialize;

use super::{
    checkpoints::{Checkpoints, Vouched, timestamp},
    export::{Bodiless, Flaws},
    trust::Trust,
    words::{Found, Way, no_body, no_checkpoint, of_fault, of_finding},
};
use crate::{
    error::Failure,
    output::{Cell, Output, Table, Tone},
    text::or_dash,
};

/// As many checkpoints are shown to people; programs get all.
const SHOWN_MAX: usize = 20;

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The origin of the log.
    log: String,
    /// Whether the keys are those that the server gave which is verified.
    is_key_of_server: bool,
    /// Whether every record is proved, and nothing was found.
    is_proved: bool,
    /// How many records were read.
    records: u64,
    /// How many more have a hash, and no body.
    without_body: u64,
    /// The records that say which bodies were dropped.
    decisions: Vec<Decision>,
    /// The records from 1 to this number are proved without a gap.
    intact: u64,
    /// The largest checkpoint that fits: up to it every record is proved that no finding names.
    proved: Option<Judged>,
    checkpoints: Vec<Judged>,
    findings: Vec<Found>,
    /// How many findings more there were.
    more_findings: u64,
}

/// A record that says which bodies were dropped: from it on those of the records 1 to `last`.
#[derive(Debug, Serialize)]
struct Decision {
    record: u64,
    first: u64,
    last: u64,
    /// What the org's policy said.
    keep_audit_for: String,
    /// The record by which it was set, where that is known.
    setting: Option<String>,
}

impl From<&Decided> for Decision {
    fn from(decided: &Decided) -> Self {
        let decision = &decided.decision;
        Self {
            record: decided.seq,
            first: decision.first,
            last: decision.last,
            keep_audit_for: format_duration(decision.keep),
            setting: decision.setting.map(|id| id.to_string()),
        }
    }
}

/// A checkpoint that counts, and what became of it.
#[derive(Debug, Clone, Serialize)]
struct Judged {
    size: u64,
    root: String,
    /// `fits`, `differs`, `ahead` or `unjudged`.
    standing: &'static str,
    /// `export`, `server` or `anchor`.
    source: &'static str,
    file: String,
    signed_by: Vec<String>,
    /// As the earliest cosignature says; none if that cannot be written, as after the year 9999.
    signed_at: Option<String>,
    /// The same in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_at_seconds: Option<u64>,
    /// As it says where it was kept, and nobody signed.
    anchored_at: Option<String>,
}

impl Judged {
    fn new(vouched: &Vouched, standing: Standing, way: Way) -> Self {
        let signers = vouched.signers.iter().map(ToString::to_string);
        Self {
            size: vouched.trusted.size,
            root: vouched.trusted.root.to_string(),
            standing: match standing {
                Standing::Fits => FITS,
                Standing::Differs => "differs",
                Standing::Ahead => AHEAD,
                Standing::Unjudged => "unjudged",
            },
            source: match (vouched.trusted.source, way) {
                (Source::Export, Way::Export) => "export",
                (Source::Export, Way::Live) => "server",
                (Source::Anchor, _) => "anchor",
            },
            file: vouched.file.to_string(),
            signed_by: signers.collect(),
            signed_at: vouched
                .signed_at
                .and_then(timestamp)
                .map(|at| at.to_string()),
            signed_at_seconds: vouched.signed_at,
            anchored_at: vouched.anchored_at.clone(),
        }
    }

    /// The same tree, as another file has it: all who signed it count, and the earliest time.
    fn merge(&mut self, other: &Self) {
        for signer in &other.signed_by {
            if !self.signed_by.contains(signer) {
                self.signed_by.push(signer.clone());
            }
        }
        let is_earlier = match (self.signed_at_seconds, other.signed_at_seconds) {
            (Some(known), Some(at)) => at < known,
            (known, at) => known.is_none() && at.is_some(),
        };
        if is_earlier {
            self.signed_at.clone_from(&other.signed_at);
            self.signed_at_seconds = other.signed_at_seconds;
        }
    }

    /// When it was signed, for people.
    fn signed_at(&self) -> String {
        match (&self.signed_at, self.signed_at_seconds) {
            (None, Some(seconds)) => format!("- ({seconds} seconds since 1970)"),
            (at, _) => or_dash(at.as_deref()),
        }
    }

    fn tone(&self) -> Tone {
        match self.standing {
            FITS => Tone::Good,
            AHEAD => Tone::Warning,
            _ => Tone::Bad,
        }
    }
}

/// The largest checkpoint that fits. Where an anchor says the same as the export, it is that: whoever wrote
/// the export could not change it.
fn proved(judged: &[Judged]) -> Option<Judged> {
    let fitting = || judged.iter().filter(|judged| judged.standing == FITS);
    let size = fitting().map(|judged| judged.size).max()?;
    let largest = || fitting().filter(|judged| judged.size == size);
    let mut proved = largest()
        .max_by_key(|judged| judged.source == "anchor")?
        .clone();
    largest().for_each(|other| proved.merge(other));
    Some(proved)
}

const FITS: &str = "fits";
const AHEAD: &str = "ahead";

impl Report {
    /// Puts together what the verifier found, and what was found before.
    pub(super) fn new(
        trust: &Trust,
        mut checkpoints: Checkpoints,
        (bodiless, flaws): (&Bodiless, Flaws),
        core: Core,
        way: Way,
    ) -> Self {
        // In the order in which the verifier has them.
        checkpoints
            .vouched
            .sort_by_key(|vouched| vouched.trusted.size);
        let standings = core.checkpoints.iter().map(|judged| judged.standing);
        let judged = checkpoints.vouched.iter().zip(standings);
        let judged = judged.map(|(vouched, standing)| Judged::new(vouched, standing, way));
        let judged: Vec<Judged> = judged.collect();
        let proved = proved(&judged);

        let mut findings: Vec<Found> = checkpoints.faulty.iter().map(of_fault).collect();
        if checkpoints.vouched.is_empty() {
            findings.push(no_checkpoint(way));
        }
        let covered = core.decided.iter().map(|one| one.decision.last).max();
        let covered = covered.unwrap_or(0);
        let missing: Vec<_> = bodiless
            .iter()
            .filter(|(_, last)| *last > covered)
            .map(|(first, last)| ((*first).max(covered + 1), *last))
            .collect();
        // What is said of a whole bundle is not said twice.
        let is_bodiless = |finding: &&Finding| {
            finding.kind == Kind::Removed && missing.contains(&(finding.first, finding.last))
        };
        let of_core = core.findings.iter().filter(|finding| !is_bodiless(finding));
        findings.extend(of_core.map(|finding| of_finding(finding, way)));
        findings.extend(flaws.found);
        findings.extend(missing.iter().copied().map(no_body));
        findings.sort_by_key(|found| found.record);
        let beyond = findings.len().saturating_sub(FINDINGS_MAX);
        findings.truncate(FINDINGS_MAX);
        let more_findings = core
            .more
            .saturating_add(flaws.more)
            .saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX));
        Self {
            log: trust.origin.clone(),
            is_key_of_server: trust.is_of_server,
            is_proved: findings.is_empty() && more_findings == 0 && proved.is_some(),
            records: core.records,
            without_body: core.dropped,
            decisions: core.decided.iter().map(Decision::from).collect(),
            intact: core.intact,
            proved,
            checkpoints: judged,
            findings,
            more_findings,
        }
    }

    /// Adds what the server found, `count` in all. What was found here too is not said twice.
    pub(super) fn add(&mut self, findings: impl Iterator<Item = Found>, count: u64) {
        let mut told = 0_u64;
        for found in findings {
            told += 1;
            let is_same = |own: &Found| {
                own.kind == found.kind && own.first == found.first && own.last == found.last
            };
            if !self.findings.iter().any(is_same) {
                self.findings.push(found);
            }
        }
        self.findings.sort_by_key(|found| found.record);
        self.more_findings = self
            .more_findings
            .saturating_add(count.saturating_sub(told));
        self.is_proved &= self.findings.is_empty() && self.more_findings == 0;
    }

    /// Writes it: JSON, tables on a terminal, lines in a pipe.
    pub(super) fn show(&self, out: &Output) -> Result<(), Failure> {
        if out.is_json() {
            return out.json(self);
        }
        out.table(&self.summary())?;
        let is_terminal = out.is_terminal();
        if !self.checkpoints.is_empty() {
            section(self.checkpoint_table(is_terminal), out)?;
        }
        let hidden = self.checkpoints.len().saturating_sub(SHOWN_MAX);
        if hidden > 0 {
            out.note(&format!(
                "and {hidden} more checkpoints; --json lists them all"
            ));
        }
        if !self.findings.is_empty() {
            section(self.finding_table(is_terminal), out)?;
        }
        if self.more_findings > 0 {
            out.note(&format!("and {} more findings", self.more_findings));
        }
        Ok(())
    }

    /// How the program is to end.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.is_proved {
            return Ok(());
        }
        let listed = u64::try_from(self.findings.len()).unwrap_or(u64::MAX);
        Err(Failure::Unproved(listed.saturating_add(self.more_findings)))
    }

    fn summary(&self) -> Table {
        let mut table = Table::fields();
        let verdict = match (self.is_proved, self.is_key_of_server) {
            (true, false) => Cell::toned("all is proved", Tone::Good),
            (true, true) => Cell::toned("all fits the key that the server gave", Tone::Warning),
            (false, _) => Cell::toned("not all is proved", Tone::Bad),
        };
        table.field("verdict", verdict);
        table.field("log", self.log.as_str());
        if self.is_key_of_server {
            table.field(
                "key",
                "from the server itself, which could give any: for a proof, give the one you kept (--key)",
            );
        }
        table.field("records", self.records.to_string());
        if self.without_body > 0 {
            table.field("without body", self.without_body.to_string());
        }
        if let Some(words) = self.dropped_words() {
            table.field("dropped", words);
        }
        table.field("proved", self.proved_words());
        if let Some(proved) = &self.proved {
            table.field("signed by", proved.signed_by.join(", "));
            let at = proved.signed_at_seconds.map(|_| proved.signed_at());
            let no_time = || "the signature has no time".to_owned();
            table.field("signed at", at.unwrap_or_else(no_time));
            if let Some(at) = &proved.anchored_at {
                table.field("anchored at", at.as_str());
            }
        }
        let anchors = self.checkpoints.iter().filter(|j| j.source == "anchor");
        let fitting = anchors.clone().filter(|j| j.standing == FITS).count();
        table.field(
            "anchors that fit",
            format!("{fitting} of {}", anchors.count()),
        );
        table
    }

    /// Which bodies were dropped, and who says so. A trail that has them all has nothing to say.
    fn dropped_words(&self) -> Option<String> {
        let last = self.decisions.iter().max_by_key(|decision| decision.last);
        let decision = last.filter(|_| self.without_body > 0)?;
        let setting = decision.setting.as_ref();
        let setting = setting
            .map(|id| format!(", set by {id}"))
            .unwrap_or_default();
        Some(format!(
            "records 1 to {}, by the decision in record {} (keep_audit_for {}{setting}): their hashes are \
             what was signed",
            decision.last, decision.record, decision.keep_audit_for
        ))
    }

    fn proved_words(&self) -> String {
        let Some(proved) = &self.proved else {
            return "nothing".to_owned();
        };
        match (self.intact, proved.size) {
            (_, 0) => "that there are no records".to_owned(),
            (intact, size) if intact == size => format!("records 1 to {size}, byte for byte"),
            (0, size) => format!("records up to {size}, but for those of the findings"),
            (intact, size) => format!(
                "records 1 to {intact}, byte for byte; and up to {size}, but for those of the findings"
            ),
        }
    }

    /// Those that do not fit come first, then the largest.
    fn checkpoint_table(&self, is_terminal: bool) -> Table {
        let mut shown: Vec<&Judged> = self.checkpoints.iter().rev().collect();
        shown.sort_by_key(|judged| judged.standing == FITS);
        let mut table = Table::new(&[
            "CHECKPOINT",
            "RECORDS",
            "FROM",
            "SIGNED AT",
            "SIGNED BY",
            "ANCHORED AT",
        ]);
        for judged in shown.into_iter().take(SHOWN_MAX) {
            let row = [
                Cell::toned(judged.standing, judged.tone()),
                judged.size.to_string().into(),
                judged.file.as_str().into(),
                judged.signed_at().into(),
                judged.signed_by.join(", ").into(),
                or_dash(judged.anchored_at.as_deref()).into(),
            ];
            table.cells(with_word("checkpoint", row, is_terminal));
        }
        table
    }

    fn finding_table(&self, is_terminal: bool) -> Table {
        let mut table = Table::new(&["FINDING", "RECORD", "WHAT", "WHAT TO DO"]);
        for found in &self.findings {
            let record = found.record.map(|record| record.to_string());
            let row = [
                Cell::toned(found.kind.as_ref(), Tone::Bad),
                or_dash(record.as_deref()).into(),
                found.what.as_str().into(),
                found.advice.into(),
            ];
            table.cells(with_word("finding", row, is_terminal));
        }
        table
    }
}

/// In a pipe, where there are no headings, each line says what it is.
fn with_word<const N: usize>(word: &str, row: [Cell; N], is_terminal: bool) -> Vec<Cell> {
    let word = (!is_terminal).then(|| word.into());
    word.into_iter().chain(row).collect()
}

fn section(table: Table, out: &Output) -> Result<(), Failure> {
    if out.is_terminal() {
        out.line("")?;
    }
    out.table(&table)
}
