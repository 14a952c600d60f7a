//! `name=value` and the parts of a path, as arguments.

use std::{collections::BTreeMap, str::FromStr};

use claviger_wire::map::TextMap;

use crate::error::Failure;

/// `name=value`. The value may be empty, and may contain `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Before the first `=`.
    pub(crate) name: String,
    /// After it.
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    /// The message leaves the text out: it may hold what should not be repeated.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("", _)) => Err("the name before `=` is empty".to_owned()),
            Some((name, value)) => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            None => Err("write name=value".to_owned()),
        }
    }
}

/// The pairs as a map. A name given twice is refused: nobody can say which one was meant.
pub(crate) fn map(flag: &str, pairs: &[Pair]) -> Result<TextMap, Failure> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        if map.insert(pair.name.clone(), pair.value.clone()).is_some() {
            return Err(Failure::Usage(format!(
                "{flag} gives `{}` twice",
                pair.name
            )));
        }
    }
    Ok(TextMap(map))
}

/// The pairs as a map, and nothing where there are none.
pub(crate) fn some_map(flag: &str, pairs: &[Pair]) -> Result<Option<TextMap>, Failure> {
    if pairs.is_empty() {
        Ok(None)
    } else {
        map(flag, pairs).map(Some)
    }
}

/// An id or a name that becomes one segment of a path: nothing that could lead elsewhere.
pub(crate) fn segment(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || !text.chars().all(is_plain) || matches!(text, "." | "..") {
        return Err("letters, digits, `_`, `-` and `.` only".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Pair, map, segment, some_map};

    fn pair(name: &str, value: &str) -> Pair {
        Pair {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_pair_is_split_at_the_first_equals_sign() {
        assert_eq!("a=b".parse(), Ok(pair("a", "b")));
        assert_eq!("a=b=c".parse(), Ok(pair("a", "b=c")));
        assert_eq!("a=".parse(), Ok(pair("a", "")));
        assert_eq!("a= b ".parse(), Ok(pair("a", " b ")));
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for text in ["", "a", "=b", "="] {
            assert!(text.parse::<Pair>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        let twice = [pair("a", "1"), pair("a", "1")];
        let failure = map("--label", &twice).expect_err("twice");
        assert_eq!(failure.to_string(), "--label gives `a` twice");
        let both = map("--label", &[pair("b", "2"), pair("a", "1")]).expect("a map");
        assert_eq!(
            both.0.into_iter().collect::<Vec<_>>(),
            [
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "2".to_owned())
            ]
        );
        assert!(some_map("--label", &[]).is_ok_and(|none| none.is_none()));
    }

    #[test]
    fn a_segment_leads_nowhere_else() {
        for good in ["tok_01J", "OPENAI_API_KEY", "a.b-c", "..."] {
            assert!(segment(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a%2fb", "a b", "a?b", "a\\b", "ä"] {
            assert!(segment(bad).is_err(), "{bad}");
        }
    }
}
