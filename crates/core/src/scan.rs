//! Finds secrets in bytes of any kind, by their shape and their checksum: nobody needs to be asked.
//!
//! What stands around a secret does not count. A secret that is glued to other letters and digits,
//! as in `KEYmole_…` or in one line of a minified file, opens the door all the same. So every `mole_`
//! with 49 base62 digits behind it is looked at, whatever precedes and follows, and the checksum
//! decides: digits that are there by chance pass it once in 2^32 places, and no delimiter is needed
//! to be sure. Two secrets that touch, or share the letters of a brand, are both found.

use std::ops::Range;

use memchr::{memchr_iter, memrchr};
use zeroize::Zeroizing;

use crate::token::{Brand, Prefix, SECRET_LEN_MAX, digest_of_presented};

/// How much of what was seen may be the beginning of a secret whose end is still to come.
const TAIL_LEN_MAX: usize = SECRET_LEN_MAX - 1;

/// A secret in a slice of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where all of it lies.
    pub range: Range<usize>,
    /// Its public name: the only part that may be shown.
    pub prefix: Prefix,
}

/// Every whole secret of these brands in the bytes, in the order of their underscores.
pub fn find_secrets<'a>(brands: &'a [Brand], bytes: &'a [u8]) -> impl Iterator<Item = Found> {
    // The underscore is the one character of a secret that is neither letter nor digit, and the
    // same for every brand: one pass is enough.
    memchr_iter(b'_', bytes).flat_map(move |underscore| {
        brands
            .iter()
            .filter_map(move |brand| secret_around(brand, bytes, underscore))
    })
}

/// The secret that has its underscore there, if there is one.
fn secret_around(brand: &Brand, bytes: &[u8], underscore: usize) -> Option<Found> {
    let letters = brand.as_str();
    let start = underscore.checked_sub(letters.len())?;
    let range = start..start.checked_add(brand.secret_len())?;
    let candidate = bytes.get(range.clone())?;
    if !candidate.starts_with(letters.as_bytes()) {
        return None;
    }
    let text = str::from_utf8(candidate).ok()?;
    digest_of_presented(brand, text).ok()?;
    let prefix = text.get(..brand.prefix_len())?.parse().ok()?;
    Some(Found { range, prefix })
}

/// The text with the end of every secret in it left out, so that it may be shown.
#[must_use]
pub fn redact(brands: &[Brand], text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for found in find_secrets(brands, text.as_bytes()) {
        let shown = found.range.start + found.prefix.as_str().len();
        out.push_str(text.get(kept..shown).unwrap_or_default());
        out.push('…');
        kept = found.range.end;
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

/// A secret in a stream of bytes, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Its public name.
    pub prefix: Prefix,
    /// How many bytes precede it.
    pub offset: u64,
    /// Its line, from 1. A line ends with a line feed, in binary files too.
    pub line: u64,
    /// The byte of that line with which it begins, from 1.
    pub column: u64,
}

/// Finds the secrets of a stream that arrives in chunks, wherever the chunks are cut.
///
/// It keeps 53 bytes at most, however long the stream is.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "what it keeps may be the greater part of a secret"
)]
pub struct Scanner<'a> {
    brands: &'a [Brand],
    tail: Zeroizing<Vec<u8>>,
    /// How many bytes were seen.
    offset: u64,
    /// The line of the next byte.
    line: u64,
    /// How many bytes precede that line.
    line_start: u64,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new(brands: &'a [Brand]) -> Self {
        Self {
            brands,
            // With room for all that it will ever hold: what moves leaves a copy behind.
            tail: Zeroizing::new(Vec::with_capacity(TAIL_LEN_MAX)),
            offset: 0,
            line: 1,
            line_start: 0,
        }
    }

    /// Takes the next bytes, and gives the secrets that end in them.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.push_each(chunk, &mut |finding, _secret| findings.push(finding));
        findings
    }

    /// Takes the next bytes, and hands over each secret that ends in them, with the secret itself: for
    /// those who must have it looked up.
    pub fn push_each(&mut self, chunk: &[u8], each: &mut dyn FnMut(Finding, &[u8])) {
        self.over_the_seam(chunk, each);
        let (begin, mut counted) = (self.offset, 0);
        for found in find_secrets(self.brands, chunk) {
            self.count_lines(chunk, counted..found.range.start);
            counted = counted.max(found.range.start);
            let offset = begin.saturating_add(wide(found.range.start));
            let secret = chunk.get(found.range.clone()).unwrap_or_default();
            each(self.finding(found.prefix, offset), secret);
        }
        self.count_lines(chunk, counted..chunk.len());
        self.offset = begin.saturating_add(wide(chunk.len()));
        self.keep_tail(chunk);
    }

    /// The secrets that begin in what was kept and end in this chunk.
    fn over_the_seam(&self, chunk: &[u8], each: &mut dyn FnMut(Finding, &[u8])) {
        let kept = self.tail.len();
        let mut seam = Zeroizing::new(Vec::with_capacity(2 * TAIL_LEN_MAX));
        seam.extend_from_slice(&self.tail);
        seam.extend(chunk.iter().take(TAIL_LEN_MAX));
        find_secrets(self.brands, &seam)
            .filter(|found| found.range.start < kept && kept < found.range.end)
            .for_each(|found| {
                // From where it begins up to the chunk there is nothing but the secret, which has
                // no line feed: its line is that of the first byte of the chunk.
                let back = wide(kept - found.range.start);
                let finding = self.finding(found.prefix, self.offset.saturating_sub(back));
                each(finding, seam.get(found.range).unwrap_or_default());
            });
    }

    /// A secret in the line that was counted to.
    fn finding(&self, prefix: Prefix, offset: u64) -> Finding {
        Finding {
            prefix,
            offset,
            line: self.line,
            column: offset.saturating_sub(self.line_start).saturating_add(1),
        }
    }

    fn count_lines(&mut self, chunk: &[u8], range: Range<usize>) {
        let begin = self.offset.saturating_add(wide(range.start));
        let stretch = chunk.get(range).unwrap_or_default();
        if let Some(last) = memrchr(b'\n', stretch) {
            let lines = memchr_iter(b'\n', stretch).count();
            self.line = self.line.saturating_add(wide(lines));
            self.line_start = begin.saturating_add(wide(last)).saturating_add(1);
        }
    }

    fn keep_tail(&mut self, chunk: &[u8]) {
        let fresh = chunk
            .len()
            .checked_sub(TAIL_LEN_MAX)
            .and_then(|from| chunk.get(from..));
        match fresh {
            Some(end) => {
                self.tail.clear();
                self.tail.extend_from_slice(end);
            }
            None => {
                let excess = (self.tail.len() + chunk.len()).saturating_sub(TAIL_LEN_MAX);
                self.tail.drain(..excess);
                self.tail.extend_from_slice(chunk);
            }
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::{Just, Strategy, any, prop_oneof, proptest},
    };

    use super::{Finding, Scanner, find_secrets, redact, wide};
    use crate::token::{Brand, Secret};

    const BRANDS: [Brand; 2] = [Brand::ORG_KEY, Brand::WORKSPACE_TOKEN];

    fn brand() -> impl Strategy<Value = Brand> {
        prop_oneof![Just(Brand::ORG_KEY), Just(Brand::WORKSPACE_TOKEN)]
    }

    /// Bytes that are near to a secret more often than chance would have it, and bytes that are not.
    fn surroundings() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            vec(any::<u8>(), 0..90),
            "(mole|molw|mole_|molw_|_|[0-9A-Za-z]{1,60}|[ \n\r\t\"=]){0,6}"
                .prop_map(String::into_bytes),
            "mole_[0-9A-Za-z]{48,50}".prop_map(String::into_bytes),
        ];
        vec(piece, 0..4).prop_map(|pieces| pieces.concat())
    }

    /// Pushes the bytes in pieces of these lengths, again and again.
    fn scan(bytes: &[u8], lengths: &[usize]) -> Vec<Finding> {
        let mut scanner = Scanner::new(&BRANDS);
        let mut findings = vec![];
        let mut rest = bytes;
        for length in lengths.iter().cycle() {
            let (piece, next) = rest.split_at((*length).min(rest.len()));
            findings.extend(scanner.push(piece));
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        findings
    }

    /// Where the offset is, counted byte by byte.
    fn place(bytes: &[u8], offset: usize) -> (u64, u64) {
        bytes[..offset]
            .iter()
            .fold((1, 1), |(line, column), byte| match byte {
                b'\n' => (line + 1, 1),
                _ => (line, column + 1),
            })
    }

    proptest! {
        #[test]
        fn planted_secrets_are_found_whatever_surrounds_them_and_however_they_arrive(
            parts in vec((surroundings(), brand(), any::<[u8; 32]>()), 1..4),
            end in surroundings(),
            lengths in vec(1_usize..200, 1..8),
        ) {
            let (mut bytes, mut expected) = (vec![], vec![]);
            for (before, brand, entropy) in parts {
                bytes.extend(before);
                let secret = Secret::from_entropy(&brand, &entropy);
                expected.push((secret.prefix(), bytes.len()));
                bytes.extend(secret.expose().as_bytes());
            }
            bytes.extend(end);
            let expected: Vec<Finding> = expected
                .into_iter()
                .map(|(prefix, offset)| {
                    let (line, column) = place(&bytes, offset);
                    Finding { prefix, offset: wide(offset), line, column }
                })
                .collect();
            assert_eq!(scan(&bytes, &lengths), expected);
            assert_eq!(scan(&bytes, &[bytes.len()]), expected);
        }

        #[test]
        fn secret_is_handed_over_whole_wherever_it_is_cut(
            before in surroundings(),
            entropy in any::<[u8; 32]>(),
            length in 1_usize..80,
        ) {
            let secret = Secret::from_entropy(&Brand::ORG_KEY, &entropy);
            let bytes = [&before, secret.expose().as_bytes(), b"\n"].concat();
            let mut scanner = Scanner::new(&BRANDS);
            let mut handed = vec![];
            for piece in bytes.chunks(length) {
                scanner.push_each(piece, &mut |_, secret| handed.push(secret.to_vec()));
            }
            assert_eq!(handed, [secret.expose().as_bytes()]);
        }

        #[test]
        fn random_bytes_hold_no_secret(bytes in surroundings(), lengths in vec(1_usize..200, 1..8)) {
            assert_eq!(scan(&bytes, &lengths), []);
        }

        #[test]
        fn one_changed_byte_makes_it_no_secret(
            brand in brand(),
            entropy in any::<[u8; 32]>(),
            at in 0_usize..54,
            to in any::<u8>(),
            before in surroundings(),
            after in surroundings(),
        ) {
            let secret = Secret::from_entropy(&brand, &entropy);
            let mut bytes = [before.as_slice(), secret.expose().as_bytes(), &after].concat();
            let changed = &mut bytes[before.len() + at];
            let is_same = *changed == to;
            *changed = to;
            assert_eq!(scan(&bytes, &[64]).len(), usize::from(is_same));
        }

        #[test]
        fn pattern_for_other_scanners_fits_every_secret(
            brand in brand(),
            entropy in any::<[u8; 32]>(),
        ) {
            assert!(fits_the_pattern(&Secret::from_entropy(&brand, &entropy)));
        }

        #[test]
        fn redacted_text_keeps_prefixes_and_holds_no_secret(
            before in ".{0,20}",
            brand in brand(),
            entropy in any::<[u8; 32]>(),
            after in ".{0,20}",
        ) {
            let secret = Secret::from_entropy(&brand, &entropy);
            let text = format!("{before}{}{after}", secret.expose());
            let shown = redact(&BRANDS, &text);
            assert_eq!(shown, format!("{before}{}…{after}", secret.prefix()));
            assert_eq!(redact(&BRANDS, &shown), shown);
        }
    }

    /// What `deploy/gitleaks.toml` builds its pattern on.
    fn fits_the_pattern(secret: &Secret) -> bool {
        let (_, digits) = secret.expose().split_once('_').unwrap_or_default();
        let (body, checksum) = digits.split_at_checked(43).unwrap_or_default();
        !body.starts_with('z') && checksum.starts_with(|digit| matches!(digit, '0'..='4'))
    }

    #[test]
    fn greatest_number_has_the_greatest_first_digit() {
        let greatest = Secret::from_entropy(&Brand::ORG_KEY, &[0xff; 32]);
        assert!(greatest.expose().starts_with("mole_y"));
        assert!(fits_the_pattern(&greatest));
    }

    #[test]
    fn secrets_that_touch_are_both_found() {
        let one = Secret::from_entropy(&Brand::ORG_KEY, &[1; 32]);
        let other = Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &[2; 32]);
        let text = format!("{}{}", one.expose(), other.expose());
        let found: Vec<_> = find_secrets(&BRANDS, text.as_bytes()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].range, 0..54);
        assert_eq!(found[1].range, 54..108);
        assert_eq!(
            redact(&BRANDS, &text),
            format!("{}…{}…", one.prefix(), other.prefix())
        );
    }

    #[test]
    fn short_brand_is_found_once_though_all_of_it_is_kept() {
        let brands = ["kx".parse().expect("a brand"), Brand::ORG_KEY];
        let secret = Secret::from_entropy(&brands[0], &[3; 32]);
        let mut scanner = Scanner::new(&brands);
        assert_eq!(secret.expose().len(), 52);
        assert_eq!(scanner.push(secret.expose().as_bytes()).len(), 1);
        assert_eq!(scanner.push(b"\n").len(), 0);
    }

    #[test]
    fn brand_that_is_not_asked_for_is_not_found() {
        let secret = Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &[4; 32]);
        assert_eq!(scan(secret.expose().as_bytes(), &[54]).len(), 1);
        let mut scanner = Scanner::new(&[Brand::ORG_KEY]);
        assert_eq!(scanner.push(secret.expose().as_bytes()), []);
    }
}
