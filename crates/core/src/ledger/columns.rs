//! What is kept beside the records so that they are found, held against the records: a column that says
//! something else is named, with the first record concerned.

use memchr::memmem::find;

use super::index::{Block, SPOT_BYTES, before_block, block_of, first_difference};
use crate::{id::OrgId, time::Timestamp};

/// Within so many bytes a record has said whose it is, and when it was.
const HEAD_BYTES: usize = 160;

/// A column that does not say what the records say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which: the table and the column.
    pub column: &'static str,
    /// The number of the first record concerned.
    pub seq: u64,
    /// What it says, and what follows from that.
    pub what: String,
}

impl Difference {
    /// A difference.
    #[must_use]
    pub const fn new(column: &'static str, seq: u64, what: String) -> Self {
        Self { column, seq, what }
    }
}

/// What the columns of a run say of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunColumns {
    /// The number of the first record.
    pub first_seq: u64,
    /// The number of the last record.
    pub last_seq: u64,
    /// When the earliest of them began, in milliseconds since 1970.
    pub at_min: i64,
    /// When the latest of them began, in milliseconds since 1970.
    pub at_max: i64,
}

/// Holds the columns of a run against its lines. `next` is the number of the record behind the run
/// before it.
#[must_use]
pub fn of_run(org: OrgId, next: u64, run: RunColumns, lines: &[u8]) -> Vec<Difference> {
    let mut found = Vec::new();
    let first = run.first_seq;
    if first > next {
        let what = format!("no run holds the records {next} to {}", first - 1);
        found.push(Difference::new("audit_runs.first_seq", next, what));
    } else if first < next {
        let what = format!("a second run holds record {first}: filters may show it twice");
        found.push(Difference::new("audit_runs.first_seq", first, what));
    }
    let records = match lines.strip_suffix(b"\n") {
        Some(records) => records,
        None => {
            let what = "the last line of its run has no end".to_owned();
            found.push(Difference::new("audit_runs.lines", run.last_seq, what));
            lines
        }
    };
    let mut said = Said::default();
    for (seq, record) in (first..).zip(records.split(|byte| *byte == b'\n')) {
        said.count += 1;
        said.take(org, seq, record, &mut found);
    }
    let numbers = run.last_seq.saturating_sub(first).saturating_add(1);
    if said.count != numbers {
        let (seq, count) = (first.saturating_add(said.count.min(numbers)), said.count);
        let what =
            format!("the run from record {first} on says {numbers} records and holds {count}");
        found.push(Difference::new("audit_runs.last_seq", seq, what));
        // Without all its records nobody knows the bounds.
        return found;
    }
    let bounds = [
        ("audit_runs.at_min", run.at_min, said.at_min),
        ("audit_runs.at_max", run.at_max, said.at_max),
    ];
    for (column, kept, own) in bounds {
        if let Some(own) = own.filter(|own| own.millis() != kept) {
            let kept = Timestamp::from_millis(kept);
            let what = format!(
                "it says {kept}, and the records of its run say {own}: filters by time may miss them"
            );
            found.push(Difference::new(column, first, what));
        }
    }
    found
}

/// What the records of a run say.
#[derive(Default)]
struct Said {
    count: u64,
    at_min: Option<Timestamp>,
    at_max: Option<Timestamp>,
}

impl Said {
    fn take(&mut self, org: OrgId, seq: u64, record: &[u8], found: &mut Vec<Difference>) {
        let head = record.get(..HEAD_BYTES).unwrap_or(record);
        let at = text(head, b"\"time\":\"").and_then(|text| text.parse::<Timestamp>().ok());
        let Some(at) = at else {
            let what = "it has no time that can be read".to_owned();
            found.push(Difference::new("audit_runs.lines", seq, what));
            return;
        };
        self.at_min = Some(self.at_min.map_or(at, |min| min.min(at)));
        self.at_max = Some(self.at_max.map_or(at, |max| max.max(at)));
        let own = text(head, b"\"org\":\"").and_then(|text| text.parse::<OrgId>().ok());
        if own != Some(org) {
            let what = "it stands in the trail of another org than it names".to_owned();
            found.push(Difference::new("audit_runs.org", seq, what));
        }
    }
}

/// The text that begins behind these bytes.
fn text<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let rest = head.get(find(head, name)? + name.len()..)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// Holds the rows of a block of the index, by bucket, against its records. `spots` is the bucket that
/// says where the records stand in their runs, where there is one.
#[must_use]
pub fn of_block(
    first_seq: u64,
    own: Block,
    kept: &[(u64, Vec<u8>)],
    spots: Option<u8>,
) -> Option<Difference> {
    let block = block_of(first_seq);
    let own_spots = spots.map(|bucket| (bucket, own.spots().to_vec()));
    let mut rows = own.into_rows();
    rows.extend(own_spots);
    let mut found: Option<(u16, &'static str)> = None;
    let mut note = |place: u16, column| {
        if found.is_none_or(|(first, _)| place < first) {
            found = Some((place, column));
        }
    };
    for (bucket, own) in &rows {
        let is_spots = spots == Some(*bucket);
        let of_bucket = |row: &&(u64, Vec<u8>)| row.0 == u64::from(*bucket);
        match kept.iter().find(of_bucket) {
            None if is_spots => note(0, "audit_index.bucket"),
            None => note(
                first_difference(own, &[]).unwrap_or(0),
                "audit_index.bucket",
            ),
            Some((_, kept)) if is_spots => {
                if let Some(place) = different_spot(own, kept) {
                    note(place, "audit_index.places");
                }
            }
            Some((_, kept)) => {
                if let Some(place) = first_difference(own, kept) {
                    note(place, "audit_index.places");
                }
            }
        }
    }
    let is_own = |bucket: u64| rows.iter().any(|(own, _)| u64::from(*own) == bucket);
    for (_, places) in kept.iter().filter(|(bucket, _)| !is_own(*bucket)) {
        note(
            first_difference(&[], places).unwrap_or(0),
            "audit_index.bucket",
        );
    }
    let (place, column) = found?;
    let seq = before_block(block)
        .saturating_add(1)
        .saturating_add(place.into());
    let what = "the index says otherwise than this record: filters may miss it".to_owned();
    Some(Difference::new(column, seq, what))
}

/// The place of the first record that stands elsewhere than the row says.
fn different_spot(own: &[u8], kept: &[u8]) -> Option<u16> {
    if own == kept {
        return None;
    }
    let mut pairs = own.iter().zip(kept);
    let at = pairs.position(|(own, kept)| own != kept);
    let at = at.unwrap_or_else(|| own.len().min(kept.len()));
    u16::try_from(at / SPOT_BYTES).ok()
}

#[cfg(test)]
mod tests;
