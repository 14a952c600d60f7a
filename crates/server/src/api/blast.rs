//! `/org/tokens/{id}/blast-radius`.

use claviger_core::action::ReadAudit;
use claviger_store::{AuditPart, ContentName, Workspace};
use claviger_wire::{blast as wire, ledger::Event};
use http::StatusCode;

use super::{
    audit::push_event,
    grant_view,
    lines::relative,
    usage::{address, endpoint},
};
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::blast::{self, AgentUse, Asked, Radius, Reach, Reveal},
};

/// `GET /org/tokens/{id}/blast-radius`.
///
/// # Errors
/// As [`blast::radius`]; 400 for a query that cannot be used.
pub async fn radius(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&["since"])?;
    let since = query.parse("since", "an RFC 3339 time")?;
    let id = call.id(0, "key")?;
    let radius = blast::radius(&call.app, &call.permit, id, Asked::whole(since)).await?;
    Ok(Reply::json(StatusCode::OK, &view(&radius)))
}

fn view(radius: &Radius) -> wire::BlastRadius {
    let text = |at: Option<claviger_core::time::Timestamp>| at.map(|at| at.to_string());
    wire::BlastRadius {
        since: radius.span.since.to_string(),
        until: radius.span.until.to_string(),
        key: relative(&radius.line.key),
        accepted: radius.refused_because.is_none(),
        refused_because: radius.refused_because.map(str::to_owned),
        grant: grant_view(&radius.line.key.grant),
        minted_grant: radius.minted_grant.clone(),
        reach: reach(&radius.reach),
        ancestors: radius.line.above.iter().map(relative).collect(),
        descendants: radius.line.below.iter().map(relative).collect(),
        descendants_truncated: radius.has_more_below,
        calls: radius.calls.0,
        refusals: radius.calls.1,
        endpoints: radius.endpoints.iter().map(endpoint).collect(),
        addresses: radius.addresses.iter().map(address).collect(),
        user_agents: radius.agents.iter().map(agent).collect(),
        user_agents_since: text(radius.agents_since),
        reveals: radius.reveals.iter().map(reveal).collect(),
        reveals_since: text(radius.reveals_since),
        records_since: text(radius.records_since),
        refused: events(&radius.refused),
        refused_truncated: radius.refused.next.is_some(),
        changes: events(&radius.changes),
        changes_truncated: radius.changes.next.is_some(),
    }
}

fn reach(reach: &Reach) -> wire::Reach {
    let names = |all: &[ContentName], workspace: &Workspace| {
        let own = all.iter().filter(|one| one.workspace == workspace.id);
        own.map(|one| one.name.clone()).collect()
    };
    let one = |workspace: &Workspace| wire::ReachedWorkspace {
        id: workspace.id.to_string(),
        name: workspace.name.clone(),
        channels: names(&reach.contents.channels, workspace),
        secrets: names(&reach.contents.secrets, workspace),
    };
    wire::Reach {
        permissions: reach.permissions.patterns(),
        reveals_secrets: reach.reveals(),
        mints_keys: reach.mints(),
        workspaces: reach.counts.0,
        channels: reach.counts.1,
        secrets: reach.counts.2,
        newest: reach.workspaces.iter().map(one).collect(),
        truncated: reach.is_cut,
    }
}

fn agent(use_of: &AgentUse) -> wire::UserAgentUse {
    wire::UserAgentUse {
        user_agent: use_of.agent.clone(),
        first_at: use_of.first_at.to_string(),
        last_at: use_of.last_at.to_string(),
        calls: use_of.calls,
    }
}

fn reveal(reveal: &Reveal) -> wire::Reveal {
    wire::Reveal {
        workspace: reveal.workspace.to_string(),
        keys: reveal.keys.iter().map(ToString::to_string).collect(),
        first_at: reveal.first_at.to_string(),
        last_at: reveal.last_at.to_string(),
        calls: reveal.calls,
        unchanged: reveal.unchanged.clone(),
    }
}

/// The records as their kept bytes say them.
fn events(part: &AuditPart) -> Vec<Event> {
    let event = |row| {
        let mut json = Vec::new();
        push_event(&mut json, row);
        serde_json::from_slice(&json).ok()
    };
    part.rows.iter().filter_map(event).collect()
}
