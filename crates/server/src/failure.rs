//! Everything that a request can fail with, before it is put into words and a status.

use std::time::Duration;

use claviger_core::{
    delegation::DelegationError, denial::Denial, id::KeyId, path::PathError, policy::Breach,
};
use claviger_store::StoreError;

use crate::{
    provider::{ProviderError, Refusal},
    rate_limiter::Standing,
};

/// Which record says that bodies were dropped.
fn decision(seq: Option<u64>) -> String {
    seq.map_or_else(|| "a record".to_owned(), |seq| format!("record {seq}"))
}

/// Why a request was not done. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The gate refused it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The grant asks for more than the minter holds.
    #[error("`{0}` asks for more than you hold")]
    BeyondMinter(&'static str),
    /// A key above the new one does not pass so much on.
    #[error(transparent)]
    BeyondDelegation(#[from] DelegationError),
    /// The org's policy does not allow it.
    #[error("{}", .0.reason)]
    BeyondPolicy(#[from] Breach),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The body or the query is not well-formed: 400.
    #[error("{reason}")]
    Malformed {
        /// The stable code.
        code: &'static str,
        /// The field at fault.
        field: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// A value is out of range: 422.
    #[error("`{field}` {reason}")]
    OutOfRange {
        /// The field at fault.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// The path can be read in two ways.
    #[error(transparent)]
    Path(#[from] PathError),
    /// No route serves this path.
    #[error("no such route: see /docs")]
    NoRoute,
    /// The route does not take this method.
    #[error("the route does not take this method: it takes {0}")]
    NoMethod(String),
    /// The id is not of the right kind, or nothing of the org has it.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The body of a record was dropped: 410.
    #[error("the bodies of the records 1 to {last} were dropped, as the org's policy asks (`keep_audit_for`): {} says so, and their hashes stay", decision(*.seq))]
    Dropped {
        /// The last record without a body.
        last: u64,
        /// The record that says so, unless it is gone.
        seq: Option<u64>,
    },
    /// The body is not declared as JSON.
    #[error("the body must be declared as `Content-Type: application/json`")]
    NotJson,
    /// The body is larger than the limit.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The head is larger than the limit.
    #[error("the request head is larger than {0} bytes")]
    HeadTooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0} s")]
    TooSlow(u64),
    /// There is no room for the body: too much is being sent by everybody together.
    #[error("more is being sent to this server than it has room for; try again in a second")]
    TooMuchAtOnce,
    /// The connection broke while the body arrived.
    #[error("the body did not arrive whole")]
    BrokenBody,
    /// Too many mints.
    #[error("more than {per_minute} mints in a minute; try again in {} s", retry_after.as_secs().max(1))]
    TooManyMints {
        /// The limit.
        per_minute: u32,
        /// When the next one would be allowed.
        retry_after: Duration,
    },
    /// Too many calls without a credential.
    #[error("more than {per_minute} calls without a credential in a minute from your address; try again in {} s", retry_after.as_secs().max(1))]
    TooManyCalls {
        /// The limit.
        per_minute: u32,
        /// When the next one would be allowed.
        retry_after: Duration,
    },
    /// Too many live streams, or opened too often.
    #[error("{what}; try again in {} s", retry_after.as_secs().max(1))]
    TooManyStreams {
        /// Of what there is too much.
        what: &'static str,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// What claims to come from GitHub is not signed by it.
    #[error("{0}")]
    BadSignature(&'static str),
    /// The identity provider says no, or its word cannot be had.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Beyond the rate limit of the key, or of one above it.
    #[error("more than {} requests in a {}; try again in {} s", .0.quota, .0.window, .0.retry_after.as_secs().max(1))]
    RateLimited(Standing),
    /// The overlap of an earlier rotation has not ended.
    #[error(
        "the overlap of an earlier rotation has not ended: POST …/rotate/finish or …/rotate/cancel first"
    )]
    RotationLasts,
    /// A request for a key is about a key of somebody else.
    #[error("the key that `for` names is neither yours nor minted by you")]
    NotYourKey,
    /// Nobody approves what it asked for itself.
    #[error(
        "a request is approved by somebody else: neither by whoever asked nor by a key that descends from it"
    )]
    OwnRequest,
    /// Something that must stay.
    #[error("{0}")]
    Refused(&'static str),
    /// The mint was done before; the secret cannot be shown again.
    #[error(
        "this mint was done before and made key {0}; its secret cannot be shown again: revoke it and mint with another `Idempotency-Key` if it was lost"
    )]
    MintedBefore(KeyId),
    /// The audit trail cannot be written.
    #[error("the audit trail cannot be written at the moment; nothing was answered from the store")]
    NotRecorded,
    /// The database is behind what was anchored.
    #[error("{}", crate::anchors::HALTED)]
    RolledBack,
    /// The service is shutting down or not ready.
    #[error("{0}")]
    Unready(String),
    /// A form that was refused, with the page that says so at the field.
    #[error("{why}")]
    Shown {
        /// Why.
        why: Box<Self>,
        /// The page, rendered.
        page: String,
    },
    /// A bug, or a machine that fails. The cause goes to the log.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// A 422 about a field.
    pub fn out_of_range(field: &str, reason: impl std::fmt::Display) -> Self {
        Self::OutOfRange {
            field: field.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl From<crate::entropy::EntropyError> for Failure {
    fn from(error: crate::entropy::EntropyError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<crate::seal::SealError> for Failure {
    fn from(error: crate::seal::SealError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Provider(refusal.into())
    }
}
