//! What can go wrong between SQL and the contract.

use std::error::Error;

use tokio_postgres::error::{DbError, SqlState};

use crate::StoreError;

/// What SQL code answers: what the database says is told from what the contract says until the
/// boundary, where it is known what was attempted.
pub(super) type Outcome<T> = Result<T, Fault>;

/// Why SQL code did not do what was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database says no, or says nothing.
    Sql(tokio_postgres::Error),
    /// The contract says no.
    Store(StoreError),
    /// The database cannot be asked.
    Down(String),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// The database cannot be asked, because of this error.
    pub(super) fn because(error: impl Error + 'static) -> Self {
        Self::Down(describe(&error))
    }

    /// The database cannot be asked, because of this.
    pub(super) fn down(reason: impl Into<String>) -> Self {
        Self::Down(reason.into())
    }

    /// The error of the contract.
    pub(super) fn into_store(self, doing: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Down(reason) => unavailable(doing, reason),
            Self::Sql(error) => match error.code() {
                // A zero byte, or a character that the database's encoding does not have.
                Some(
                    &SqlState::CHARACTER_NOT_IN_REPERTOIRE | &SqlState::UNTRANSLATABLE_CHARACTER,
                ) => StoreError::Corrupt {
                    what: "a text".to_owned(),
                    reason: "it holds a character that the database cannot keep".to_owned(),
                },
                Some(_) | None => unavailable(doing, describe(&error)),
            },
        }
    }
}

/// An error that says what could not be done.
pub(super) fn unavailable(doing: &'static str, reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable {
        doing,
        source: reason.into().into(),
    }
}

/// The error and its causes in one line, without the server's details: these quote whole rows.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(server) = error.downcast_ref::<DbError>() {
            parts.push(format!(
                "{} (SQLSTATE {})",
                server.message(),
                server.code().code()
            ));
        } else if !next.is_some_and(|cause| cause.is::<DbError>()) {
            parts.push(error.to_string());
        }
    }
    parts.join(": ")
}
