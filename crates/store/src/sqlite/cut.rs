//! Single records out of runs. PostgreSQL cuts them out itself.

use memchr::memchr;
use rusqlite::blob::Blob;

use super::Outcome;

/// How much of a run is read at once to find single records in it.
const CHUNK: usize = 32 * 1024;

/// A buffer to read single records with.
pub(super) struct Cutter {
    chunk: Vec<u8>,
}

impl Default for Cutter {
    fn default() -> Self {
        let chunk = vec![0; CHUNK];
        Self { chunk }
    }
}

impl Cutter {
    /// The records with these numbers, which ascend or descend, out of the lines of a run: in ascending
    /// order. The lines are read as far as the last of them. Numbers that it does not hold are left out.
    pub(super) fn cut(
        &mut self,
        lines: &Blob<'_>,
        first_seq: u64,
        named: &[u64],
    ) -> Outcome<Vec<(u64, Vec<u8>)>> {
        let mut found = Vec::with_capacity(named.len());
        let mut named = named.to_vec();
        if !named.is_sorted() {
            named.reverse();
        }
        let mut wanted = named.into_iter().peekable();
        let (mut seq, mut offset, mut line) = (first_seq, 0, Vec::new());
        while let Some(next) = wanted.peek().copied() {
            let length = lines.read_at(&mut self.chunk, offset)?;
            let mut rest = self.chunk.get(..length).unwrap_or_default();
            if rest.is_empty() {
                // Its last line has no end.
                if next == seq && !line.is_empty() {
                    found.push((seq, line));
                }
                break;
            }
            offset += length;
            let mut next = Some(next);
            while let Some((record, behind)) =
                memchr(b'\n', rest).and_then(|at| rest.split_at_checked(at))
            {
                if next == Some(seq) {
                    line.extend_from_slice(record);
                    found.push((seq, std::mem::take(&mut line)));
                    wanted.next();
                    next = wanted.peek().copied();
                }
                seq += 1;
                rest = behind.get(1..).unwrap_or_default();
            }
            if next == Some(seq) {
                line.extend_from_slice(rest);
            }
        }
        Ok(found)
    }
}
