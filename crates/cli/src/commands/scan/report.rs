//! What a scan has found, and how it is said.

use std::time::{Duration, Instant};

use claviger_core::token::Prefix;
use serde::{Serialize, Serializer};

use super::Source;
use crate::{
    error::Failure,
    output::{Cell, Output, Table, Tone},
};

/// How long a scan may take before its progress is shown.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// How often it is shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// A secret that was found: where, and which, but not the secret.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    #[serde(serialize_with = "as_text")]
    pub(super) prefix: Prefix,
    pub(super) file: String,
    /// Neither a line nor a column: it is in the name of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<String>,
    /// How the server says that it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<String>,
    /// The id of the key or token, where the server knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_id: Option<String>,
    /// Which of the kept secrets it is.
    #[serde(skip)]
    pub(super) secret: Option<usize>,
}

fn as_text<S: Serializer>(prefix: &Prefix, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(prefix.as_str())
}

impl Finding {
    /// `place`: the line and the column; none for the name.
    pub(super) fn new(prefix: Prefix, source: &Source, place: Option<(u64, u64)>) -> Self {
        Self {
            prefix,
            file: source.file.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            object: source.object.clone(),
            status: None,
            token_id: None,
            secret: None,
        }
    }

    /// Whether the server would accept it now.
    pub(super) fn is_live(&self) -> bool {
        self.status.as_deref() == Some("live")
    }
}

/// All that a scan has to say: the document of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// How many files, or objects of git, were opened.
    pub(super) scanned: u64,
    /// How many bytes were read from them.
    pub(super) bytes: u64,
    /// How many could not be read, or not to their end.
    pub(super) unreadable: u64,
    /// Whether the scan went on to its end.
    #[serde(rename = "complete")]
    pub(super) is_complete: bool,
    /// What `scanned` counts: files or objects.
    #[serde(skip)]
    unit: &'static str,
}

impl Report {
    pub(super) const fn new(unit: &'static str) -> Self {
        Self {
            findings: Vec::new(),
            scanned: 0,
            bytes: 0,
            unreadable: 0,
            is_complete: true,
            unit,
        }
    }

    /// Prints the findings.
    pub(super) fn show(&self, out: &Output) -> Result<(), Failure> {
        let printed = if out.is_json() {
            out.json(self)
        } else if self.findings.is_empty() {
            Ok(())
        } else {
            out.table(&self.table())
        };
        match printed {
            // A reader that has seen enough does not make the secrets go away.
            Ok(()) | Err(Failure::Closed) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Fails if there are findings, or if there might be.
    pub(super) fn verdict(&self, out: &Output) -> Result<(), Failure> {
        let found = self.findings.len();
        let live = self.findings.iter().filter(|one| one.is_live()).count();
        if live > 0 {
            return Err(Failure::LiveSecretsFound { found, live });
        }
        if self.findings.iter().any(|one| one.status.is_some()) {
            return Err(Failure::DeadSecretsFound(found));
        }
        if !self.findings.is_empty() {
            return Err(Failure::SecretsFound(found));
        }
        if self.unreadable > 0 {
            return Err(Failure::Local(format!(
                "no secret was found in what could be read ({}), but not all could; mend what the \
                 warnings name and scan again",
                self.extent()
            )));
        }
        if out.is_stderr_terminal() {
            out.note(&format!("no secret found in {}", self.extent()));
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let has_objects = self.findings.iter().any(|finding| finding.object.is_some());
        let has_statuses = self.findings.iter().any(|finding| finding.status.is_some());
        let mut table = Table::new(match (has_objects, has_statuses) {
            (false, false) => &["PREFIX", "FILE", "LINE", "COLUMN"],
            (true, false) => &["PREFIX", "FILE", "LINE", "COLUMN", "OBJECT"],
            (false, true) => &["PREFIX", "FILE", "LINE", "COLUMN", "STATUS"],
            (true, true) => &["PREFIX", "FILE", "LINE", "COLUMN", "OBJECT", "STATUS"],
        });
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        for finding in &self.findings {
            let mut cells: Vec<Cell> = vec![
                Cell::toned(finding.prefix.as_str(), Tone::Bad),
                finding.file.as_str().into(),
                number(finding.line).into(),
                number(finding.column).into(),
            ];
            if has_objects {
                cells.push(finding.object.as_deref().unwrap_or("-").into());
            }
            if has_statuses {
                let status = finding.status.as_deref().unwrap_or("-");
                let tone = if finding.is_live() {
                    Tone::Bad
                } else {
                    Tone::Plain
                };
                cells.push(Cell::toned(status, tone));
            }
            table.cells(cells);
        }
        table
    }

    /// How much was scanned.
    fn extent(&self) -> String {
        let tenths = self.bytes.saturating_mul(10) / (1024 * 1024);
        let plural = if self.scanned == 1 { "" } else { "s" };
        let (whole, tenth) = (tenths / 10, tenths % 10);
        format!(
            "{} {}{plural}, {whole}.{tenth} MiB",
            self.scanned, self.unit
        )
    }
}

/// Says on a terminal how far a long scan has come.
pub(super) struct Progress<'a> {
    out: &'a Output,
    next: Instant,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        Self {
            out,
            next: Instant::now() + PROGRESS_AFTER,
            is_shown: false,
        }
    }

    /// Shows how far it has come, if it is time to.
    pub(super) fn show(&mut self, report: &Report) {
        if self.out.is_stderr_terminal() && Instant::now() >= self.next {
            self.next = Instant::now() + PROGRESS_PAUSE;
            self.is_shown = true;
            let found = report.findings.len();
            self.out
                .progress(&format!("{}, {found} found", report.extent()));
        }
    }

    /// Makes room for something else.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            self.out.progress("");
        }
    }
}
