//! What becomes of old records: their bodies are dropped, their hashes stay, and a record of the trail says
//! so. It is the only thing that lets a verifier accept that bodies are missing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    columns::{kind_of, time_of},
    entry::Kind,
    tree::{HASH_BYTES, Hash},
};
use crate::{
    id::EventId,
    time::{Timestamp, format_duration, parse_duration},
};

/// Bodies are dropped in lots of so many: a tile of hashes then stands for each.
pub const DROPPED_AT_ONCE: u64 = 256;

/// What a decision record says. From it on the records from 1 to `last` have no bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The number of the first record that this decision dropped: what stands before it was dropped by
    /// earlier ones.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// What the org's policy said: for how long bodies are kept.
    pub keep: Duration,
    /// The record by which the policy was set, where it is known.
    pub setting: Option<EventId>,
    /// How many records the last checkpoint covered at that time; all that were dropped are among them.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

#[derive(Serialize, Deserialize)]
struct Written {
    first: u64,
    last: u64,
    keep_audit_for: String,
    #[serde(default)]
    setting: Option<String>,
    size: u64,
    root: String,
}

#[derive(Deserialize)]
struct Change {
    dropped: Written,
}

#[derive(Deserialize)]
struct Said {
    change: Change,
}

impl Decision {
    /// The member `change` of its record.
    #[must_use]
    pub fn change(&self) -> serde_json::Value {
        json!({"dropped": {
            "first": self.first,
            "last": self.last,
            "keep_audit_for": format_duration(self.keep),
            "setting": self.setting.map(|id| id.to_string()),
            "size": self.size,
            "root": self.root.to_string(),
        }})
    }

    /// The decision that a record is, by its exact bytes; `None` for every other record, and for what is
    /// no decision that a server makes.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        if kind_of(record)? != Kind::Retention.as_str() {
            return None;
        }
        let said: Said = serde_json::from_slice(record).ok()?;
        let written = said.change.dropped;
        let setting = written.setting.map(|id| id.parse()).transpose().ok()?;
        let decision = Self {
            first: written.first,
            last: written.last,
            keep: parse_duration(&written.keep_audit_for).ok()?,
            setting,
            size: written.size,
            root: from_hex(&written.root)?,
        };
        let is_range = decision.first > 0 && decision.first <= decision.last;
        (is_range && decision.last <= decision.size).then_some(decision)
    }
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut bytes = [0; HASH_BYTES];
    if text.len() != 2 * HASH_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in (0..).step_by(2).zip(&mut bytes) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Hash::from_bytes(bytes))
}

/// What is left of a run when its first records are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// When the earliest of them began.
    pub at_min: Timestamp,
    /// When the latest of them began.
    pub at_max: Timestamp,
    /// The records, each with a line break after it.
    pub lines: Vec<u8>,
}

/// Cuts so many records off the beginning of a run that has so many more; `None` where it has another number,
/// or one that says no time.
#[must_use]
pub fn cut_run(lines: &[u8], count: u64, more: u64) -> Option<Rest> {
    let count = usize::try_from(count).ok()?;
    let mut ends = memchr::memchr_iter(b'\n', lines);
    let begin = match count.checked_sub(1) {
        None => 0,
        Some(before) => ends.nth(before)? + 1,
    };
    let lines = lines.get(begin..)?;
    let records = lines.strip_suffix(b"\n")?;
    let mut bounds: Option<(Timestamp, Timestamp)> = None;
    let mut left = 0;
    for record in records.split(|byte| *byte == b'\n') {
        let at = time_of(record)?;
        let (min, max) = bounds.unwrap_or((at, at));
        bounds = Some((min.min(at), max.max(at)));
        left += 1;
    }
    let bounds = bounds.filter(|_| left == more);
    let (at_min, at_max) = bounds?;
    Some(Rest {
        at_min,
        at_max,
        lines: lines.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Decision, cut_run};
    use crate::{
        id::{EventId, OrgId},
        ledger::{
            entry::{Draft, Entry, Kind},
            tree::leaf_hash,
        },
        tier::Actor,
        time::Timestamp,
    };

    fn entry(kind: Kind, at: i64, change: Option<&str>) -> Entry {
        let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
        let at = Timestamp::from_millis(at);
        let draft = Draft::of_operation(id, 7, at, org, &Actor::Policy);
        let draft = Draft {
            kind,
            change,
            ..draft
        };
        draft.write()
    }

    fn decision() -> Decision {
        Decision {
            first: 257,
            last: 1024,
            keep: Duration::from_hours(24 * 90),
            setting: Some(EventId::from_u128(9)),
            size: 1500,
            root: leaf_hash(b"a"),
        }
    }

    #[test]
    fn decision_is_read_from_its_record_and_from_no_other() {
        for setting in [Some(EventId::from_u128(9)), None] {
            let decision = Decision {
                setting,
                ..decision()
            };
            let change = decision.change().to_string();
            let record = entry(Kind::Retention, 1, Some(&change));
            assert_eq!(Decision::read(record.bytes()), Some(decision));
            let other = entry(Kind::Operation, 1, Some(&change));
            assert_eq!(Decision::read(other.bytes()), None);
        }
        assert_eq!(Decision::read(b""), None);
        let bare = entry(Kind::Retention, 1, None);
        assert_eq!(Decision::read(bare.bytes()), None);
    }

    #[test]
    fn what_no_server_decides_is_no_decision() {
        let table = [(0, 256, 256), (257, 256, 300), (1, 512, 511)];
        for (first, last, size) in table {
            let decision = Decision {
                first,
                last,
                size,
                ..decision()
            };
            let change = decision.change().to_string();
            let record = entry(Kind::Retention, 1, Some(&change));
            assert_eq!(Decision::read(record.bytes()), None, "{decision:?}");
        }
        let change = decision().change().to_string();
        let root = decision().root.to_string();
        let table = [
            (root.as_str(), "\\u00e9"),
            ("90d", "x"),
            ("evt_", "tok_"),
            ("1024", "-1"),
        ];
        for (from, to) in table {
            let change = change.replace(from, to);
            let record = entry(Kind::Retention, 1, Some(&change));
            assert_eq!(Decision::read(record.bytes()), None, "{change}");
        }
    }

    #[test]
    fn rest_of_a_run_knows_its_own_bounds() {
        let entries = [3, 9, 5, 4].map(|at| entry(Kind::Request, at, None));
        let lines = |from: usize| -> Vec<u8> {
            let lines = entries.iter().skip(from).map(Entry::bytes);
            lines.flat_map(|line| [line, b"\n"].concat()).collect()
        };
        let all = lines(0);
        for (count, min, max) in [(0, 3, 9), (1, 4, 9), (2, 4, 5), (3, 4, 4)] {
            let rest = cut_run(&all, count, 4 - count).expect("some are left");
            assert_eq!((rest.at_min.millis(), rest.at_max.millis()), (min, max));
            assert_eq!(rest.lines, lines(usize::try_from(count).expect("small")));
        }
        for count in [4, 5, u64::MAX] {
            assert_eq!(cut_run(&all, count, 0), None);
        }
        for more in [0, 1, 3] {
            assert_eq!(cut_run(&all, 2, more), None);
        }
        assert_eq!(cut_run(b"no record\n", 0, 1), None);
        let open = all.strip_suffix(b"\n").expect("one");
        assert_eq!(cut_run(open, 1, 3), None);
    }
}
