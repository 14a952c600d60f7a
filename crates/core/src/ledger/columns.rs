//! What is kept beside the records so that they are found, held against the records: a column that says
//! something else is named, with the first record concerned.

use memchr::memmem::find;

use super::{
    batch::records,
    index::{Blocks, CHAPTER_BLOCKS, Places, SPOT_BYTES, before_block, first_difference},
};
use crate::{id::OrgId, time::Timestamp};

/// Within so many bytes a record has said whose it is, when it was, and what it is about.
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
    if !lines.ends_with(b"\n") {
        let what = "the last line of its run has no end".to_owned();
        found.push(Difference::new("audit_runs.lines", run.last_seq, what));
    }
    let mut said = Said::default();
    for (seq, record) in (first..).zip(records(lines)) {
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
        let Some(at) = time_of(record) else {
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

/// When a record says that its request began.
pub(super) fn time_of(record: &[u8]) -> Option<Timestamp> {
    let head = record.get(..HEAD_BYTES).unwrap_or(record);
    text(head, b"\"time\":\"")?.parse().ok()
}

/// What a record says that it is about.
pub(super) fn kind_of(record: &[u8]) -> Option<&str> {
    let head = record.get(..HEAD_BYTES).unwrap_or(record);
    text(head, b"\"kind\":\"")
}

/// The text that begins behind these bytes.
fn text<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let rest = head.get(find(head, name)? + name.len()..)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The rows of a block or of a chapter, by bucket, as they have to be and as they are kept.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// As they have to be; see [`Block::into_rows`](super::index::Block::into_rows).
    pub own: &'a [(u8, Vec<u8>)],
    /// As they are kept.
    pub kept: &'a [(u64, Vec<u8>)],
}

impl<'a> Rows<'a> {
    /// The rows that are not alike, by bucket. One of the two may not be there.
    fn unlike(self) -> impl Iterator<Item = (u64, Option<&'a [u8]>, Option<&'a [u8]>)> {
        let kept_of = |bucket: u64| self.kept.iter().find(move |row| row.0 == bucket);
        let own = self.own.iter().map(move |(bucket, own)| {
            let bucket = u64::from(*bucket);
            let kept = kept_of(bucket).map(|(_, kept)| kept.as_slice());
            (bucket, Some(own.as_slice()), kept)
        });
        let is_own = |bucket: u64| self.own.iter().any(|(own, _)| u64::from(*own) == bucket);
        let others = self.kept.iter().filter(move |row| !is_own(row.0));
        let others = others.map(|(bucket, kept)| (*bucket, None, Some(kept.as_slice())));
        own.chain(others).filter(|(_, own, kept)| own != kept)
    }
}

/// Holds the rows of a block of the index against those that its records give. `spots` is the bucket
/// that says where the records stand in their runs, where there is one.
#[must_use]
pub fn of_block(block: u64, rows: Rows<'_>, spots: Option<u8>) -> Option<Difference> {
    let unlike = rows.unlike().map(|(bucket, own, kept)| {
        let is_there = own.is_some() && kept.is_some();
        let (own, kept) = (own.unwrap_or_default(), kept.unwrap_or_default());
        let place = if spots.map(u64::from) == Some(bucket) {
            different_spot(own, kept)
        } else {
            first_difference::<Places>(bucket, own, kept)
        };
        (place.unwrap_or(0), is_there)
    });
    let (place, is_there) = unlike.min_by_key(|(place, _)| *place)?;
    let column = match is_there {
        true => "audit_index.places",
        false => "audit_index.bucket",
    };
    let seq = before_block(block).saturating_add(1).saturating_add(place);
    let what = "the index says otherwise than this record: filters may miss it".to_owned();
    Some(Difference::new(column, seq, what))
}

/// Holds the rows of a chapter of the index against those that the records of its blocks give. Of each
/// column the first block is named of which it says something else.
#[must_use]
pub fn of_chapter(chapter: u64, rows: Rows<'_>) -> Vec<Difference> {
    let (mut blocks, mut buckets) = (None::<u64>, None::<u64>);
    for (bucket, own, kept) in rows.unlike() {
        let first = match own.is_some() && kept.is_some() {
            true => &mut blocks,
            false => &mut buckets,
        };
        let (own, kept) = (own.unwrap_or_default(), kept.unwrap_or_default());
        let block = first_difference::<Blocks>(bucket, own, kept).unwrap_or(0);
        *first = Some(first.map_or(block, |first| first.min(block)));
    }
    let named = [
        ("audit_chapters.blocks", blocks),
        ("audit_chapters.bucket", buckets),
    ];
    let differences = named.into_iter().filter_map(|(column, block)| {
        let block = chapter
            .saturating_mul(CHAPTER_BLOCKS)
            .saturating_add(block?);
        let last = before_block(block.saturating_add(1));
        let what = format!(
            "the chapter says otherwise than the records up to {last}: filters may pass them by"
        );
        let seq = before_block(block).saturating_add(1);
        Some(Difference::new(column, seq, what))
    });
    differences.collect()
}

/// The place of the first record that stands elsewhere than the row says.
fn different_spot(own: &[u8], kept: &[u8]) -> Option<u64> {
    if own == kept {
        return None;
    }
    let mut pairs = own.iter().zip(kept);
    let at = pairs.position(|(own, kept)| own != kept);
    let at = at.unwrap_or_else(|| own.len().min(kept.len()));
    u64::try_from(at / SPOT_BYTES).ok()
}

#[cfg(test)]
mod tests;
