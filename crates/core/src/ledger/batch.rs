//! Records on their way to one commit: of each org one text in JSON Lines, as an export holds it.

use memchr::memchr;

use super::{entry::Entry, tree::Hash};
use crate::{id::OrgId, time::Timestamp};

/// A run that holds this many bytes is full: readers take a run at a time.
pub const RUN_BYTES_MAX: usize = 256 * 1024;

/// How many buffers a cleared batch keeps.
const SPARE_MAX: usize = 8;

/// The records in the lines of a run, each without its line break. No lines at all are one record
/// without a byte.
pub fn records(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(lines.strip_suffix(b"\n").unwrap_or(lines));
    std::iter::from_fn(move || {
        let text = rest?;
        let Some((record, behind)) = memchr(b'\n', text).and_then(|at| text.split_at_checked(at))
        else {
            rest = None;
            return Some(text);
        };
        rest = behind.get(1..);
        Some(record)
    })
}

/// Consecutive records of one org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The org whose trail they belong to.
    pub org: OrgId,
    /// When the earliest of them began.
    pub at_min: Timestamp,
    /// When the latest of them began.
    pub at_max: Timestamp,
    /// The records, each with a line break after it.
    pub lines: Vec<u8>,
    /// The hash of each record, as a leaf of the tree of the trail; at least one.
    pub leaves: Vec<Hash>,
}

impl Run {
    /// How many records they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.leaves.len()).unwrap_or(u64::MAX)
    }

    /// Adds the records of a run that follows this one.
    pub fn join(&mut self, next: &Self) {
        self.at_min = self.at_min.min(next.at_min);
        self.at_max = self.at_max.max(next.at_max);
        self.lines.extend_from_slice(&next.lines);
        self.leaves.extend_from_slice(&next.leaves);
    }
}

/// Records of any number of orgs, each org's in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    runs: Vec<Run>,
    count: usize,
    bytes: usize,
    /// Empty, with room: of a batch that was cleared.
    spare: Vec<(Vec<u8>, Vec<Hash>)>,
}

impl Batch {
    /// Adds a record.
    pub fn push(&mut self, entry: &Entry) {
        let (org, at, bytes) = (entry.org(), entry.at(), entry.bytes());
        self.count += 1;
        self.bytes += bytes.len() + 1;
        // Newest first: the last run of an org is the one that may still have room.
        let last = self.runs.iter_mut().rev().find(|run| run.org == org);
        let run = match last {
            Some(run) if run.lines.len() < RUN_BYTES_MAX => run,
            Some(_) | None => {
                let (lines, leaves) = self.spare.pop().unwrap_or_default();
                self.runs.push(Run {
                    org,
                    at_min: at,
                    at_max: at,
                    lines,
                    leaves,
                });
                let Some(run) = self.runs.last_mut() else {
                    return;
                };
                run
            }
        };
        run.at_min = run.at_min.min(at);
        run.at_max = run.at_max.max(at);
        run.lines.extend_from_slice(bytes);
        run.lines.push(b'\n');
        run.leaves.push(entry.leaf());
    }

    /// Forgets the records, and keeps the memory for others.
    pub fn clear(&mut self) {
        for mut run in self.runs.drain(..) {
            run.lines.clear();
            run.leaves.clear();
            self.spare.push((run.lines, run.leaves));
        }
        self.spare.truncate(SPARE_MAX);
        (self.count, self.bytes) = (0, 0);
    }

    /// The runs; those of one org are in order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the records take, with their line breaks.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl FromIterator<Entry> for Batch {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut batch = Self::default();
        entries.into_iter().for_each(|entry| batch.push(&entry));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, RUN_BYTES_MAX, records};
    use crate::{
        id::{EventId, OrgId},
        ledger::entry::{Draft, Entry},
        tier::Actor,
        time::Timestamp,
    };

    const NOBODY: Actor = Actor::AdminToken;

    fn draft() -> Draft<'static> {
        let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
        Draft::of_operation(id, 0, Timestamp::from_millis(1), org, &NOBODY)
    }

    fn entry(org: u128, at: i64, path: &str) -> Entry {
        Draft {
            at: Timestamp::from_millis(at),
            org: OrgId::from_u128(org),
            path,
            ..draft()
        }
        .write()
    }

    #[test]
    fn lines_are_taken_apart_where_they_end() {
        for (lines, found) in [
            ("a\nbc\n", vec!["a", "bc"]),
            ("a\nbc", vec!["a", "bc"]),
            ("a\n\nc\n\n", vec!["a", "", "c", ""]),
            ("a", vec!["a"]),
            ("\n", vec![""]),
            ("", vec![""]),
        ] {
            let found: Vec<&[u8]> = found.into_iter().map(str::as_bytes).collect();
            assert_eq!(records(lines.as_bytes()).collect::<Vec<_>>(), found);
        }
    }

    #[test]
    fn records_of_each_org_stay_in_order_and_know_their_bounds() {
        let entries = [
            entry(1, 30, "/a"),
            entry(2, 5, "/b"),
            entry(1, 10, "/c"),
            entry(1, 20, "/d"),
        ];
        let batch: Batch = entries.iter().cloned().collect();
        assert_eq!(batch.len(), 4);
        let [one, two] = batch.runs() else {
            panic!("{batch:?}")
        };
        let lines = [&entries[0], &entries[2], &entries[3]].map(Entry::bytes);
        assert_eq!(one.lines, [lines.join(&b'\n'), vec![b'\n']].concat());
        assert_eq!((one.count(), two.count()), (3, 1));
        let leaves = [&entries[0], &entries[2], &entries[3]].map(Entry::leaf);
        assert_eq!(one.leaves, leaves);
        assert_eq!((one.at_min.millis(), one.at_max.millis()), (10, 30));
        assert_eq!((two.at_min.millis(), two.at_max.millis()), (5, 5));
        assert_eq!(batch.bytes(), one.lines.len() + two.lines.len());
    }

    #[test]
    fn cleared_batch_is_as_good_as_a_new_one() {
        let mut batch = Batch::default();
        (0..5).for_each(|org| batch.push(&entry(org, 1, "/a")));
        batch.clear();
        assert!(batch.is_empty() && batch.runs().is_empty());
        assert_eq!(batch.bytes(), 0);
        batch.push(&entry(7, 9, "/b"));
        let new: Batch = [entry(7, 9, "/b")].into_iter().collect();
        assert_eq!(batch.runs(), new.runs());
    }

    #[test]
    fn full_run_is_followed_by_another() {
        let record = entry(1, 1, &"x".repeat(1000));
        let mut batch = Batch::default();
        while batch.runs().len() < 3 {
            batch.push(&record);
        }
        let [first, second, third] = batch.runs() else {
            panic!("three")
        };
        assert_eq!(first.count(), second.count());
        assert_eq!(third.count(), 1);
        let last = record.bytes().len() + 1;
        assert!((RUN_BYTES_MAX..RUN_BYTES_MAX + last).contains(&first.lines.len()));
    }
}
