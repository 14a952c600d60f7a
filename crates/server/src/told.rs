//! A record as the formats need it: what it says, without a copy of it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a record says; see [`claviger_core::ledger::entry::Draft`].
#[derive(Debug, Deserialize)]
pub(crate) struct Told<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) time: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) org: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) tier: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) actor: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) chain: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) root: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) impersonator: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) path: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) route: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) workspace: Option<Cow<'a, str>>,
    pub(crate) status: u16,
    pub(crate) duration_us: u64,
    #[serde(borrow, default)]
    pub(crate) code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) client: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) user_agent: Option<Cow<'a, str>>,
    #[serde(default = "one")]
    pub(crate) count: u64,
    #[serde(borrow, default)]
    pub(crate) change: Option<&'a RawValue>,
}

const fn one() -> u64 {
    1
}

impl<'a> Told<'a> {
    /// Reads the bytes of a record.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Records for the tests of the formats: one of every kind, and what is odd about them.
#[cfg(test)]
pub(crate) mod samples {
    use claviger_core::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        ledger::entry::{Draft, Kind},
        tier::{Actor, Tier},
        time::Timestamp,
    };
    use claviger_store::AuditRow;

    pub(crate) const METHODS: [&str; 10] = [
        "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "",
    ];

    pub(crate) fn org() -> OrgId {
        OrgId::from_u128(2)
    }

    /// A record of this kind and method, with this status and path.
    pub(crate) fn row((kind, method): (Kind, &str), status: u16, path: &str) -> AuditRow {
        let actor = match kind {
            Kind::Request | Kind::Refusals => {
                Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix"))
            }
            Kind::BreakGlass => Actor::AdminToken,
            Kind::Bootstrap => Actor::Bootstrap,
            _ => Actor::Session("=cmd|' \"\u{fc}\"".into()),
        };
        let is_key = matches!(actor, Actor::OrgKey(_));
        let has_client = !method.is_empty();
        let chain = [KeyId::from_u128(8), KeyId::from_u128(9)];
        let bytes = Draft {
            kind,
            tier: Tier::OrgKey,
            key: is_key.then(|| KeyId::from_u128(3)),
            chain: if is_key { &chain } else { &[] },
            method,
            path,
            route: if has_client { "/workspaces/{id}" } else { "" },
            workspace: has_client.then(|| WorkspaceId::from_u128(4)),
            status,
            code: (status >= 400).then_some("missing_permission"),
            duration_us: 12_345,
            client: if has_client {
                "2001:db8::7".parse().ok()
            } else {
                None
            },
            user_agent: has_client.then_some("+curl/8, \"x\"\t"),
            count: if kind == Kind::Refusals { 9 } else { 1 },
            change: (status < 400).then_some(r#"{"minted":{"id":"tok_1","n":[1]}}"#),
            ..Draft::of_operation(
                EventId::from_u128(1),
                7,
                Timestamp::from_millis(1_700_000_000_123),
                org(),
                &actor,
            )
        }
        .write()
        .bytes()
        .to_vec();
        AuditRow { seq: 42, bytes }
    }
}
