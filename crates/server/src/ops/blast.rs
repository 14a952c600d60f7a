//! The blast radius of a leaked key: what it could have reached, and what it did.

use std::collections::BTreeMap;

use claviger_core::{
    action::ReadAudit,
    authorize::Permit,
    id::{KeyId, OrgId, WorkspaceId},
    key::{KeyStatus, OrgKey},
    ledger::{entry::Kind, record::Record},
    time::Timestamp,
};
use claviger_store::{
    ADDRESSES_PER_KEY_MAX, AddressUse, AuditFilter, AuditPart, AuditRow, KeyCalls, Line, Page,
    RouteUse, Span,
};

mod reach;

pub use self::reach::Reach;
use self::reach::{NAMES_MAX, reach};
use super::keys;
use crate::{app::App, clock, failure::Failure, policies::block_of};

/// How many keys below it are told of, and counted with it.
const BELOW_MAX: u32 = 500;
/// How many sums by method, route and workspace are told: those with the most calls.
const ENDPOINTS_MAX: u32 = 100;
/// How many records are read for what only the trail knows.
const RECORDS_MAX: u32 = 2000;
/// The same for a page, which shows a few of them.
const RECORDS_ON_PAGE: u32 = 30;
/// How many records are told one by one.
const EVENTS_MAX: usize = 50;
/// How many user agents and workspaces with revealed secrets are told.
const LISTED_MAX: usize = 100;
/// The route that shows the values of secrets.
const REVEAL: &str = "/workspaces/{id}/secrets/values";

/// What a key could have reached, and what it did. What it minted is counted with it.
#[derive(Debug)]
pub struct Radius {
    /// The stretch of time in which it is told what it did.
    pub span: Span,
    /// The key, what is above it, and what is below it, also what has ended.
    pub line: Line,
    /// Whether there is more below it: the sums are without that.
    pub has_more_below: bool,
    /// Why it is refused now; absent where it is accepted.
    pub refused_because: Option<&'static str>,
    /// The grant with which it was minted, as its record says it. It can only have got narrower.
    pub minted_grant: Option<serde_json::Value>,
    /// What it reaches.
    pub reach: Reach,
    /// Calls by method, route and workspace, most calls first.
    pub endpoints: Vec<RouteUse>,
    /// Calls that were let in, and such as were refused.
    pub calls: (u64, u64),
    /// From where it was let in, last seen first.
    pub addresses: Vec<AddressUse>,
    /// With which user agents it came, last seen first.
    pub agents: Vec<AgentUse>,
    /// From when on the user agents are told, where not all records were read.
    pub agents_since: Option<Timestamp>,
    /// The values of secrets that it was shown, by workspace, last seen first.
    pub reveals: Vec<Reveal>,
    /// From when on the revealed secrets are told, where not all records were read.
    pub reveals_since: Option<Timestamp>,
    /// Requests that were refused, newest first.
    pub refused: AuditPart,
    /// What was done to it, newest first.
    pub changes: AuditPart,
    /// From when on the trail has records, where the policy had some dropped that were of the span: what
    /// is read from records begins there.
    pub records_since: Option<Timestamp>,
}

/// A user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentUse {
    /// As the caller sent it; absent for none.
    pub agent: Option<String>,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// In how many requests.
    pub calls: u64,
}

/// The values of a workspace's secrets, shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reveal {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// To which keys.
    pub keys: Vec<KeyId>,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// How often.
    pub calls: u64,
    /// Secrets that have not been changed since: what was shown is still good.
    pub unchanged: Vec<String>,
}

/// What is wanted of a blast radius.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// From when on it is told what the key did; from its mint on if absent.
    pub since: Option<Timestamp>,
    /// Of how many of the newest records it is told which user agents, and which refusals.
    pub records: u32,
}

impl Asked {
    /// Everything, since this instant.
    #[must_use]
    pub const fn whole(since: Option<Timestamp>) -> Self {
        Self {
            since,
            records: RECORDS_MAX,
        }
    }

    /// What a page shows.
    #[must_use]
    pub const fn for_page() -> Self {
        Self {
            since: None,
            records: RECORDS_ON_PAGE,
        }
    }
}

/// What a key could have reached, and what it did since an instant, up to this request.
///
/// # Errors
/// 403 for a caller that is bound to workspaces, about a key that is neither its own nor below it;
/// 404, 503.
pub async fn radius(
    app: &App,
    permit: &Permit<ReadAudit>,
    id: KeyId,
    asked: Asked,
) -> Result<Radius, Failure> {
    let key = keys::get(app, permit, id).await?;
    keys::may_see_uses(permit, &key)?;
    let org = permit.org();
    let place = app.scan_place().await?;
    app.flush_usage().await?;
    let span = Span {
        since: asked.since.unwrap_or(key.created_at),
        until: clock::now(),
    };
    let of = (id, span.since);
    // None waits for another.
    let (lined, agents, reveals, refused, (changes, minted_grant), records_since) = tokio::try_join!(
        lined(app, org, id, span),
        agents(app, org, of, asked.records),
        reveals(app, org, of),
        refused(app, org, of, asked.records),
        own_story(app, org, id),
        records_since(app, org, span.since),
    )?;
    let Lined {
        line,
        has_more_below,
        sums: (hours, endpoints, addresses),
        reach,
    } = lined;
    let radius = Radius {
        refused_because: refused_because(app, &line, span.until),
        minted_grant,
        reach,
        endpoints,
        calls: (
            hours.iter().map(|one| one.calls).sum(),
            hours.iter().map(|one| one.refusals).sum(),
        ),
        addresses,
        refused,
        changes,
        span,
        line,
        has_more_below,
        agents: agents.0,
        agents_since: agents.1.max(records_since),
        reveals: reveals.0,
        reveals_since: reveals.1.max(records_since),
        records_since,
    };
    drop(place);
    Ok(radius)
}

/// The line of a key, and what is told of all keys in it.
struct Lined {
    line: Line,
    has_more_below: bool,
    sums: (Vec<KeyCalls>, Vec<RouteUse>, Vec<AddressUse>),
    reach: Reach,
}

async fn lined(app: &App, org: OrgId, id: KeyId, span: Span) -> Result<Lined, Failure> {
    let page = Page {
        after: None,
        limit: BELOW_MAX + 1,
    };
    let store = &app.store;
    let found = store.find_line(org, id, page).await?;
    let mut line = found.ok_or(Failure::NotFound("key"))?;
    let most = usize::try_from(BELOW_MAX).unwrap_or(usize::MAX);
    let has_more_below = line.below.len() > most;
    line.below.truncate(most);
    keys::refresh_last_used(app, &mut line.key);
    line.below
        .iter_mut()
        .for_each(|key| keys::refresh_last_used(app, key));
    let ids: Vec<KeyId> = std::iter::once(id)
        .chain(line.below.iter().map(|key| key.id))
        .collect();
    let sums = async {
        let hours = store.calls_of_keys(org, &ids, span.since).await?;
        let endpoints = store.usage_of_keys(org, &ids, span, ENDPOINTS_MAX).await?;
        let addresses = store.addresses_of_keys(org, &ids, span.since, ADDRESSES_PER_KEY_MAX);
        Ok::<_, Failure>((hours, endpoints, addresses.await?))
    };
    let (sums, reach) = tokio::try_join!(sums, reach(app, org, &line))?;
    Ok(Lined {
        line,
        has_more_below,
        sums,
        reach,
    })
}

/// Why a key is refused now.
fn refused_because(app: &App, line: &Line, now: Timestamp) -> Option<&'static str> {
    let policy = app.policies.of(line.key.org);
    let policy = policy.as_deref().map(|in_force| &in_force.policy);
    let is_blocked = |key: &OrgKey| policy.is_some_and(|policy| block_of(policy, key).is_some());
    let is_off = |key: &OrgKey| key.status(now) != KeyStatus::Active || is_blocked(key);
    match line.key.status(now) {
        KeyStatus::Active if line.above.iter().any(is_off) => Some("minter_inactive"),
        KeyStatus::Active => is_blocked(&line.key).then_some("policy_blocked"),
        other => Some(other.as_str()),
    }
}

/// From when on the trail has records, where some were dropped since an instant.
async fn records_since(
    app: &App,
    org: OrgId,
    since: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    if app.store.dropped(org).await?.is_none() {
        return Ok(None);
    }
    let page = Page {
        after: None,
        limit: 1,
    };
    let every = AuditFilter::default();
    let part = app.store.export_audit(org, every, page).await?;
    let first = part.rows.first().and_then(|row| Record::read(&row.bytes));
    Ok(first.map(|record| record.at).filter(|at| *at > since))
}

/// Records of the org that fit, newest first, and from when on they are all of them: absent when
/// nothing was left out.
async fn newest(
    app: &App,
    org: OrgId,
    filter: AuditFilter,
    limit: u32,
) -> Result<(Vec<Record>, Option<Timestamp>), Failure> {
    let page = Page { after: None, limit };
    let since = filter.since;
    let part = app.store.query_audit(org, filter, page).await?;
    let read = |row: &AuditRow| Record::read(&row.bytes);
    let records: Vec<Record> = part.rows.iter().filter_map(read).collect();
    let oldest = records.last().map(|record| record.at).or(since);
    Ok((records, part.next.and(oldest)))
}

fn of_line((id, since): (KeyId, Timestamp)) -> AuditFilter {
    AuditFilter {
        under: Some(id),
        since: Some(since),
        ..AuditFilter::default()
    }
}

async fn agents(
    app: &App,
    org: OrgId,
    of: (KeyId, Timestamp),
    limit: u32,
) -> Result<(Vec<AgentUse>, Option<Timestamp>), Failure> {
    let (records, since) = newest(app, org, of_line(of), limit).await?;
    let mut seen: BTreeMap<Option<String>, AgentUse> = BTreeMap::new();
    // A signal is about a call, and is none.
    let is_call = |record: &Record| record.kind != Kind::Signal.as_str();
    for record in records.into_iter().filter(is_call) {
        let agent = record.user_agent;
        let use_of = seen.entry(agent.clone()).or_insert(AgentUse {
            agent,
            first_at: record.at,
            last_at: record.at,
            calls: 0,
        });
        use_of.first_at = use_of.first_at.min(record.at);
        use_of.last_at = use_of.last_at.max(record.at);
        use_of.calls = use_of.calls.saturating_add(record.count);
    }
    let mut seen: Vec<AgentUse> = seen.into_values().collect();
    seen.sort_by_key(|use_of| std::cmp::Reverse(use_of.last_at));
    seen.truncate(LISTED_MAX);
    Ok((seen, since))
}

async fn reveals(
    app: &App,
    org: OrgId,
    of: (KeyId, Timestamp),
) -> Result<(Vec<Reveal>, Option<Timestamp>), Failure> {
    let filter = AuditFilter {
        route: Some(REVEAL.to_owned()),
        status: Some((200, 299)),
        ..of_line(of)
    };
    let (records, since) = newest(app, org, filter, RECORDS_MAX).await?;
    let mut seen: BTreeMap<WorkspaceId, Reveal> = BTreeMap::new();
    for record in records {
        let (Some(workspace), Some(key)) = (record.workspace, record.key) else {
            continue;
        };
        let reveal = seen.entry(workspace).or_insert(Reveal {
            workspace,
            keys: Vec::new(),
            first_at: record.at,
            last_at: record.at,
            calls: 0,
            unchanged: Vec::new(),
        });
        if !reveal.keys.contains(&key) {
            reveal.keys.push(key);
        }
        reveal.first_at = reveal.first_at.min(record.at);
        reveal.last_at = reveal.last_at.max(record.at);
        reveal.calls += 1;
    }
    let mut seen: Vec<Reveal> = seen.into_values().collect();
    seen.sort_by_key(|reveal| std::cmp::Reverse(reveal.last_at));
    seen.truncate(LISTED_MAX);
    let ids: Vec<WorkspaceId> = seen.iter().map(|reveal| reveal.workspace).collect();
    let held = app.store.name_contents(org, &ids, NAMES_MAX).await?;
    for reveal in &mut seen {
        let still = held.secrets.iter().filter(|secret| {
            secret.workspace == reveal.workspace && secret.updated_at <= reveal.last_at
        });
        reveal.unchanged = still.map(|secret| secret.name.clone()).collect();
    }
    Ok((seen, since))
}

/// Requests of the line that were refused, newest first.
async fn refused(
    app: &App,
    org: OrgId,
    of: (KeyId, Timestamp),
    limit: u32,
) -> Result<AuditPart, Failure> {
    let filter = AuditFilter {
        status: Some((400, 499)),
        ..of_line(of)
    };
    let page = Page { after: None, limit };
    let mut part = app.store.query_audit(org, filter, page).await?;
    part.rows.retain(|row| {
        let record = Record::read(&row.bytes);
        record.is_some_and(|record| matches!(record.status, 401 | 403 | 429))
    });
    Ok(cut(part))
}

/// What was done to a key, newest first: for a leaked one, and for the page of any.
async fn changes(app: &App, org: OrgId, id: KeyId) -> Result<AuditPart, Failure> {
    let filter = AuditFilter {
        about: Some(id),
        ..AuditFilter::default()
    };
    let page = Page {
        after: None,
        limit: u32::try_from(EVENTS_MAX).unwrap_or(u32::MAX),
    };
    Ok(app.store.query_audit(org, filter, page).await?)
}

/// What was done to a key, and the grant with which it was minted.
async fn own_story(
    app: &App,
    org: OrgId,
    id: KeyId,
) -> Result<(AuditPart, Option<serde_json::Value>), Failure> {
    let changes = changes(app, org, id).await?;
    let minted = match changes.rows.last() {
        // The first thing that was done to it is among them.
        Some(first) if changes.next.is_none() => grant_in(first),
        Some(_) | None => minted_grant(app, org, id).await?,
    };
    Ok((changes, minted))
}

/// No more than are told.
fn cut(mut part: AuditPart) -> AuditPart {
    if let Some(last) = part.rows.get(EVENTS_MAX - 1).map(|row| row.seq)
        && part.rows.len() > EVENTS_MAX
    {
        part.rows.truncate(EVENTS_MAX);
        part.next = Some(last);
    }
    part
}

/// The grant in the record of a key's mint.
async fn minted_grant(
    app: &App,
    org: OrgId,
    id: KeyId,
) -> Result<Option<serde_json::Value>, Failure> {
    let filter = AuditFilter {
        about: Some(id),
        ..AuditFilter::default()
    };
    let page = Page {
        after: None,
        limit: 1,
    };
    let part = app.store.export_audit(org, filter, page).await?;
    Ok(part.rows.first().and_then(grant_in))
}

/// The grant in the record of a mint.
fn grant_in(row: &AuditRow) -> Option<serde_json::Value> {
    let mut change = Record::read(&row.bytes)?.change?;
    let minted = change.as_object_mut()?.values_mut().next()?;
    minted.get_mut("grant").map(serde_json::Value::take)
}
