//! Endpoint patterns of a grant: `GET /workspaces/*/metrics`.

use std::{fmt, str::FromStr};

/// The largest number of endpoint patterns of one grant.
pub const ENDPOINTS_MAX: usize = 64;
/// The longest pattern in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// A method (or `*`) and a path whose segments may be `*` (any one segment) or, at the end, `**`
/// (any rest, also none).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    method: String,
    segments: Vec<String>,
}

/// The text is not an endpoint pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an endpoint such as `GET /workspaces/*/metrics` or `* /v1/**`")]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (method, path) = text.split_once(' ').ok_or(EndpointError)?;
        let method_is_good =
            method == "*" || (!method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase()));
        let rest = path.strip_prefix('/').ok_or(EndpointError)?;
        if !method_is_good || text.len() > PATTERN_BYTES_MAX {
            return Err(EndpointError);
        }
        let segments: Vec<String> = if rest.is_empty() {
            Vec::new()
        } else {
            rest.split('/').map(str::to_owned).collect()
        };
        let last = segments.len().saturating_sub(1);
        let segment_is_good = |(at, segment): (usize, &String)| match segment.as_str() {
            "*" => true,
            "**" => at == last,
            "" | "." | ".." => false,
            plain => plain.chars().all(|c| {
                !c.is_control()
                    && !c.is_whitespace()
                    && !matches!(c, '*' | '\\' | ';' | '%' | '?' | '#')
            }),
        };
        if segments.iter().enumerate().all(segment_is_good) {
            Ok(Self {
                method: method.to_owned(),
                segments,
            })
        } else {
            Err(EndpointError)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.method, self.segments.join("/"))
    }
}

impl Endpoint {
    /// Whether a method and a decoded, normalised path match the pattern.
    #[must_use]
    pub fn matches(&self, method: &str, path: &str) -> bool {
        if self.method != "*" && self.method != method {
            return false;
        }
        let mut given = path
            .strip_prefix('/')
            .unwrap_or(path)
            .split('/')
            .filter(|s| !s.is_empty());
        for segment in &self.segments {
            match (segment.as_str(), given.next()) {
                ("**", _) => return true,
                (_, None) => return false,
                ("*", Some(_)) => {}
                (plain, Some(here)) if plain == here => {}
                (_, Some(_)) => return false,
            }
        }
        given.next().is_none()
    }

    /// Whether everything that `other` matches is matched by this pattern too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.method != "*" && self.method != other.method {
            return false;
        }
        let mut theirs = other.segments.iter();
        for mine in &self.segments {
            match (mine.as_str(), theirs.next().map(String::as_str)) {
                ("**", _) => return true,
                (_, None | Some("**")) => return false,
                ("*", Some(_)) => {}
                (plain, Some(segment)) if plain == segment => {}
                (_, Some(_)) => return false,
            }
        }
        theirs.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};

    use super::Endpoint;

    fn pattern() -> impl Strategy<Value = Endpoint> {
        let segments = prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 0..4);
        (
            prop::sample::select(vec!["GET", "POST", "*"]),
            segments,
            prop::bool::ANY,
        )
            .prop_map(|(method, mut segments, rest)| {
                if rest {
                    segments.push("**");
                }
                format!("{method} /{}", segments.join("/"))
                    .parse()
                    .expect("a pattern")
            })
    }

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..5)
            .prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn parse_inverts_print(endpoint in pattern()) {
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }

        #[test]
        fn what_covers_matches_all_that_the_covered_matches(wide in pattern(), narrow in pattern(), path in path()) {
            if wide.covers(&narrow) && narrow.matches("GET", &path) {
                assert!(wide.matches("GET", &path), "{wide} covers {narrow} but not {path}");
            }
        }
    }

    #[test]
    fn a_star_is_one_segment() {
        let endpoint: Endpoint = "GET /workspaces/*/metrics".parse().expect("a pattern");
        assert!(endpoint.matches("GET", "/workspaces/ws_1/metrics"));
        assert!(!endpoint.matches("POST", "/workspaces/ws_1/metrics"));
        assert!(!endpoint.matches("GET", "/workspaces/ws_1/x/metrics"));
        assert!(!endpoint.matches("GET", "/workspaces/metrics"));
    }

    #[test]
    fn texts_that_are_not_patterns_are_refused() {
        for bad in [
            "",
            "GET",
            "GET x",
            "get /x",
            "GET /a//b",
            "GET /a/../b",
            "GET /**/b",
            "GET /a*",
            "GET /a;b",
            "GET /%2f",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
