//! What can go wrong in the store, told apart by what the caller can do about it.

/// Why an operation did not happen. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be asked, is full, read-only, or took too long. For a change this also
    /// covers "the commit was sent and no answer came": it may have happened.
    #[error("cannot {doing}: {source}")]
    Unavailable {
        /// What was attempted, as a verb phrase: `append audit records`.
        doing: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was read is not what was written.
    #[error("{what} is corrupt: {reason}")]
    Corrupt {
        /// Which row or column.
        what: String,
        /// In which way.
        reason: String,
    },
    /// There is no such thing (or it belongs to another org).
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It is there, but ended.
    #[error("the {0} is revoked")]
    Gone(&'static str),
    /// Somebody else changed it meanwhile.
    #[error("the {0} was changed meanwhile")]
    Stale(&'static str),
    /// A unique name is taken.
    #[error("the {0} exists already")]
    Exists(&'static str),
    /// Another key has this prefix: make another secret.
    #[error("the prefix is taken")]
    PrefixTaken,
    /// The bootstrap was closed by an earlier mint.
    #[error("the bootstrap is closed")]
    BootstrapClosed,
    /// The acting key was revoked, suspended or expired meanwhile.
    #[error("the acting key is no longer accepted")]
    ActorGone,
    /// The acting key's secret was replaced meanwhile.
    #[error("the secret was replaced meanwhile")]
    SecretReplaced,
    /// The idempotency key was used before.
    #[error("the idempotency key was used before")]
    Replayed {
        /// The key that was minted then.
        key: claviger_core::id::KeyId,
        /// Whether the request was the same.
        is_same_request: bool,
    },
    /// The status of a request does not allow the step.
    #[error("the request is `{0}`: {advice}", advice = .0.advice())]
    WrongStatus(claviger_core::request::Status),
    /// What was approved cannot be collected any more.
    #[error("{0}")]
    ApprovalVoid(claviger_core::request::Void),
    /// The person may not: it is suspended, or was removed.
    #[error("the person is {word}", word = .0.as_str())]
    PersonInactive(claviger_core::person::PersonState),
    /// A limit was reached.
    #[error("there are {max} {what} already")]
    LimitReached {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// A descendant cannot live on without the key that is to go.
    #[error(
        "key {child} cannot live on: its `{field}` is wider than what is above it; narrow or revoke it first"
    )]
    NoHeir {
        /// The descendant.
        child: claviger_core::id::KeyId,
        /// The field of it that is wider.
        field: &'static str,
    },
    /// The caller may not act on one of the keys that it selected.
    #[error("key {0} is among those that were selected, and holds more than the caller")]
    Refused(claviger_core::id::KeyId),
    /// A selection finds more than can be changed at once.
    #[error(
        "more than {0} keys are selected: select fewer at a time, by `under`, `created_by` or `minted_since`"
    )]
    TooMany(usize),
    /// A checkpoint contradicts what was said before, or what is there.
    #[error("a checkpoint of {size} records cannot be kept: {reason}")]
    CheckpointRefused {
        /// How many records it speaks of.
        size: u64,
        /// What stands against it.
        reason: &'static str,
    },
    /// Another process serves this database.
    #[error("{0}")]
    InUse(String),
    /// The address of the database cannot be read.
    #[error("{0}")]
    BadUrl(String),
}
