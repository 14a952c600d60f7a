//! Why a request is refused: one list, for the answer, the record, the metrics and the tests.

use crate::{permission::Permission, policy::Block, time::Timestamp, token::SecretError};

/// A refusal by the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// More than one `Authorization` header.
    #[error("there is more than one `Authorization` header")]
    TwoCredentials,
    /// No credential at all.
    #[error("no credential: send an org API key as `Authorization: Bearer <key>`")]
    NoCredential,
    /// A scheme other than `Bearer`, or a header that cannot be read.
    #[error("the `Authorization` header is not `Bearer` and a token")]
    NotBearer,
    /// The brand of a key, but not a key.
    #[error("{0}")]
    Malformed(#[from] SecretError),
    /// Nothing that is accepted here.
    #[error("the token is not known")]
    Unknown,
    /// The whole secret of a revoked key.
    #[error("the key was revoked")]
    Revoked,
    /// The whole secret of an expired key.
    #[error("the key expired at {0}")]
    Expired(Timestamp),
    /// The whole of a secret that was replaced, after its overlap.
    #[error("the secret was replaced and has not been accepted since {0}; use the key's new one")]
    RotatedOut(Timestamp),
    /// The whole secret of a suspended key.
    #[error("the key is suspended")]
    Suspended,
    /// The whole secret of a key whose time has not come.
    #[error("the key is not valid before {0}")]
    NotYetValid(Timestamp),
    /// A key that it descends from, or the person who made it, is no longer accepted.
    #[error("whoever minted this is no longer accepted")]
    MinterInactive,
    /// A session that ended, or that nobody knows.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// A sign-in link that is not good any more.
    #[error(
        "the link was used before, or its time is over: make another with `claviger login-link`"
    )]
    BadLink,
    /// A person who was suspended.
    #[error("you are suspended here; ask somebody who administers the org")]
    PersonSuspended,
    /// A person who was removed.
    #[error("you were removed here; ask somebody who administers the org")]
    PersonRemoved,
    /// A session's request that another site made.
    #[error(
        "the request comes from another site: a session is used from the Canvas alone; programs send an org API key"
    )]
    CrossSite,
    /// A program where a person is wanted.
    #[error("the Canvas is for people: sign in; programs use the API with the same key")]
    PeopleOnly,
    /// Not a person's session.
    #[error("only a person who is signed in has sessions")]
    PersonWanted,
    /// Workspace tokens are turned off.
    #[error("workspace tokens are turned off; use an org API key")]
    WorkspaceTokensOff,
    /// `X-Org-Id` names no org.
    #[error("`X-Org-Id` names no org")]
    UnknownOrg,
    /// `X-Org-Id` from a principal that cannot choose its org.
    #[error("`X-Org-Id` names another org than the credential's")]
    OtherOrg,
    /// The grant lacks a permission.
    #[error("key lacks permission `{0}`")]
    MissingPermission(Permission),
    /// The workspace is outside the grant.
    #[error("the workspace is outside the grant's `workspaces`")]
    OutsideWorkspaces,
    /// The route is outside the grant.
    #[error("the route is outside the grant's `endpoints`")]
    OutsideEndpoints,
    /// The address is outside the grant.
    #[error("the caller's address is outside the grant's `ip_allow`")]
    OutsideAddresses,
    /// Something that a tier 3 token never reaches.
    #[error(
        "a workspace token reaches the sub-routes of its own workspace and nothing else; use an org API key"
    )]
    OutsideWorkspaceToken,
    /// Only `ADMIN_TOKEN` may.
    #[error("only `ADMIN_TOKEN` may do this")]
    AdminTokenOnly,
    /// A secret that was replaced, and whoever holds it would bring it back, or get another.
    #[error("a replaced secret can neither rotate its key nor collect another; use the new one")]
    ReplacedSecret,
    /// The key to be acted on is wider than the caller.
    #[error("the key to act on holds more than the caller")]
    WiderKey,
    /// The person to be acted on is wider than the caller.
    #[error("the person to act on holds more than the caller")]
    WiderPerson,
    /// The org's policy does not allow the permission to anybody.
    #[error("the org's policy does not allow `{0}`")]
    PolicyPermission(Permission),
    /// The org's policy does not allow the address.
    #[error("the caller's address is outside the `ip_allow` of the org's policy")]
    PolicyAddresses,
    /// The key is not as the org's policy asks.
    #[error("blocked: {0}")]
    PolicyBlocked(Block),
    /// Somebody below a key, or beside it, would keep alive what it minted.
    #[error(
        "only a key above this one, or an `org:admin` that does not descend from it, may revoke it and keep what it minted"
    )]
    NotAbove,
}

impl Denial {
    /// The stable code in problem documents, records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TwoCredentials => "two_credentials",
            Self::NoCredential => "no_credential",
            Self::NotBearer => "not_bearer",
            Self::Malformed(_) => "malformed_token",
            Self::Unknown => "unknown_token",
            Self::Revoked => "token_revoked",
            Self::Expired(_) => "token_expired",
            Self::RotatedOut(_) => "token_rotated_out",
            Self::Suspended => "token_suspended",
            Self::NotYetValid(_) => "token_not_yet_valid",
            Self::MinterInactive => "minter_inactive",
            Self::SessionEnded => "session_ended",
            Self::BadLink => "bad_link",
            Self::PersonSuspended => "person_suspended",
            Self::PersonRemoved => "person_removed",
            Self::CrossSite => "cross_site",
            Self::PeopleOnly => "people_only",
            Self::PersonWanted => "person_wanted",
            Self::WorkspaceTokensOff => "workspace_tokens_off",
            Self::UnknownOrg => "unknown_org",
            Self::OtherOrg => "other_org",
            Self::MissingPermission(_) => "missing_permission",
            Self::OutsideWorkspaces => "outside_workspaces",
            Self::OutsideEndpoints => "outside_endpoints",
            Self::OutsideAddresses => "outside_addresses",
            Self::OutsideWorkspaceToken => "outside_workspace_token",
            Self::AdminTokenOnly => "admin_token_only",
            Self::ReplacedSecret => "replaced_secret",
            Self::WiderKey => "wider_key",
            Self::WiderPerson => "wider_person",
            Self::PolicyPermission(_) => "policy_permission",
            Self::PolicyAddresses => "policy_addresses",
            Self::PolicyBlocked(_) => "policy_blocked",
            Self::NotAbove => "not_above",
        }
    }

    /// Whether the caller proved who it is, so that it may be told what was missing (403, not 401).
    #[must_use]
    pub const fn is_proven(self) -> bool {
        match self {
            Self::TwoCredentials
            | Self::NoCredential
            | Self::NotBearer
            | Self::Malformed(_)
            | Self::Unknown
            | Self::Revoked
            | Self::Expired(_)
            | Self::RotatedOut(_)
            | Self::Suspended
            | Self::NotYetValid(_)
            | Self::MinterInactive
            | Self::SessionEnded
            | Self::BadLink
            | Self::PersonSuspended
            | Self::PersonRemoved
            | Self::WorkspaceTokensOff => false,
            Self::CrossSite
            | Self::PeopleOnly
            | Self::PersonWanted
            | Self::UnknownOrg
            | Self::OtherOrg
            | Self::MissingPermission(_)
            | Self::OutsideWorkspaces
            | Self::OutsideEndpoints
            | Self::OutsideAddresses
            | Self::OutsideWorkspaceToken
            | Self::AdminTokenOnly
            | Self::ReplacedSecret
            | Self::WiderKey
            | Self::WiderPerson
            | Self::PolicyPermission(_)
            | Self::PolicyAddresses
            | Self::PolicyBlocked(_)
            | Self::NotAbove => true,
        }
    }
}
