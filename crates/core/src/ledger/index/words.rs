//! The parts of the paths of a block: what stands between their slashes, and in which records.

use std::collections::BTreeMap;

use crate::ledger::search::folded_path;

/// A longer part is not kept: it may be anything.
const WORD_BYTES_MAX: usize = 128;
/// So many bytes of parts are kept of a block. Whoever makes up paths fills no more; the rest may be
/// anything.
const BLOCK_BYTES_MAX: usize = 160 * 1024;
/// What stands in more records than this stands anywhere: where does not need to be said.
const PLACES_MAX: usize = 1024;
/// Stands for the number of the places where they are not said.
pub(super) const ANYWHERE: u16 = u16::MAX;

/// The parts, while the records of a block are read. The empty one stands for whatever is not kept.
#[derive(Debug, Default)]
pub(super) struct Words {
    places: BTreeMap<Box<str>, Vec<u16>>,
    bytes: usize,
}

impl Words {
    /// Adds the path of the record at this place, as it is written. Places come in order.
    pub(super) fn add(&mut self, path: &[u8], place: u16) {
        let Some(path) = folded_path(path) else {
            return self.put("", place);
        };
        for word in path.split('/').filter(|word| !word.is_empty()) {
            self.put(word, place);
        }
    }

    fn put(&mut self, word: &str, place: u16) {
        let known = self.places.get_mut(word);
        if let Some(places) = known {
            if places.last() != Some(&place) {
                places.push(place);
            }
            return;
        }
        let bytes = self.bytes + word.len();
        let is_kept = word.len() <= WORD_BYTES_MAX && bytes <= BLOCK_BYTES_MAX;
        if is_kept || word.is_empty() {
            self.bytes = bytes;
            self.places.insert(word.into(), vec![place]);
        } else {
            self.put("", place);
        }
    }

    /// The row: each part in order, its length in one byte before it, with its places. All numbers are
    /// big-endian: two bytes for how many places follow, two for each.
    pub(super) fn into_row(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(self.bytes);
        for (word, places) in self.places {
            push_word(&mut row, word.as_bytes());
            let count = u16::try_from(places.len()).ok();
            match count.filter(|_| places.len() <= PLACES_MAX) {
                None => row.extend_from_slice(&ANYWHERE.to_be_bytes()),
                Some(count) => {
                    row.extend_from_slice(&count.to_be_bytes());
                    row.extend(places.iter().flat_map(|place| place.to_be_bytes()));
                }
            }
        }
        row
    }
}

/// A part with its length.
pub(super) fn push_word(row: &mut Vec<u8>, word: &[u8]) {
    row.push(u8::try_from(word.len()).unwrap_or(0));
    row.extend_from_slice(word);
}
