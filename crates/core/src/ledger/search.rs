//! Free text: which records have it in their path, or were made by somebody, or in a workspace, whose
//! name has it.
//!
//! Texts are compared in Unicode NFC, and letter by letter without their case.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use unicode_normalization::UnicodeNormalization as _;

use super::{
    fields::Fields,
    index::{Member, Term},
};
use crate::{
    id::{KeyId, WorkspaceId},
    json::push_string,
    text::{TextError, parse_name},
};

/// The longest text, in characters.
pub const SEARCH_CHARS_MAX: usize = 100;

/// A text as it is compared: in NFC, each letter in lower case. A letter whose lower case is more than
/// one stays as it is.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    text.nfc().map(lower).collect()
}

/// A text to be looked for, and those whose names have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    text: String,
    /// As they stand in records.
    keys: HashSet<Vec<u8>>,
    workspaces: HashSet<Vec<u8>>,
    actors: HashSet<Vec<u8>>,
    /// What the index has of a record of any of these: the tags by their buckets, in order.
    tags: BTreeMap<u8, Vec<u32>>,
}

impl Search {
    /// A search for a text, which is trimmed.
    ///
    /// # Errors
    /// [`TextError`] for a text that is empty, has more than [`SEARCH_CHARS_MAX`] characters, or holds
    /// what nobody sees.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        Ok(Self {
            text: fold(&parse_name(text, SEARCH_CHARS_MAX)?),
            ..Self::default()
        })
    }

    /// The text as it is compared; see [`fold`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name has it.
    #[must_use]
    pub fn is_in(&self, name: &str) -> bool {
        fold(name).contains(&self.text)
    }

    /// The longest part of the text that is ASCII: what has the text has this, whatever knows of other
    /// letters or does not. Can be empty.
    #[must_use]
    pub fn ascii_part(&self) -> &str {
        let parts = self.text.split(|c: char| !c.is_ascii());
        parts.max_by_key(|part| part.len()).unwrap_or_default()
    }

    /// From here on also the records of these fit: of requests with these keys, in these workspaces,
    /// and by these actors (by their labels).
    #[must_use]
    pub fn with_named(
        mut self,
        keys: &[KeyId],
        workspaces: &[WorkspaceId],
        actors: &[String],
    ) -> Self {
        let written = |id: &dyn ToString| id.to_string().into_bytes();
        let escaped = |label: &String| {
            let mut out = Vec::new();
            push_string(&mut out, label);
            out.get(1..out.len() - 1).unwrap_or_default().to_vec()
        };
        self.keys.extend(keys.iter().map(|id| written(id)));
        self.workspaces
            .extend(workspaces.iter().map(|id| written(id)));
        self.actors.extend(actors.iter().map(escaped));
        let terms = [
            (Member::Key, &self.keys),
            (Member::Workspace, &self.workspaces),
            (Member::Actor, &self.actors),
        ];
        self.tags.clear();
        for (member, values) in terms {
            for value in values {
                let term = Term::new(member, value);
                self.tags.entry(term.bucket()).or_default().push(term.tag());
            }
        }
        self.tags.values_mut().for_each(|tags| tags.sort_unstable());
        self
    }

    /// What the index has of the records of those that are named: the tags by their buckets.
    pub(super) const fn tags(&self) -> &BTreeMap<u8, Vec<u32>> {
        &self.tags
    }

    /// Whether a record fits.
    pub(super) fn fits(&self, record: &[u8]) -> bool {
        let Some(fields) = Fields::read(record) else {
            return false;
        };
        let is_named = |names: &HashSet<Vec<u8>>, found: Option<&[u8]>| {
            !names.is_empty() && found.is_some_and(|found| names.contains(found))
        };
        is_named(&self.keys, fields.key)
            || is_named(&self.workspaces, fields.workspace)
            || is_named(&self.actors, Some(fields.actor))
            || self.is_in_path(fields.path)
    }

    fn is_in_path(&self, path: &[u8]) -> bool {
        if memchr::memchr(b'\\', path).is_some() {
            return unescaped(path).is_some_and(|path| self.is_in(&path));
        }
        let text = self.text.as_bytes();
        let is_same = |part: &[u8]| part.eq_ignore_ascii_case(text);
        path.windows(text.len().max(1)).any(is_same)
    }
}

/// A path of a record as it is compared.
pub(super) fn folded_path(path: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', path).is_some() {
        return Some(Cow::Owned(fold(&unescaped(path)?)));
    }
    let text = std::str::from_utf8(path).ok()?;
    let has_upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if has_upper {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    })
}

/// What stands between the quotation marks of a JSON string.
fn unescaped(text: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::{Search, fold};
    use crate::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        ledger::entry::{Draft, Entry},
        text::TextError,
        tier::Actor,
        time::Timestamp,
    };

    fn record(actor: &Actor, path: &str) -> Entry {
        let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
        Draft {
            path,
            key: Some(KeyId::from_u128(2)),
            workspace: Some(WorkspaceId::from_u128(3)),
            ..Draft::of_operation(id, 0, Timestamp::from_millis(1), org, actor)
        }
        .write()
    }

    fn search(text: &str) -> Search {
        Search::parse(text).expect("a text")
    }

    #[test]
    fn case_and_the_way_of_writing_do_not_matter() {
        let of = |path| record(&Actor::AdminToken, path);
        for (path, text) in [
            ("/workspaces/B\u{fc}ro", "b\u{dc}RO"),
            ("/workspaces/Bu\u{308}ro", "b\u{fc}ro"),
            ("/Workspaces/x", "s/X"),
            ("/\u{3a3}\u{391}\u{3a3}", "\u{3c3}\u{3b1}\u{3c3}"),
            ("/a\"b\\c", "A\"b\\"),
        ] {
            assert!(search(text).fits(of(path).bytes()), "{path} has {text}");
        }
        for (path, text) in [("/workspaces", "workspace_"), ("/caf\u{e9}", "cafe")] {
            assert!(!search(text).fits(of(path).bytes()), "{path} has no {text}");
        }
    }

    #[test]
    fn those_who_are_named_count_and_nothing_else_of_a_record() {
        let person = Actor::Session("\u{fc} \"1\"".into());
        let record = record(&person, "/x");
        let fits = |search: Search| search.fits(record.bytes());
        // None of these stands in the path.
        for text in ["tok_", "ws_", "session", "admin", "kind", "operation"] {
            assert!(!fits(search(text)), "{text}");
        }
        let (key, workspace) = (KeyId::from_u128(2), WorkspaceId::from_u128(3));
        let other = (KeyId::from_u128(4), WorkspaceId::from_u128(4));
        let none = || search("zz");
        assert!(fits(none().with_named(&[other.0, key], &[], &[])));
        assert!(fits(none().with_named(&[], &[workspace], &[])));
        assert!(fits(none().with_named(&[], &[], &[person.to_string()])));
        assert!(!fits(none().with_named(
            &[other.0],
            &[other.1],
            &["session:1".to_owned()]
        )));
    }

    #[test]
    fn texts_are_held_to_their_limits() {
        assert_eq!(Search::parse(" ").err(), Some(TextError::Empty));
        assert!(Search::parse(&"x".repeat(100)).is_ok());
        assert!(Search::parse(&"x".repeat(101)).is_err());
        assert_eq!(search(" B\u{dc}ro-1 ").text(), "b\u{fc}ro-1");
        assert_eq!(search("B\u{dc}ro-1").ascii_part(), "ro-1");
        assert_eq!(search("\u{dc}").ascii_part(), "");
    }

    proptest! {
        #[test]
        fn a_part_of_a_name_is_in_it(
            before in "[a-zA-Z \u{fc}\u{dc}\u{3a3}]{0,9}", text in "[a-zA-Z0-9\u{fc}\u{dc} _/-]{1,9}", after in "[a-zA-Z0-9\u{130}]{0,9}",
        ) {
            let name = format!("{before}{text}{after}");
            if let Ok(search) = Search::parse(&text) {
                assert!(search.is_in(&name));
                assert!(fold(&name).to_ascii_lowercase().contains(search.ascii_part()));
            }
        }
    }
}
