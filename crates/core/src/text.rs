//! Names and other short texts that people give: trimmed, NFC, bounded, nothing invisible.

use unicode_normalization::UnicodeNormalization as _;

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// The longest secret name, in characters.
pub const SECRET_NAME_CHARS_MAX: usize = 128;
/// The largest secret value, in bytes.
pub const SECRET_VALUE_BYTES_MAX: usize = 64 * 1024;
/// The largest number of labels of a workspace, and of metadata entries of a key.
pub const LABELS_MAX: usize = 32;
/// The longest label or metadata key, in characters.
pub const LABEL_KEY_CHARS_MAX: usize = 63;
/// The longest label or metadata value, in characters.
pub const LABEL_VALUE_CHARS_MAX: usize = 255;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("must not be empty")]
    Empty,
    /// Longer than the limit.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The limit in characters.
        max: usize,
    },
    /// A control, bidirectional or other invisible character.
    #[error("has an invisible or control character (U+{code:04X})")]
    Invisible {
        /// The code point.
        code: u32,
    },
    /// A character outside the allowed set.
    #[error("may hold only {allowed}")]
    Alphabet {
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// Too many entries.
    #[error("has more than {max} entries")]
    TooMany {
        /// The largest number of entries.
        max: usize,
    },
}

/// Control, bidirectional, zero-width and line-separating characters: each can make a name look
/// like another one, or break a line of a log.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A name as it is kept: trimmed, in Unicode NFC, 1 to `chars_max` characters.
///
/// # Errors
/// [`TextError`] saying which rule the text breaks.
pub fn parse_name(raw: &str, chars_max: usize) -> Result<String, TextError> {
    let text: String = raw.trim().nfc().collect();
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.chars().count() > chars_max {
        return Err(TextError::TooLong { max: chars_max });
    }
    match text.chars().find(|c| is_invisible(*c)) {
        Some(c) => Err(TextError::Invisible { code: u32::from(c) }),
        None => Ok(text),
    }
}

/// What can be shown of a text that others wrote, such as a name at an identity provider: in Unicode
/// NFC, without what is invisible, trimmed, cut to `chars_max` characters. `None` if nothing is left.
#[must_use]
pub fn clean(raw: &str, chars_max: usize) -> Option<String> {
    let visible = raw.nfc().filter(|c| !is_invisible(*c));
    let text: String = visible
        .skip_while(|c| c.is_whitespace())
        .take(chars_max)
        .collect();
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The name of a workspace secret: `[A-Za-z_][A-Za-z0-9_.-]*`, at most 128 characters, so that it
/// can be an environment variable or a path segment as it is.
///
/// # Errors
/// [`TextError`] saying which rule the text breaks.
pub fn parse_secret_name(raw: &str) -> Result<String, TextError> {
    if raw.is_empty() {
        return Err(TextError::Empty);
    }
    if raw.chars().count() > SECRET_NAME_CHARS_MAX {
        return Err(TextError::TooLong {
            max: SECRET_NAME_CHARS_MAX,
        });
    }
    let starts_well = raw.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if starts_well && raw.chars().all(allowed) && raw != "values" {
        Ok(raw.to_owned())
    } else {
        Err(TextError::Alphabet {
            allowed: "letters, digits, `_`, `.` and `-`, must begin with a letter or `_`, and must not be `values`",
        })
    }
}

/// Labels of a workspace or metadata of a key: at most [`LABELS_MAX`] entries.
///
/// # Errors
/// The key of the entry at fault, and which rule it breaks.
pub fn check_labels<'a>(
    entries: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> Result<(), (String, TextError)> {
    if entries.len() > LABELS_MAX {
        return Err((String::new(), TextError::TooMany { max: LABELS_MAX }));
    }
    for (key, value) in entries {
        let fail = |error| (key.clone(), error);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
        if key.is_empty() {
            return Err(fail(TextError::Empty));
        }
        if key.chars().count() > LABEL_KEY_CHARS_MAX {
            return Err(fail(TextError::TooLong {
                max: LABEL_KEY_CHARS_MAX,
            }));
        }
        if !key.chars().all(allowed) {
            return Err(fail(TextError::Alphabet {
                allowed: "letters, digits, `_`, `.`, `-` and `/` in a key",
            }));
        }
        if value.chars().count() > LABEL_VALUE_CHARS_MAX {
            return Err(fail(TextError::TooLong {
                max: LABEL_VALUE_CHARS_MAX,
            }));
        }
        if let Some(c) = value.chars().find(|c| is_invisible(*c)) {
            return Err(fail(TextError::Invisible { code: u32::from(c) }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{TextError, clean, parse_name, parse_secret_name};

    #[test]
    fn a_name_is_trimmed_and_composed() {
        assert_eq!(
            parse_name("  cafe\u{301} bot ", 100),
            Ok("café bot".to_owned())
        );
    }

    #[test]
    fn a_name_of_a_hundred_characters_is_accepted_and_one_more_is_not() {
        assert!(parse_name(&"é".repeat(100), 100).is_ok());
        assert_eq!(
            parse_name(&"é".repeat(101), 100),
            Err(TextError::TooLong { max: 100 })
        );
    }

    #[test]
    fn invisible_characters_are_refused() {
        for bad in [
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\0b",
            "a\u{200b}b",
            "a\u{85}b",
        ] {
            assert!(
                matches!(parse_name(bad, 100), Err(TextError::Invisible { .. })),
                "{bad:?}"
            );
        }
        assert_eq!(parse_name(" \u{3000} ", 100), Err(TextError::Empty));
    }

    #[test]
    fn foreign_text_is_cleaned_of_what_deceives() {
        let cleaned = |text: &str| clean(text, 8);
        assert_eq!(cleaned(" \u{202e}A\u{0}d\na "), Some("Ada".to_owned()));
        assert_eq!(cleaned("cafe\u{301}"), Some("café".to_owned()));
        assert_eq!(cleaned("Ada Lovelace"), Some("Ada Love".to_owned()));
        assert_eq!(cleaned("\u{200b} \u{2066}"), None);
    }

    #[test]
    fn secret_names_are_path_segments() {
        assert!(parse_secret_name("OPENAI_API_KEY").is_ok());
        for bad in ["", "1A", "a b", "a/b", "..", "é", "values"] {
            assert!(parse_secret_name(bad).is_err(), "{bad:?}");
        }
    }
}
