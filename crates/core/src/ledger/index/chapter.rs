//! A chapter of the index: which of its blocks have a value at all.

use std::collections::BTreeMap;

use super::{
    WORDS,
    found::{Blocks, Places, entries, word_entries},
    words::push_word,
};

/// How many blocks a chapter has. The first one begins with the first block.
pub const CHAPTER_BLOCKS: u64 = 64;
/// So many bytes of parts of paths are kept of a chapter.
const CHAPTER_BYTES_MAX: usize = 1024 * 1024;

/// The chapter that holds this block.
#[must_use]
pub const fn chapter_of(block: u64) -> u64 {
    block / CHAPTER_BLOCKS
}

/// A chapter while the rows of its blocks are gathered.
#[derive(Debug, Default)]
pub struct Chapter {
    terms: BTreeMap<(u8, u32), u64>,
    words: BTreeMap<Box<[u8]>, u64>,
    bytes: usize,
}

impl Chapter {
    /// Adds a row of a block. Rows that are no buckets are left out.
    pub fn add_row(&mut self, block: u64, bucket: u8, row: &[u8]) {
        let bit = 1_u64 << (block % CHAPTER_BLOCKS);
        if bucket == WORDS {
            for (word, _) in word_entries::<Places>(row) {
                self.add_word(word, bit);
            }
        } else if bucket < WORDS - 1 {
            for (tag, _) in entries::<Places>(row) {
                *self.terms.entry((bucket, tag)).or_default() |= bit;
            }
        }
    }

    fn add_word(&mut self, word: &[u8], bit: u64) {
        if let Some(blocks) = self.words.get_mut(word) {
            *blocks |= bit;
            return;
        }
        let bytes = self.bytes + word.len();
        if word.is_empty() || bytes <= CHAPTER_BYTES_MAX {
            self.bytes = bytes;
            self.words.insert(word.into(), bit);
        } else {
            *self.words.entry(Box::default()).or_default() |= bit;
        }
    }

    /// The rows, as those of a block; in the place of the places stand eight bytes, with a bit for each
    /// block.
    #[must_use]
    pub fn into_rows(self) -> Vec<(u8, Vec<u8>)> {
        let mut rows: Vec<(u8, Vec<u8>)> = Vec::new();
        for ((bucket, tag), blocks) in self.terms {
            let is_same = |(last, _): &&mut (u8, Vec<u8>)| *last == bucket;
            if rows.last_mut().filter(is_same).is_none() {
                rows.push((bucket, Vec::new()));
            }
            if let Some((_, row)) = rows.last_mut() {
                row.extend_from_slice(&tag.to_be_bytes());
                Blocks(blocks).push_to(row);
            }
        }
        let mut words = Vec::with_capacity(self.bytes);
        for (word, blocks) in self.words {
            push_word(&mut words, &word);
            Blocks(blocks).push_to(&mut words);
        }
        rows.push((WORDS, words));
        rows
    }
}
