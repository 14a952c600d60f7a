//! `/org/tokens/{id}/usage`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use claviger_core::{
    action::ReadKeys,
    id::{KeyId, WorkspaceId},
    time::Timestamp,
};
use claviger_store::{RouteUse, Span, Step, StepUse, hour_of};
use claviger_wire::usage as wire;
use http::StatusCode;

use crate::{
    clock,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::usage,
};

/// What is answered unless the caller says otherwise.
const SPAN: Duration = Duration::from_secs(7 * 86_400);
/// The longest stretch that is answered hour by hour.
const HOURS_MAX: u32 = 1000;
/// How many routes, and how many workspaces, are answered.
const LISTED_MAX: usize = 200;

/// `GET /org/tokens/{id}/usage`.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 404, 503.
pub async fn usage(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let query = call.query(&["since", "until", "by"])?;
    let span = span(&query, clock::now())?;
    let step = match query.get("by") {
        None | Some("day") => Step::Day,
        Some("hour") => Step::Hour,
        Some(_) => {
            return Err(Failure::Malformed {
                code: "bad_query",
                field: Some("by".to_owned()),
                reason: "query parameter `by` must be `hour` or `day`".to_owned(),
            });
        }
    };
    if step == Step::Hour && span.until.since(span.since) > claviger_store::HOUR * HOURS_MAX {
        let reason = format!("can be `hour` for {HOURS_MAX} hours at most; use `day`");
        return Err(Failure::out_of_range("by", reason));
    }
    let uses = usage::of_key(&call.app, &call.permit, id, (span, step)).await?;
    let sum = |of: fn(&StepUse) -> u64| uses.steps.iter().map(of).sum();
    let workspaces = workspaces(&uses.rows);
    let answer = wire::KeyUsage {
        since: hour_of(span.since).to_string(),
        until: span.until.to_string(),
        calls: sum(|step| step.calls),
        refusals: sum(|step| step.refusals),
        last_used_at: uses.key.last_use.map(|last| last.at.to_string()),
        distinct: wire::DistinctUse {
            endpoints: endpoints(&uses.rows),
            workspaces: count(workspaces.len()),
            addresses: count(uses.addresses.len()),
        },
        by: uses.steps.iter().map(bucket).collect(),
        endpoints: uses.rows.iter().take(LISTED_MAX).map(endpoint).collect(),
        workspaces: workspaces.into_iter().take(LISTED_MAX).collect(),
        addresses: uses.addresses.iter().map(address).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

fn span(query: &Query, now: Timestamp) -> Result<Span, Failure> {
    let expected = "a time such as `2026-01-31T08:00:00Z`";
    let until = query.parse::<Timestamp>("until", expected)?;
    let until = until.unwrap_or(now);
    let since = query.parse::<Timestamp>("since", expected)?;
    let since = since.unwrap_or_else(|| until.minus(SPAN));
    if since >= until {
        return Err(Failure::out_of_range("since", "must be before `until`"));
    }
    Ok(Span { since, until })
}

fn bucket(step: &StepUse) -> wire::UsageBucket {
    wire::UsageBucket {
        from: step.from.to_string(),
        calls: step.calls,
        refusals: step.refusals,
        workspaces: step.workspaces,
        endpoints: step.endpoints,
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How many methods and routes there are in these rows, whatever the workspace.
fn endpoints(rows: &[RouteUse]) -> u64 {
    let named = rows.iter().map(|row| (&row.method, &row.route));
    count(named.collect::<BTreeSet<_>>().len())
}

pub(super) fn endpoint(row: &RouteUse) -> wire::EndpointUse {
    wire::EndpointUse {
        method: row.method.clone(),
        route: row.route.clone(),
        workspace: row.workspace.map(|id| id.to_string()),
        calls: row.calls,
        refusals: row.refusals,
    }
}

fn workspaces(rows: &[RouteUse]) -> Vec<wire::WorkspaceUse> {
    let mut sums: BTreeMap<WorkspaceId, (u64, u64)> = BTreeMap::new();
    for row in rows {
        if let Some(id) = row.workspace {
            let sum = sums.entry(id).or_default();
            *sum = (sum.0 + row.calls, sum.1 + row.refusals);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(id, sum)| (std::cmp::Reverse(*sum), *id));
    let used = |(id, (calls, refusals)): (WorkspaceId, (u64, u64))| wire::WorkspaceUse {
        workspace: id.to_string(),
        calls,
        refusals,
    };
    sums.into_iter().map(used).collect()
}

pub(super) fn address(seen: &claviger_store::AddressUse) -> wire::AddressUse {
    wire::AddressUse {
        address: seen.address.to_string(),
        first_at: seen.first_at.to_string(),
        last_at: seen.last_at.to_string(),
        calls: seen.calls,
    }
}
