//! How long a key that is asked for is to live.

use std::{fmt, str::FromStr, time::Duration};

use super::RequestTextError;
use crate::time::Timestamp;

/// How long a key is to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as its minter.
    Open,
    /// So long from its collection on.
    For(Duration),
    /// Until this instant.
    Until(Timestamp),
}

impl Lifetime {
    /// The end of a key that is collected at `from`.
    #[must_use]
    pub fn end(self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Open => None,
            Self::For(span) => Some(from.plus(span)),
            Self::Until(at) => Some(at),
        }
    }

    /// Whether `other` ends no later, judged at this instant.
    #[must_use]
    pub fn covers(self, other: Self, now: Timestamp) -> bool {
        match (self.end(now), other.end(now)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other <= own,
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::For(span) => write!(f, "for {}", span.as_millis()),
            Self::Until(at) => write!(f, "until {}", at.millis()),
        }
    }
}

impl FromStr for Lifetime {
    type Err = RequestTextError;

    /// Reads what [`fmt::Display`] writes: milliseconds behind a word.
    fn from_str(text: &str) -> Result<Self, RequestTextError> {
        let error = RequestTextError("a lifetime");
        match text.split_once(' ') {
            None if text == "open" => Ok(Self::Open),
            Some(("for", millis)) => millis
                .parse()
                .map(|millis| Self::For(Duration::from_millis(millis)))
                .or(Err(error)),
            Some(("until", millis)) => millis
                .parse()
                .map(|millis| Self::Until(Timestamp::from_millis(millis)))
                .or(Err(error)),
            None | Some(_) => Err(error),
        }
    }
}
