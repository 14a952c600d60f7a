//! Anchors: checkpoints that are kept where whoever can write the database cannot. A file has one a
//! line, and a webhook takes one a request, as the same JSON document.

use serde::{Deserialize, Serialize};

use crate::{id::OrgId, time::Timestamp};

/// A checkpoint that was anchored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Whose trail it is.
    pub org: OrgId,
    /// When it was anchored.
    pub at: Timestamp,
    /// The signed note (C2SP tlog-checkpoint).
    pub note: String,
    /// If it begins another history than what was anchored before: what was given up.
    pub accepted_rollback: Option<GivenUp>,
}

/// What was known of a history that the operator went on without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// How many records it had, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The root of their tree in hexadecimal, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// Why a line is no anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// It ends too early: whoever wrote it was interrupted.
    #[error("it was not written to its end")]
    Cut,
    /// It is not written as one.
    #[error("{0}")]
    Malformed(String),
}

#[derive(Serialize, Deserialize)]
struct Document {
    org: String,
    at: String,
    note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted_rollback: Option<GivenUp>,
}

impl Anchor {
    /// Reads a line, without its line break. Nobody is known to stand for the note.
    ///
    /// # Errors
    /// Unless it is an anchor.
    pub fn parse(line: &[u8]) -> Result<Self, AnchorError> {
        let malformed = |reason: String| AnchorError::Malformed(reason);
        let document: Document = serde_json::from_slice(line).map_err(|error| {
            if error.is_eof() {
                AnchorError::Cut
            } else {
                malformed(error.to_string())
            }
        })?;
        let org = document.org.parse();
        let at = document.at.parse();
        Ok(Self {
            org: org.map_err(|_bad| malformed(format!("`{}` is no org", document.org)))?,
            at: at.map_err(|_bad| malformed(format!("`{}` is no time", document.at)))?,
            note: document.note,
            accepted_rollback: document.accepted_rollback,
        })
    }

    /// The line, without its line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        let document = Document {
            org: self.org.to_string(),
            at: self.at.to_string(),
            note: self.note.clone(),
            accepted_rollback: self.accepted_rollback.clone(),
        };
        // Strings and a number: nothing that JSON has no form for.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Anchor, AnchorError, GivenUp};
    use crate::{id::OrgId, time::Timestamp};

    fn anchor(accepted_rollback: Option<GivenUp>) -> Anchor {
        Anchor {
            org: OrgId::from_u128(1),
            at: Timestamp::from_millis(1_790_000_000_123),
            note: "origin\n1\nroot\n\n— name sig\n".to_owned(),
            accepted_rollback,
        }
    }

    #[test]
    fn line_is_read_as_it_was_written() {
        let plain = anchor(None);
        let line = plain.to_json();
        assert!(line.starts_with(r#"{"org":"org_"#) && !line.contains('\n'));
        assert!(!line.contains("accepted"), "{line}");
        assert_eq!(Anchor::parse(line.as_bytes()), Ok(plain));
        let (size, root) = (Some(7), Some("00ff".to_owned()));
        let known = anchor(Some(GivenUp { size, root }));
        let line = known.to_json();
        let end = r#","accepted_rollback":{"size":7,"root":"00ff"}}"#;
        assert!(line.ends_with(end), "{line}");
        assert_eq!(Anchor::parse(line.as_bytes()), Ok(known));
        let (size, root) = (None, None);
        let unknown = anchor(Some(GivenUp { size, root }));
        assert_eq!(Anchor::parse(unknown.to_json().as_bytes()), Ok(unknown));
    }

    #[test]
    fn line_that_was_cut_is_told_from_one_that_is_wrong() {
        let line = anchor(None).to_json();
        for end in 0..line.len() {
            let cut = line.as_bytes().get(..end).expect("shorter");
            assert_eq!(Anchor::parse(cut), Err(AnchorError::Cut), "{end}");
        }
        let twice = line.repeat(2);
        let other = line.replace("org_", "key_");
        for wrong in ["x", "{}", "[]", twice.as_str(), other.as_str()] {
            let error = Anchor::parse(wrong.as_bytes());
            assert!(matches!(error, Err(AnchorError::Malformed(_))), "{wrong}");
        }
    }
}
