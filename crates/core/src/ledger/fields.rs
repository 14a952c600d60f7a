//! What stands where in a kept record, without parsing it: members are found in the order in which they
//! were written. What a caller chose stands there with its quotation marks escaped, so it cannot end a
//! text.

use memchr::{memchr2, memmem::find};

/// Some members of a record, as they are written: texts without their quotation marks, and still
/// escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) kind: &'a [u8],
    pub(super) actor: &'a [u8],
    pub(super) key: Option<&'a [u8]>,
    /// The texts of the chain, with what stands between them; empty for none.
    chain: &'a [u8],
    pub(super) method: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) route: &'a [u8],
    pub(super) workspace: Option<&'a [u8]>,
    /// From the status on.
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads a record; `None` for what is none.
    pub(super) fn read(record: &'a [u8]) -> Option<Self> {
        let (kind, rest) = text_end(after(record, b",\"kind\":\"")?)?;
        let (_, rest) = text_end(rest.strip_prefix(b",\"tier\":\"")?)?;
        let (actor, mut rest) = text_end(rest.strip_prefix(b",\"actor\":\"")?)?;
        let mut optional = |lead: &[u8]| {
            let (text, behind) = text_end(rest.strip_prefix(lead)?)?;
            rest = behind;
            Some(text)
        };
        let key = optional(b",\"key\":\"");
        let mut chain: &[u8] = &[];
        if let Some(list) = rest.strip_prefix(b",\"chain\":[") {
            // Ids alone: no bracket stands in one.
            let end = memchr::memchr(b']', list)?;
            (chain, rest) = (list.get(..end)?, list.get(end + 1..)?);
        }
        let (_, mut rest) = text_end(rest.strip_prefix(b",\"root\":\"")?)?;
        if let Some(other) = rest.strip_prefix(b",\"impersonator\":\"") {
            rest = text_end(other)?.1;
        }
        let (method, rest) = text_end(rest.strip_prefix(b",\"method\":\"")?)?;
        let (path, rest) = text_end(rest.strip_prefix(b",\"path\":\"")?)?;
        let (route, mut rest) = text_end(rest.strip_prefix(b",\"route\":\"")?)?;
        let mut workspace = None;
        if let Some(id) = rest.strip_prefix(b",\"workspace\":\"") {
            let (id, behind) = text_end(id)?;
            (workspace, rest) = (Some(id), behind);
        }
        Some(Self {
            kind,
            actor,
            key,
            chain,
            method,
            path,
            route,
            workspace,
            rest,
        })
    }

    /// The keys of the chain.
    pub(super) fn chain(&self) -> impl Iterator<Item = &'a [u8]> {
        let ids = self.chain.split(|byte| *byte == b',');
        ids.filter_map(|id| id.strip_prefix(b"\"")?.strip_suffix(b"\""))
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        let status = self.rest.strip_prefix(b",\"status\":").unwrap_or_default();
        let digits = status.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u16, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u16::from(digit - b'0'))
        })
    }

    /// The keys that are named by what was changed. Deeper ones are found too, and do not fit.
    pub(super) fn changed_keys(&self) -> impl Iterator<Item = &'a [u8]> {
        // Most records stand for no change, and end soon after their status.
        let mut change = after(self.rest, b",\"change\":{").unwrap_or_default();
        std::iter::from_fn(move || {
            // `id`, or `token_id` where the id is that of a request.
            let (value, behind) = text_end(after(change, b"id\":\"")?)?;
            change = behind;
            Some(value)
        })
        .filter(|value| value.starts_with(b"tok_"))
    }
}

fn after<'a>(text: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    text.get(find(text, needle)? + needle.len()..)
}

/// A JSON text up to its closing quotation mark, and what stands behind that.
fn text_end(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        from = at + 2;
    }
}
