//! A kept record, read back: for those who show records, and for those who count in them.

use std::net::IpAddr;

use serde::Deserialize;

use crate::{
    id::{EventId, KeyId, WorkspaceId},
    time::Timestamp,
};

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id, also that of the request.
    pub id: EventId,
    /// When the request began.
    pub at: Timestamp,
    /// What it is about, in a word; see [`Kind`](super::entry::Kind).
    pub kind: String,
    /// How the caller proved itself; see [`Tier`](crate::tier::Tier).
    pub tier: String,
    /// The label of who acted.
    pub actor: String,
    /// The key that was presented.
    pub key: Option<KeyId>,
    /// The keys above it, nearest first.
    pub chain: Vec<KeyId>,
    /// The label of where the chain began.
    pub root: String,
    /// The method; empty for what was no request.
    pub method: String,
    /// The decoded path.
    pub path: String,
    /// The pattern of the route, empty for none.
    pub route: String,
    /// The workspace that the path names.
    pub workspace: Option<WorkspaceId>,
    /// The status that was answered.
    pub status: u16,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The stable code of a refusal or error.
    pub code: Option<String>,
    /// The caller's address.
    pub client: Option<IpAddr>,
    /// The caller's `User-Agent`.
    pub user_agent: Option<String>,
    /// How many requests it stands for.
    pub count: u64,
    /// What it changed.
    pub change: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Written {
    id: String,
    time: String,
    kind: String,
    tier: String,
    actor: String,
    key: Option<String>,
    #[serde(default)]
    chain: Vec<String>,
    root: String,
    method: String,
    path: String,
    route: String,
    workspace: Option<String>,
    status: u16,
    duration_us: u64,
    code: Option<String>,
    client: Option<String>,
    user_agent: Option<String>,
    #[serde(default = "one")]
    count: u64,
    change: Option<serde_json::Value>,
}

const fn one() -> u64 {
    1
}

impl Record {
    /// Reads the bytes of a record; `None` for what is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let chain = written.chain.iter().map(|id| id.parse().ok());
        Some(Self {
            id: written.id.parse().ok()?,
            at: written.time.parse().ok()?,
            kind: written.kind,
            tier: written.tier,
            actor: written.actor,
            key: written.key.map(|id| id.parse()).transpose().ok()?,
            chain: chain.collect::<Option<_>>()?,
            root: written.root,
            method: written.method,
            path: written.path,
            route: written.route,
            workspace: written.workspace.map(|id| id.parse()).transpose().ok()?,
            status: written.status,
            duration_us: written.duration_us,
            code: written.code,
            client: written.client.and_then(|text| text.parse().ok()),
            user_agent: written.user_agent,
            count: written.count,
            change: written.change,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Record;
    use crate::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        ledger::entry::{Draft, Kind},
        tier::{Actor, Tier},
        time::Timestamp,
    };

    #[test]
    fn record_says_what_was_written() {
        let actor = Actor::Session("ü \"1\"".into());
        let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
        let at = Timestamp::from_millis(1_700_000_000_123);
        let plain = Draft::of_operation(id, 7, at, org, &actor);
        let chain = [KeyId::from_u128(4), KeyId::from_u128(5)];
        let whole = Draft {
            kind: Kind::Refusals,
            tier: Tier::OrgKey,
            key: Some(KeyId::from_u128(3)),
            chain: &chain,
            root: &Actor::AdminToken,
            method: "POST",
            path: "/é\n",
            route: "/x",
            workspace: Some(WorkspaceId::from_u128(6)),
            status: 403,
            code: Some("missing_permission"),
            duration_us: 12,
            client: "2001:db8::1".parse().ok(),
            user_agent: Some("curl/8"),
            count: 9,
            change: Some(r#"{"a":[1]}"#),
            ..plain.clone()
        };
        let read = Record::read(whole.write().bytes()).expect("a record");
        let expected = Record {
            id,
            at,
            kind: "refusals".to_owned(),
            tier: "2a".to_owned(),
            actor: actor.to_string(),
            key: whole.key,
            chain: chain.to_vec(),
            root: "admin-token".to_owned(),
            method: "POST".to_owned(),
            path: "/é\n".to_owned(),
            route: "/x".to_owned(),
            workspace: whole.workspace,
            status: 403,
            duration_us: 12,
            code: Some("missing_permission".to_owned()),
            client: whole.client,
            user_agent: Some("curl/8".to_owned()),
            count: 9,
            change: Some(serde_json::json!({"a": [1]})),
        };
        assert_eq!(read, expected);
        let read = Record::read(plain.write().bytes()).expect("a record");
        assert_eq!((read.key, read.count, read.change), (None, 1, None));
        assert_eq!(Record::read(b"{}"), None);
    }
}
