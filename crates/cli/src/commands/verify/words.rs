//! What is found, in plain words: what it is, and what to do about it.

use std::borrow::Cow;

use claviger_core::ledger::verify::{Finding, Kind};
use serde::Serialize;

use super::{
    checkpoints::{Fault, Faulty},
    live,
};

/// Where the records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A file or a folder.
    Export,
    /// The server that has them.
    Live,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Found {
    /// What it is, for programs.
    pub(super) kind: Cow<'static, str>,
    /// The number of the first record that is not in its place because of it; none for checkpoints.
    pub(super) record: Option<u64>,
    /// The numbers of the first and the last record concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<u64>,
    /// Of a checkpoint: where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// Of what is kept beside the records: the table and the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<String>,
    /// What it is, for people.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: &'static str,
}

/// Beside what the verifier found: a checkpoint that does not count.
pub(super) fn of_fault(faulty: &Faulty) -> Found {
    let (kind, what, advice) = match faulty.fault {
        Fault::Malformed => (
            "malformed_checkpoint",
            "it is no signed checkpoint",
            "take it again from the server, or from where it was kept",
        ),
        Fault::OtherLog => (
            "other_log",
            "it does not vouch for this log",
            "give the key of the log that was exported, or export the one that you have the key of",
        ),
        Fault::UnknownKey => (
            "unknown_key",
            "none of the keys given signed it, so it proves nothing",
            "if the key was changed, give the older or the newer one as well, with another --key; else \
             somebody else signed it",
        ),
        Fault::BadSignature => (
            "bad_signature",
            "its text or its signature is not what the key signed",
            "it was changed after it was signed: take it again from where it was kept",
        ),
    };
    let more = match faulty.count {
        1 => String::new(),
        count => format!("; {count} of that file"),
    };
    Found {
        kind: kind.into(),
        record: None,
        first: None,
        last: None,
        file: Some(faulty.file.to_string()),
        column: None,
        what: format!(
            "checkpoint in {}: {what} ({}){more}",
            faulty.file, faulty.why
        ),
        advice,
    }
}

/// That no checkpoint counts.
pub(super) fn no_checkpoint(way: Way) -> Found {
    Found {
        kind: "no_checkpoint".into(),
        record: None,
        first: None,
        last: None,
        file: None,
        column: None,
        what: "there is no checkpoint that counts, so nothing is proved".to_owned(),
        advice: match way {
            Way::Export => {
                "put the signed checkpoint beside the export, or give an anchor with --anchor"
            }
            Way::Live => live::advice("no_checkpoint"),
        },
    }
}

/// Records whose bodies are not in a folder.
pub(super) fn no_body((first, last): (u64, u64)) -> Found {
    Found {
        kind: "no_body".into(),
        record: Some(first),
        first: Some(first),
        last: Some(last),
        file: None,
        column: None,
        what: format!(
            "{}: not in the export, only hashes are",
            numbers(first, last)
        ),
        advice: "what they said cannot be read here; export again, and ask who keeps the trail if they \
                 are missing there too",
    }
}

/// A bundle that does not have what its name says, from the record with the number `place` on.
pub(super) fn malformed_bundle(name: &str, place: u64, why: &str) -> Found {
    Found {
        kind: "malformed_bundle".into(),
        record: Some(place),
        first: Some(place),
        last: Some(place),
        file: Some(name.to_owned()),
        column: None,
        what: format!("{name}: {why}"),
        advice: "other tools may take what is there for records, and nobody signed it: export into another \
                 folder, and compare",
    }
}

/// A tile that is not of the tree of the records with these numbers.
pub(super) fn altered_tile(name: &str, (first, last): (u64, u64), why: &str) -> Found {
    Found {
        kind: Kind::TilesAltered.word().into(),
        record: Some(first),
        first: Some(first),
        last: Some(last),
        file: Some(name.to_owned()),
        column: None,
        what: format!("{name}: {why}"),
        advice: of_export(Kind::TilesAltered),
    }
}

/// What the verifier found.
pub(super) fn of_finding(finding: &Finding, way: Way) -> Found {
    Found {
        kind: finding.kind.word().into(),
        record: Some(finding.place()),
        first: Some(finding.first),
        last: Some(finding.last),
        file: None,
        column: None,
        what: finding.to_string(),
        advice: match way {
            Way::Export => of_export(finding.kind),
            Way::Live => live::advice(finding.kind.word()),
        },
    }
}

/// What to do about a finding in an export.
const fn of_export(kind: Kind) -> &'static str {
    match kind {
        Kind::Changed => {
            "compare with another copy or a backup: somebody wrote over it, here or where it came from"
        }
        Kind::Removed => {
            "look for it in another copy or a backup: somebody took it out, here or where it came from"
        }
        Kind::Inserted { .. } => {
            "do not rely on it: somebody put it in, here or where it came from"
        }
        Kind::Reordered { .. } => {
            "the bytes are right, their order is not: export again, and compare"
        }
        Kind::CutOff => {
            "export again, for the copy may not be whole; if they are missing there too, they were cut \
             off where they are kept"
        }
        Kind::Unsigned => {
            "take a newer checkpoint of the log, and verify again with it. In a folder, an interrupted export \
             leaves such records: export again"
        }
        Kind::HashMissing => "export again, with all hashes",
        Kind::RootMismatch => {
            "verify an export with hashes (a folder): it names the record. A part of a trail, as --since \
             and --until export it, cannot be verified"
        }
        Kind::HashesAltered => {
            "the records can be relied on; export again to have the right hashes"
        }
        Kind::TilesAltered => {
            "the records can be relied on, but tools that read the tiles cannot go on: export into another \
             folder"
        }
        Kind::Fork => {
            "keep both: two histories were signed, by whoever holds the private key, or by the server after \
             somebody wrote to its database. Ask who runs it, and compare with the checkpoints that others kept"
        }
        Kind::Rollback => {
            "the export may only be older than the anchor: export again and verify that. If they are \
             missing there too, the trail was set back, as by a restored backup"
        }
    }
}

fn numbers(first: u64, last: u64) -> String {
    if first == last {
        format!("record {first}")
    } else {
        format!("records {first} to {last}")
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::ledger::verify::{Finding, Kind};

    use super::{Way, of_finding};

    #[test]
    fn a_moved_record_is_named_by_the_first_place_that_is_wrong() {
        let kind = Kind::Reordered { stands_at: 3 };
        let (first, last) = (5, 5);
        let finding = Finding { kind, first, last };
        assert_eq!(of_finding(&finding, Way::Export).record, Some(3));
    }
}
