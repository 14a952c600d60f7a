//! What a record means to whoever watches: how grave it is, and what it tells of.

use claviger_core::{id::OrgId, ledger::entry::Kind, signal, time::Timestamp};
use claviger_store::AuditRow;
use serde_json::{Map, Value};

use crate::{config::SiemRecords, told::Told};

/// How grave a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// What was let in.
    Info,
    /// What was refused, and what was done with more than a key.
    Notice,
    /// What deserves a look.
    Warning,
}

/// A record of a trail, read.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    pub(super) org: OrgId,
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    /// The bytes that are kept: printable ASCII (docs/spec/ledger.md).
    pub(super) leaf: &'a str,
    pub(super) told: Told<'a>,
    pub(super) level: Level,
    /// What it says was done, in a word.
    pub(super) change: Option<String>,
    /// The type of a signal.
    pub(super) signal: Option<&'static str>,
}

impl<'a> Meaning<'a> {
    /// Reads a record; `None` for what is none.
    pub(super) fn read(org: OrgId, row: &'a AuditRow) -> Option<Self> {
        let leaf = std::str::from_utf8(&row.bytes).ok()?;
        let is_printable = |byte: u8| (0x20..0x7f).contains(&byte);
        if !leaf.bytes().all(is_printable) {
            return None;
        }
        let told = Told::read(&row.bytes)?;
        let at = told.time.parse().ok()?;
        let change: Map<String, Value> = match told.change {
            Some(change) => serde_json::from_str(change.get()).ok()?,
            None => Map::new(),
        };
        let name = change.keys().next().cloned();
        Some(Self {
            org,
            seq: row.seq,
            at,
            leaf,
            level: level(&told, name.as_deref()),
            signal: signal::type_of(&Value::Object(change)).map(signal::SignalType::as_str),
            change: name,
            told,
        })
    }

    /// Whether it is among those that are wanted.
    pub(super) fn is_wanted(&self, records: SiemRecords) -> bool {
        let is_signal = [Kind::Signal, Kind::Anchor]
            .iter()
            .any(|kind| self.told.kind == kind.as_str());
        match records {
            SiemRecords::Signals => is_signal,
            SiemRecords::Changes => is_signal || self.change.is_some() || self.level > Level::Info,
            SiemRecords::All => true,
        }
    }

    /// The stable code of what was refused or failed.
    pub(super) fn error(&self) -> Option<&str> {
        let is_failure = self.told.status >= 400;
        self.told.code.as_deref().filter(|_| is_failure)
    }
}

fn level(told: &Told<'_>, change: Option<&str>) -> Level {
    match Kind::of_word(&told.kind) {
        Some(Kind::Signal) => Level::Warning,
        Some(Kind::Anchor) if change != Some("anchored") => Level::Warning,
        Some(Kind::Refusals | Kind::BreakGlass | Kind::Bootstrap) => Level::Notice,
        _ if told.status >= 400 => Level::Notice,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::ledger::entry::Kind;
    use claviger_store::AuditRow;

    use super::{Level, Meaning};
    use crate::{
        config::SiemRecords,
        told::samples::{org, row},
    };

    #[test]
    fn records_are_as_grave_as_what_they_tell() {
        use SiemRecords::{All, Changes, Signals};
        for (kind, method, status, level, wanted) in [
            (
                Kind::Request,
                "GET",
                403,
                Level::Notice,
                &[All, Changes][..],
            ),
            (Kind::Request, "GET", 200, Level::Info, &[All, Changes]),
            (Kind::BreakGlass, "GET", 200, Level::Notice, &[All, Changes]),
            (Kind::Refusals, "GET", 401, Level::Notice, &[All, Changes]),
            (
                Kind::Signal,
                "",
                200,
                Level::Warning,
                &[All, Changes, Signals],
            ),
            (
                Kind::Anchor,
                "",
                200,
                Level::Warning,
                &[All, Changes, Signals],
            ),
        ] {
            let row = row((kind, method), status, "/x");
            let meaning = Meaning::read(org(), &row).expect("a record");
            assert_eq!(meaning.level, level, "{kind:?} {status}");
            for records in [All, Changes, Signals] {
                let is = wanted.contains(&records);
                assert_eq!(
                    meaning.is_wanted(records),
                    is,
                    "{kind:?} {status} {records:?}"
                );
            }
            assert_eq!(meaning.error().is_some(), status >= 400);
        }
        // The samples all change something, where they are let in.
        let text = String::from_utf8(row((Kind::Request, "GET"), 200, "/x").bytes);
        let text = text.expect("ASCII");
        let (before, after) = text.split_once(",\"change\":").expect("a change");
        let after = after.split_once("}},").expect("an end").1;
        let bytes = format!("{before},{after}").into_bytes();
        let plain = AuditRow { seq: 1, bytes };
        let meaning = Meaning::read(org(), &plain).expect("a record");
        assert!(meaning.is_wanted(All) && !meaning.is_wanted(Changes));
    }

    #[test]
    fn bytes_that_are_no_record_are_not_read() {
        let whole = row((Kind::Request, "GET"), 200, "/x");
        for bytes in [
            b"".to_vec(),
            b"{}".to_vec(),
            [b" \n", &whole.bytes[..]].concat(),
        ] {
            let row = AuditRow { seq: 1, bytes };
            assert!(Meaning::read(org(), &row).is_none());
        }
    }
}
