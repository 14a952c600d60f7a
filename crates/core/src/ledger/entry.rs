//! One audit record: the exact bytes that are kept, exported and hashed, and the line.
//!
//! The bytes are one JSON object on one line with a fixed order of members. They are written once,
//! when the request ends, and never again; queries read them, and nothing beside them.

use super::{short, tree::tile::RECORD_BYTES_MAX};
use crate::{
    id::{EventId, Id, KeyId, OrgId, WorkspaceId},
    json::{push, push_address, push_hex, push_number, push_string},
    ledger::tree::{Hash, leaf_hash},
    tier::{Actor, Principal, Tier},
    time::Timestamp,
};

/// The longest path in a record, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// The longest user agent in a record, in bytes.
pub const USER_AGENT_BYTES_MAX: usize = 256;
/// The most keys of a chain in a record; of a longer one, the nearest.
pub const CHAIN_KEYS_MAX: usize = 1000;
/// The longest name of an impersonator in a record, in bytes.
pub const IMPERSONATOR_BYTES_MAX: usize = 255;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request.
    Request,
    /// A request with `ADMIN_TOKEN`, or in a session that it began.
    BreakGlass,
    /// A request through tier 0.
    Bootstrap,
    /// Refusals that were counted and not recorded one by one.
    Refusals,
    /// What became of a key because of what was done to another, or to many at once.
    Cascade,
    /// Something that is told of a key: that its end comes near, for example.
    Notice,
    /// The end of a stream; its beginning is a request.
    StreamEnd,
    /// Something that was done outside any request: by the operator, or by the org's policy.
    Operation,
    /// What became of a checkpoint outside the database. It is no reason to anchor another.
    Anchor,
    /// Something that deserves a look: what a key did for the first time, or should not do at all.
    Signal,
    /// The decision that the bodies of old records are dropped.
    Retention,
}

impl Kind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Request,
        Self::BreakGlass,
        Self::Bootstrap,
        Self::Refusals,
        Self::Cascade,
        Self::Notice,
        Self::StreamEnd,
        Self::Operation,
        Self::Anchor,
        Self::Signal,
        Self::Retention,
    ];

    /// The kind that this word stands for.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|kind| kind.as_str() == word).copied()
    }

    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::BreakGlass => "break_glass",
            Self::Bootstrap => "bootstrap",
            Self::Refusals => "refusals",
            Self::Cascade => "cascade",
            Self::Notice => "notice",
            Self::StreamEnd => "stream_end",
            Self::Operation => "operation",
            Self::Anchor => "anchor",
            Self::Signal => "signal",
            Self::Retention => "retention",
        }
    }

    /// The kind of a request of this caller.
    #[must_use]
    pub const fn of(caller: &Principal) -> Self {
        match caller.tier {
            _ if caller.is_break_glass => Self::BreakGlass,
            Tier::AdminToken => Self::BreakGlass,
            Tier::Bootstrap => Self::Bootstrap,
            Tier::Session | Tier::OrgKey | Tier::WorkspaceToken | Tier::Anonymous => Self::Request,
        }
    }
}

/// Everything that a record says, before it is written.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Its id, also the request id.
    pub id: EventId,
    /// 128 random bits: a kept hash of a dropped record reveals nothing.
    pub nonce: u128,
    /// When the request began.
    pub at: Timestamp,
    /// The org whose trail it belongs to.
    pub org: OrgId,
    /// What it is about.
    pub kind: Kind,
    /// How the caller proved itself.
    pub tier: Tier,
    /// Who acted.
    pub actor: &'a Actor,
    /// The key that was presented.
    pub key: Option<KeyId>,
    /// The keys that it descends from, nearest first.
    pub chain: &'a [KeyId],
    /// Where the chain began.
    pub root: &'a Actor,
    /// Who acted as the person, where the identity provider says that somebody did.
    pub impersonator: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The decoded path.
    pub path: &'a str,
    /// The pattern of the route, empty for none.
    pub route: &'a str,
    /// The workspace that the path names.
    pub workspace: Option<WorkspaceId>,
    /// The status that was answered.
    pub status: u16,
    /// The stable code of a refusal or error.
    pub code: Option<&'a str>,
    /// How long it took, in microseconds, up to the writing of this record.
    pub duration_us: u64,
    /// The caller's address.
    pub client: Option<std::net::IpAddr>,
    /// The caller's `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// How many requests this record stands for.
    pub count: u64,
    /// What it changed: a JSON object.
    pub change: Option<&'a str>,
}

/// A record that was written: the exact bytes that are kept. Only a [`Draft`] makes one, so it is
/// always one JSON object without a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    org: OrgId,
    at: Timestamp,
    leaf: Hash,
    bytes: Vec<u8>,
}

impl Entry {
    /// The org whose trail it belongs to.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// When the request began.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The hash of the record, as a leaf of the tree of its trail.
    #[must_use]
    pub const fn leaf(&self) -> Hash {
        self.leaf
    }

    /// The record.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Draft<'a> {
    /// The draft of something that an actor did to an org outside any request.
    #[must_use]
    pub const fn of_operation(
        id: EventId,
        nonce: u128,
        at: Timestamp,
        org: OrgId,
        actor: &'a Actor,
    ) -> Self {
        Self {
            id,
            nonce,
            at,
            org,
            kind: Kind::Operation,
            tier: Tier::Anonymous,
            actor,
            key: None,
            chain: &[],
            root: actor,
            impersonator: None,
            method: "",
            path: "",
            route: "",
            workspace: None,
            status: 200,
            code: None,
            duration_us: 0,
            client: None,
            user_agent: None,
            count: 1,
            change: None,
        }
    }

    /// Writes the record, and hashes it: here, where requests do so side by side, and not on the one
    /// way to the store.
    #[must_use]
    pub fn write(&self) -> Entry {
        let bytes = self.bytes();
        Entry {
            org: self.org,
            at: self.at,
            leaf: leaf_hash(&bytes),
            bytes,
        }
    }

    /// A record is a leaf of the tree, and a leaf has at most [`RECORD_BYTES_MAX`] bytes. All but the
    /// change is short.
    fn bytes(&self) -> Vec<u8> {
        let bytes = self.whole();
        if bytes.len() <= RECORD_BYTES_MAX {
            return bytes;
        }
        let change = self.change.map(short::change);
        let draft = Draft {
            change: change.as_deref(),
            ..self.clone()
        };
        draft.whole()
    }

    /// Plain pushes and no formatting: this runs for every request.
    fn whole(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let to = &mut out;
        push(to, r#"{"v":1,"id":""#);
        self.id.push_to(to);
        push(to, r#"","time":""#);
        self.at.push_to(to);
        push(to, r#"","org":""#);
        self.org.push_to(to);
        push(to, r#"","kind":""#);
        push(to, self.kind.as_str());
        push(to, r#"","tier":""#);
        push(to, self.tier.as_str());
        push(to, r#"","actor":"#);
        push_actor(to, self.actor);
        if let Some(key) = self.key {
            push_id(to, r#","key":""#, key);
        }
        for (at, key) in self.chain.iter().take(CHAIN_KEYS_MAX).enumerate() {
            let lead = if at == 0 { r#","chain":[""# } else { r#",""# };
            push_id(to, lead, *key);
        }
        if !self.chain.is_empty() {
            to.push(b']');
        }
        push(to, r#","root":"#);
        push_actor(to, self.root);
        if let Some(other) = self.impersonator {
            push(to, r#","impersonator":"#);
            push_string(to, cut(other, IMPERSONATOR_BYTES_MAX));
        }
        self.push_request(to);
        push(to, r#","nonce":""#);
        push_hex(to, self.nonce);
        push(to, "\"}");
        out
    }

    fn push_request(&self, out: &mut Vec<u8>) {
        for (name, value) in [
            (r#","method":"#, cut(self.method, 32)),
            (r#","path":"#, cut(self.path, PATH_BYTES_MAX)),
            (r#","route":"#, self.route),
        ] {
            push(out, name);
            push_string(out, value);
        }
        if let Some(workspace) = self.workspace {
            push_id(out, r#","workspace":""#, workspace);
        }
        push(out, r#","status":"#);
        push_number(out, u64::from(self.status));
        push(out, r#","duration_us":"#);
        push_number(out, self.duration_us);
        if let Some(code) = self.code {
            push(out, r#","code":"#);
            push_string(out, code);
        }
        if let Some(client) = self.client {
            push(out, r#","client":""#);
            push_address(out, client);
            out.push(b'"');
        }
        if let Some(agent) = self.user_agent {
            push(out, r#","user_agent":"#);
            push_string(out, cut(agent, USER_AGENT_BYTES_MAX));
        }
        if self.count != 1 {
            push(out, r#","count":"#);
            push_number(out, self.count);
        }
        if let Some(change) = self.change {
            push(out, r#","change":"#);
            push(out, change);
        }
    }

    /// The line: `org-token:mole_a1b2c3d4 POST /workspaces/ws_…/channels 200 12ms`.
    pub fn push_line(&self, out: &mut Vec<u8>) {
        match self.actor {
            Actor::Session(person) => {
                push(out, "session:");
                push_escaped(out, person);
            }
            known => known.push_to(out),
        }
        out.push(b' ');
        push_escaped(out, cut(self.method, 32));
        out.push(b' ');
        push_escaped(out, cut(self.path, PATH_BYTES_MAX));
        out.push(b' ');
        push_number(out, u64::from(self.status));
        out.push(b' ');
        match self.duration_us {
            short @ 0..1000 => {
                push_number(out, short);
                push(out, "us");
            }
            long => {
                push_number(out, long / 1000);
                push(out, "ms");
            }
        }
        if self.count != 1 {
            push(out, " x");
            push_number(out, self.count);
        }
        if let Some(code) = self.code {
            out.push(b' ');
            push(out, code);
        }
        out.push(b'\n');
    }
}

/// An actor label as a JSON string. Only a person's id can hold what needs escaping.
pub fn push_actor(out: &mut Vec<u8>, actor: &Actor) {
    match actor {
        Actor::Session(_) => push_string(out, &actor.to_string()),
        plain => {
            out.push(b'"');
            plain.push_to(out);
            out.push(b'"');
        }
    }
}

/// A member whose value is an id; `lead` ends with the opening quotation mark.
fn push_id<K: crate::id::Kind>(out: &mut Vec<u8>, lead: &str, id: Id<K>) {
    push(out, lead);
    id.push_to(out);
    out.push(b'"');
}

/// At most `bytes_max` bytes of the text, cut between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
}

/// A field of a line: no space, no control character, nothing outside printable ASCII.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let is_plain = |b: u8| (b'!'..=b'~').contains(&b) && b != b'\\';
    if text.is_empty() {
        out.push(b'-');
    } else if text.bytes().all(is_plain) {
        push(out, text);
    } else {
        for c in text.chars() {
            match c {
                '\\' => push(out, "\\\\"),
                '!'..='~' => push(out, c.encode_utf8(&mut [0; 4])),
                _ => push(out, &format!("\\u{{{:x}}}", u32::from(c))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Draft, Kind};
    use crate::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        tier::{Actor, Tier},
        time::Timestamp,
    };

    fn draft<'a>(actor: &'a Actor, path: &'a str, agent: &'a str) -> Draft<'a> {
        Draft {
            id: EventId::from_u128(1),
            nonce: 0xabc,
            at: Timestamp::from_millis(1_700_000_000_123),
            org: OrgId::from_u128(2),
            kind: Kind::Request,
            tier: Tier::OrgKey,
            actor,
            key: Some(KeyId::from_u128(3)),
            chain: &[],
            root: actor,
            impersonator: None,
            method: "POST",
            path,
            route: "/workspaces/{id}/channels",
            workspace: Some(WorkspaceId::from_u128(4)),
            status: 200,
            code: None,
            duration_us: 12_345,
            client: Some("192.0.2.7".parse().expect("an address")),
            user_agent: Some(agent),
            count: 1,
            change: Some(r#"{"created":"ch_1"}"#),
        }
    }

    proptest! {
        #[test]
        fn a_record_is_one_line_of_json_that_says_what_was_meant(path in any::<String>(), agent in any::<String>()) {
            let actor = Actor::Session("user_\n\"1".into());
            let entry = draft(&actor, &path, &agent).write();
            assert!(entry.bytes.iter().all(|b| (b' '..0x7f).contains(b)));
            assert_eq!(entry.leaf, super::leaf_hash(&entry.bytes));
            let value: serde_json::Value = serde_json::from_slice(&entry.bytes).expect("JSON");
            assert_eq!(value.get("actor").and_then(|v| v.as_str()), Some("session:user_\n\"1"));
            let kept = value.get("path").and_then(|v| v.as_str()).expect("a path");
            assert!(path.starts_with(kept) && (kept == path || kept.len() > 1000));
        }

        #[test]
        fn a_line_cannot_be_broken_or_forged(path in any::<String>()) {
            let actor = Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix"));
            let mut line = Vec::new();
            draft(&actor, &path, "").push_line(&mut line);
            assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(line.split(|b| *b == b' ').count(), 5);
            assert!(line.iter().all(|b| (b' '..0x7f).contains(b) || *b == b'\n'));
        }
    }

    #[test]
    fn the_line_is_the_documented_one() {
        let actor = Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix"));
        let mut line = Vec::new();
        draft(&actor, "/workspaces/ws_1/channels", "curl/8").push_line(&mut line);
        assert_eq!(
            String::from_utf8_lossy(&line),
            "org-token:mole_a1b2c3d4 POST /workspaces/ws_1/channels 200 12ms\n"
        );
    }
}
