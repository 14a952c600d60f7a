//! What an org did in 30 days: the audit trail, and what keys were used for. Written by the store's own
//! means, for to call the API a million times would take an hour and lie in one day.

use std::{net::IpAddr, sync::Arc, time::Duration};

use claviger_core::{
    id::{EventId, OrgId},
    ledger::{
        batch::Batch,
        entry::{Draft, Entry, Kind},
    },
    tier::{Actor, Tier},
    time::Timestamp,
};
use claviger_store::{
    AddressUse, HOUR, OpenOptions, SecretUse, Store, UsageBatch, UsageCell, hour_of,
};

use super::org::{Org, SeededKey};
use crate::Failure;

const DAYS: u64 = 30;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Records that one commit has: a server with a little to do.
const RECORDS_PER_COMMIT: u64 = 8;
/// Commits that are under way at once.
const COMMITS_AT_ONCE: u64 = 256;
/// Every so many-th key was used in every hour, the others on a few days.
const BUSY_KEY_EVERY: usize = 100;

const ROUTES: [(&str, &str, &str); 5] = [
    (
        "GET",
        "/workspaces/{id}/secrets/values",
        "/workspaces/ws/secrets/values",
    ),
    (
        "POST",
        "/workspaces/{id}/channels/{cid}/send",
        "/workspaces/ws/channels/ch/send",
    ),
    (
        "GET",
        "/workspaces/{id}/channels",
        "/workspaces/ws/channels",
    ),
    ("GET", "/workspaces", "/workspaces"),
    ("GET", "/org/whoami", "/org/whoami"),
];

/// Opens the database while no server has it, and writes so many records and the uses of all keys.
pub(crate) async fn fill(
    url: &str,
    org: &Org,
    records: u64,
    now: Timestamp,
) -> Result<(), Failure> {
    let options = OpenOptions {
        url: url.to_owned(),
        sync_audit: false,
        default_org: OrgId::from_u128(0),
        now,
    };
    let store = claviger_store::open(options).await?;
    let id = store.deployment().await?.default_org;
    append(&store, (id, org), records, now).await?;
    use_keys(&*store, org, now).await?;
    // A service does this behind its requests. A trail that grew up over days has it.
    while store.index_audit().await? {}
    while store.derive_tiles().await? {}
    store.close().await;
    Ok(())
}

/// Record number `number` of an org's: of its keys, in its workspaces.
pub(crate) fn record(
    (id, org): (OrgId, &Org),
    number: u64,
    at: Timestamp,
) -> Result<Entry, Failure> {
    // A multiple that shares no factor with the counts, so that neighbours are unlike.
    let spread = usize::try_from(number.wrapping_mul(7_919))?;
    let key = org.keys.get(spread % org.keys.len()).ok_or("no key")?;
    let (method, route, path) = *ROUTES.get(spread % ROUTES.len()).ok_or("no route")?;
    let workspace = org.workspaces.get(spread % org.workspaces.len()).copied();
    let actor = Actor::OrgKey(key.prefix);
    let is_refused = number.is_multiple_of(37);
    let draft = Draft {
        kind: Kind::Request,
        tier: Tier::OrgKey,
        actor: &actor,
        key: Some(key.id),
        method,
        path,
        route,
        workspace: workspace.filter(|_| route.contains("{id}")),
        status: if is_refused { 403 } else { 200 },
        code: is_refused.then_some("forbidden"),
        duration_us: 300 + number % 9_000,
        client: Some(address(number)),
        user_agent: Some("agent/1.4 (python-httpx/0.27)"),
        ..Draft::of_operation(
            EventId::from_parts(at, u128::from(number) << 16),
            u128::from(number) << 64,
            at,
            id,
            &actor,
        )
    };
    Ok(draft.write())
}

fn address(number: u64) -> IpAddr {
    let [.., last] = number.to_be_bytes();
    IpAddr::from([10, 0, 0, last])
}

/// Appends the records, some commits at once, in order.
async fn append(
    store: &Arc<dyn Store>,
    whose: (OrgId, &Org),
    records: u64,
    now: Timestamp,
) -> Result<(), Failure> {
    let begin = now.minus(DAY * u32::try_from(DAYS)?);
    let span_ms = u64::try_from(now.since(begin).as_millis())?;
    let mut number = 0;
    while number < records {
        let mut commits = tokio::task::JoinSet::new();
        for _ in 0..COMMITS_AT_ONCE {
            let mut batch = Batch::default();
            for _ in 0..RECORDS_PER_COMMIT.min(records - number) {
                let after = Duration::from_millis(span_ms * number / records);
                batch.push(&record(whose, number, begin.plus(after))?);
                number += 1;
            }
            if batch.is_empty() {
                break;
            }
            let (store, batch) = (Arc::clone(store), Arc::new(batch));
            commits.spawn(async move { store.append(batch).await });
        }
        while let Some(outcome) = commits.join_next().await {
            outcome??;
        }
    }
    Ok(())
}

/// Counts, addresses and last uses of all keys but the last tenth, which were never used.
async fn use_keys(store: &dyn Store, org: &Org, now: Timestamp) -> Result<(), Failure> {
    let used = org.keys.len() * 9 / 10;
    for (number, key) in org.keys.iter().enumerate().take(used) {
        let is_busy = number % BUSY_KEY_EVERY == 0;
        // One in ten was used last long ago.
        let idle = if number % 10 == 9 { DAY * 120 } else { HOUR };
        let last = now.minus(idle);
        let uses = UsageBatch {
            cells: cells(org, (number, key), is_busy, last),
            addresses: vec![(
                key.id,
                AddressUse {
                    address: address(u64::try_from(number)?),
                    first_at: last.minus(DAY),
                    last_at: last,
                    calls: 40,
                },
            )],
        };
        store.add_usage(Arc::new(uses)).await?;
        let last = SecretUse {
            key: key.id,
            prefix: Some(key.prefix),
            at: last,
            from: Some(address(u64::try_from(number)?)),
        };
        store.touch_keys(vec![last]).await?;
    }
    Ok(())
}

fn cells(
    org: &Org,
    (number, key): (usize, &SeededKey),
    is_busy: bool,
    last: Timestamp,
) -> Vec<UsageCell> {
    let hours = if is_busy { DAYS * 24 } else { 8 };
    let step = if is_busy { HOUR } else { DAY * 3 };
    let routes = ROUTES
        .iter()
        .skip(number % 3)
        .take(if is_busy { 3 } else { 1 });
    let mut cells = Vec::new();
    for (method, route, _) in routes {
        let mut hour = hour_of(last);
        for _ in 0..hours {
            cells.push(UsageCell {
                key: key.id,
                hour,
                method,
                route,
                workspace: org
                    .workspaces
                    .get(number % org.workspaces.len())
                    .copied()
                    .filter(|_| route.contains("{id}")),
                calls: 12,
                refusals: u64::from(number.is_multiple_of(8)),
            });
            hour = hour.minus(step);
        }
    }
    cells
}
