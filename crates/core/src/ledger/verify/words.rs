//! Findings in plain words.

use std::fmt;

use super::{Finding, Kind};

impl Kind {
    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted { .. } => "inserted",
            Self::Reordered { .. } => "reordered",
            Self::CutOff => "cut_off",
            Self::Unsigned => "unsigned",
            Self::HashMissing => "hash_missing",
            Self::RootMismatch => "root_mismatch",
            Self::HashesAltered => "hashes_altered",
            Self::TilesAltered => "tile_altered",
            Self::Fork => "fork",
            Self::Rollback => "rollback",
        }
    }

    /// What it is, said of the records concerned.
    const fn what(self) -> &'static str {
        match self {
            Self::Changed => "other bytes stand there than were signed",
            Self::Removed => "not there, although later records are",
            Self::Inserted { .. } => "that nobody signed",
            Self::Reordered { .. } => "stands elsewhere",
            Self::CutOff => "signed, and what is there ends before",
            Self::Unsigned => "no checkpoint covers this yet, so nobody vouches for it",
            Self::HashMissing => "neither a body nor a hash: nothing from here on can be judged",
            Self::RootMismatch => "at least one of these is not what was signed",
            Self::HashesAltered => {
                "the records are what was signed, the hashes beside them are not"
            }
            Self::TilesAltered => {
                "the records are what was signed, a tile of hashes above them is not"
            }
            Self::Fork => "two signed checkpoints contradict each other here",
            Self::Rollback => "an anchor covers this, and it is not there",
        }
    }
}

/// A sentence without a full stop, with the numbers of the records.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.kind.what();
        match self.kind {
            Kind::Inserted { count: 1 } => write!(f, "before record {}: a record", self.first)?,
            Kind::Inserted { count } => {
                write!(f, "before record {}: {count} records", self.first)?;
            }
            _ if self.first == self.last => write!(f, "record {}:", self.first)?,
            _ => write!(f, "records {} to {}:", self.first, self.last)?,
        }
        write!(f, " {what}")?;
        if let Kind::Reordered { stands_at } = self.kind {
            write!(f, ", at the place of record {stands_at}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Kind};

    #[test]
    fn findings_are_sentences_with_numbers() {
        let said = |kind, first, last| Finding { kind, first, last }.to_string();
        assert_eq!(
            said(Kind::Changed, 5, 5),
            "record 5: other bytes stand there than were signed"
        );
        assert_eq!(
            said(Kind::Removed, 5, 6),
            "records 5 to 6: not there, although later records are"
        );
        assert_eq!(
            said(Kind::Inserted { count: 2 }, 5, 5),
            "before record 5: 2 records that nobody signed"
        );
        assert_eq!(
            said(Kind::Inserted { count: 1 }, 5, 5),
            "before record 5: a record that nobody signed"
        );
        assert_eq!(
            said(Kind::Reordered { stands_at: 3 }, 5, 5),
            "record 5: stands elsewhere, at the place of record 3"
        );
    }
}
