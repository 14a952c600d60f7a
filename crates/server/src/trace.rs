//! One request as the audit trail sees it: kept from its arrival to its record.

use std::{net::IpAddr, sync::Arc, time::Instant};

use claviger_core::{
    id::{EventId, WorkspaceId},
    ledger::entry::{Draft, Entry, Kind, PATH_BYTES_MAX, USER_AGENT_BYTES_MAX},
    tier::{Principal, Tier},
    time::Timestamp,
};
use http::{HeaderMap, Method, header};

use crate::{clock, entropy};

/// What is known when the head of a request has arrived.
#[derive(Debug)]
pub struct Head {
    /// The id of the request and of its record.
    pub id: EventId,
    /// When it arrived.
    pub at: Timestamp,
    /// When it arrived, for measuring.
    pub started: Instant,
    /// The other end of the connection.
    pub client: IpAddr,
    /// The method.
    pub method: Method,
    /// The decoded path, cut to what a record holds.
    pub path: String,
    /// The pattern of the route; empty for none.
    pub route: &'static str,
    /// `User-Agent`, cut to what a record holds.
    pub user_agent: Option<String>,
}

impl Head {
    /// Notes the head of a request.
    #[must_use]
    pub fn new(client: IpAddr, method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let at = clock::now();
        let cut = |text: &str, max: usize| {
            text.get(..text.floor_char_boundary(max))
                .unwrap_or_default()
                .to_owned()
        };
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Self {
            id: EventId::from_parts(at, entropy::bits()),
            at,
            started: Instant::now(),
            client,
            method: method.clone(),
            path: cut(path, PATH_BYTES_MAX),
            route: "",
            user_agent: agent.map(|agent| cut(agent, USER_AGENT_BYTES_MAX)),
        }
    }
}

/// A request whose caller is known, or known to be nobody.
#[derive(Debug)]
pub struct Trace {
    /// The id of the request and of its record.
    pub id: EventId,
    /// When it arrived.
    pub at: Timestamp,
    started: Instant,
    /// The other end of the connection.
    pub client: IpAddr,
    /// The method.
    pub method: Method,
    /// The decoded path.
    pub path: String,
    /// The pattern of the route.
    pub route: &'static str,
    user_agent: Option<String>,
    /// The workspace that the path names.
    pub workspace: Option<WorkspaceId>,
    /// Who asks.
    pub principal: Arc<Principal>,
}

/// How a request ended, as its record says it.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The status.
    pub status: u16,
    /// The stable code of a refusal or error.
    pub code: Option<&'a str>,
    /// A JSON object.
    pub change: Option<&'a str>,
    /// How many requests it stands for.
    pub count: u64,
}

impl Trace {
    /// Joins a head and a principal.
    #[must_use]
    pub fn new(head: Head, principal: Arc<Principal>, workspace: Option<WorkspaceId>) -> Self {
        Self {
            id: head.id,
            at: head.at,
            started: head.started,
            client: head.client,
            method: head.method,
            path: head.path,
            route: head.route,
            user_agent: head.user_agent,
            workspace,
            principal,
        }
    }

    /// Whether the caller holds a credential that is known here.
    #[must_use]
    pub fn is_attributed(&self) -> bool {
        self.principal.tier != Tier::Anonymous
    }

    /// How long the request has taken so far, in microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Everything that the record says.
    #[must_use]
    pub fn draft<'a>(&'a self, ending: Ending<'a>) -> Draft<'a> {
        let principal = &*self.principal;
        let kind = if ending.count > 1 || ending.code.is_some() && !self.is_attributed() {
            Kind::Refusals
        } else {
            Kind::of(principal.tier)
        };
        Draft {
            id: self.id,
            nonce: entropy::bits(),
            at: self.at,
            org: principal.org,
            kind,
            tier: principal.tier,
            actor: &principal.actor,
            key: principal.key,
            chain: principal
                .minter
                .as_ref()
                .map_or(&[], |minter| &minter.chain),
            root: principal.root(),
            method: self.method.as_str(),
            path: &self.path,
            route: self.route,
            workspace: self.workspace,
            status: ending.status,
            code: ending.code,
            duration_us: self.duration_us(),
            client: Some(self.client),
            user_agent: self.user_agent.as_deref(),
            count: ending.count,
            change: ending.change,
        }
    }

    /// The record of a change that succeeded.
    #[must_use]
    pub fn entry_of_change(&self, status: u16, change: &serde_json::Value) -> Entry {
        let change = ascii_json(change);
        self.draft(Ending {
            status,
            code: None,
            change: Some(&change),
            count: 1,
        })
        .write()
    }
}

/// JSON with everything outside printable ASCII escaped, as records hold it.
fn ascii_json(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if text.is_ascii() && !text.contains('\u{7f}') {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() * 2);
    let mut units = [0_u16; 2];
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
