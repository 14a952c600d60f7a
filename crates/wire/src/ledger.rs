//! The audit trail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /org/audit`. Also the shape that clients read; the server writes the kept bytes as they are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The records, newest first.
    pub events: Vec<Event>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `GET /org/audit/key`: who signs the trail of the org.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogKeys {
    /// The first line of every checkpoint, and the name of the keys: it stays the same.
    pub origin: String,
    /// The keys that sign now, the current one first.
    pub keys: Vec<LogKey>,
}

/// A public key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogKey {
    /// Name, id and key in one word, as tools for signed notes take it (C2SP signed-note).
    pub vkey: String,
    /// Its id: eight hexadecimal digits.
    pub id: String,
    /// Whether it is the one that will go on signing; the others are on their way out.
    pub is_current: bool,
}

/// `GET /org/audit/proof`: what was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum LogProof {
    /// With `seq`.
    Inclusion(InclusionProof),
    /// With `from`.
    Consistency(ConsistencyProof),
}

/// That a record is in the trail (RFC 6962, 2.1.1). Hashes are SHA-256, in base64.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InclusionProof {
    /// The number of the record; its leaf has the index `seq - 1`.
    pub seq: u64,
    /// The hash of its leaf.
    pub leaf_hash: String,
    /// How many records the tree has.
    pub size: u64,
    /// Its root.
    pub root: String,
    /// The hashes beside the way from the leaf to the root.
    pub proof: Vec<String>,
    /// The signed note over this size and root; null if none was made of this size.
    pub checkpoint: Option<String>,
}

/// That the trail of `from` records is the beginning of the one of `to` (RFC 6962, 2.1.2). Hashes are
/// SHA-256, in base64.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyProof {
    /// How many records the earlier tree has.
    pub from: u64,
    /// Its root.
    pub from_root: String,
    /// How many records the later tree has.
    pub to: u64,
    /// Its root.
    pub to_root: String,
    /// The hashes that lead from the one to the other.
    pub proof: Vec<String>,
    /// The signed note over the later tree; null if none was made of this size.
    pub checkpoint: Option<String>,
}

/// One record. Members that do not apply are left out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number in the org's trail, from 1, without gaps.
    pub seq: u64,
    /// Its id, also the `X-Request-Id` of the request.
    pub id: String,
    /// When the request began.
    pub time: String,
    /// The org.
    pub org: String,
    /// `request`, `break_glass`, `bootstrap`, `refusals` or `operation`.
    pub kind: String,
    /// How the caller proved itself.
    pub tier: String,
    /// Who acted.
    pub actor: String,
    /// The key that was presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The keys above it, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// Where the chain of authority began.
    pub root: String,
    /// Who acted as the person, where the identity provider said that somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<String>,
    /// The method.
    pub method: String,
    /// The decoded path.
    pub path: String,
    /// The pattern of the route.
    pub route: String,
    /// The workspace that the path names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The status that was answered.
    pub status: u16,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The stable code of a refusal or error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The caller's `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How many requests the record stands for; left out for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub change: Option<serde_json::Value>,
}

/// A line of `GET /org/audit/verify`. The last one is a verdict, or says why there is none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLine {
    /// How far it is.
    Progress(VerifyProgress),
    /// Something that is wrong.
    Finding(VerifyFinding),
    /// What it came to.
    Verdict(VerifyVerdict),
    /// Why it did not come to its end.
    Failed(VerifyFailure),
}

/// How far a verification is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyProgress {
    /// How many records were looked at.
    pub records: u64,
    /// How many there are.
    pub of: u64,
}

/// Something that is wrong with a trail, or with what is kept beside it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyFinding {
    /// `column` for what is kept beside the records; else as `claviger audit verify` names it.
    pub kind: String,
    /// The number of the first record that is not in its place because of it.
    pub seq: u64,
    /// The number of the first record concerned.
    pub first: u64,
    /// The number of the last record concerned.
    pub last: u64,
    /// The table and the column.
    pub column: String,
    /// What it is.
    pub what: String,
}

/// What a verification came to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyVerdict {
    /// Whether nothing was found.
    pub is_sound: bool,
    /// How many records were read.
    pub records: u64,
    /// The records whose bodies were dropped, as the org's policy asks; left out for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<VerifyDropped>,
    /// The records from 1 to this number are those that were signed.
    pub intact: u64,
    /// How many records the largest checkpoint covers that fits; null if none does.
    pub proved: Option<u64>,
    /// The keys that signed it: name and id.
    pub signed_by: Vec<String>,
    /// How many findings there were; at most 1,000 were told.
    pub findings: u64,
    /// The first record that a finding names.
    pub first: Option<u64>,
    /// The same in sentences.
    pub said: String,
}

/// Records whose bodies were dropped. Their hashes stay, and are what was signed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyDropped {
    /// The number of the last of them.
    pub last: u64,
    /// The number of the record that says so.
    pub record: u64,
}

/// Why a verification did not come to its end.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyFailure {
    /// The stable code.
    pub code: String,
    /// Why.
    pub detail: String,
}
