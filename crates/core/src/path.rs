//! Which request paths are read at all: only those that can be read in one way.

/// Why a path is refused before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A percent sign that is not followed by two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path has an invalid percent-encoding")]
    Encoding,
    /// Encoded characters that need no encoding, or that hide a separator.
    #[error("the path encodes a character that must be written plainly or not at all")]
    Hidden,
    /// `.` or `..` as a segment.
    #[error("the path has a `.` or `..` segment")]
    Dots,
    /// Two slashes in a row, or one at the end.
    #[error("the path has an empty segment or a trailing slash")]
    EmptySegment,
    /// A backslash, a semicolon or a control character.
    #[error("the path has a backslash, a semicolon or a control character")]
    Character,
    /// Does not begin with a slash.
    #[error("the path does not begin with `/`")]
    Relative,
}

/// Decodes the path of a request target, once, when it has exactly one reading.
///
/// What survives is what is routed, authorized, recorded and forwarded. A path that normalisation
/// (RFC 3986, 6.2) would change is refused, for two readers could disagree about it.
///
/// # Errors
/// [`PathError`] saying what is ambiguous.
pub fn normalise(raw: &str) -> Result<std::borrow::Cow<'_, str>, PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::Relative);
    }
    let decoded = if raw.contains('%') {
        std::borrow::Cow::Owned(decode(raw)?)
    } else {
        std::borrow::Cow::Borrowed(raw)
    };
    if decoded
        .chars()
        .any(|c| c.is_control() || matches!(c, '\\' | ';'))
    {
        return Err(PathError::Character);
    }
    if decoded.len() > 1 {
        for segment in decoded.split('/').skip(1) {
            match segment {
                "" => return Err(PathError::EmptySegment),
                "." | ".." => return Err(PathError::Dots),
                _ => {}
            }
        }
    }
    Ok(decoded)
}

fn decode(raw: &str) -> Result<String, PathError> {
    let mut bytes = raw.bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(PathError::Encoding);
        };
        let value = u8::try_from(high * 16 + low).unwrap_or(0);
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        if unreserved || b"/\\%;".contains(&value) {
            return Err(PathError::Hidden);
        }
        decoded.push(value);
    }
    match String::from_utf8(decoded) {
        Ok(text) => Ok(text),
        Err(_) => Err(PathError::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::{PathError, normalise};

    proptest! {
        #[test]
        fn normalising_is_idempotent(raw in "/[ -~]{0,30}") {
            if let Ok(path) = normalise(&raw) && !path.contains('%') {
                assert_eq!(normalise(&path).as_deref(), Ok(&*path));
            }
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        let table = [
            ("/a/../b", PathError::Dots),
            ("/a/./b", PathError::Dots),
            ("/a/%2e%2e/b", PathError::Hidden),
            ("/a%2fb", PathError::Hidden),
            ("/a%5cb", PathError::Hidden),
            ("/a%252fb", PathError::Hidden),
            ("/%61", PathError::Hidden),
            ("//a", PathError::EmptySegment),
            ("/a/", PathError::EmptySegment),
            ("/a\\b", PathError::Character),
            ("/a;x=1", PathError::Character),
            ("/a%00", PathError::Character),
            ("/a%0d%0a", PathError::Character),
            ("/a%", PathError::Encoding),
            ("/a%zz", PathError::Encoding),
            ("/a%ff", PathError::Encoding),
            ("a", PathError::Relative),
        ];
        for (raw, error) in table {
            assert_eq!(normalise(raw), Err(error), "{raw}");
        }
        assert_eq!(normalise("/a%20b").as_deref(), Ok("/a b"));
        assert_eq!(normalise("/").as_deref(), Ok("/"));
    }
}
