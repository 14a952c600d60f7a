//! `/org/policy`.

use claviger_core::{
    action::{ReadPolicy, WritePolicy},
    key::OrgKey,
    policy::{Policy, PolicyText},
};
use claviger_wire::policy as wire;
use http::StatusCode;
use serde_json::json;

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::policies::{self, Effect},
};

/// How many keys an answer tells of.
const KEYS_TOLD_MAX: usize = 1000;

/// `GET /org/policy`.
///
/// # Errors
/// None of its own.
pub async fn get(call: Call<ReadPolicy>) -> Result<Reply, Failure> {
    let policy = policies::get(&call.app, &call.permit);
    Ok(Reply::json(StatusCode::OK, &view(&policy)))
}

/// `PUT /org/policy`: the whole policy; with `dry_run=true` it only says what it would do.
///
/// # Errors
/// As [`policies::put`]; 422 naming a field.
pub async fn put(mut call: Call<WritePolicy>) -> Result<Reply, Failure> {
    let query = call.query(&["dry_run"])?;
    let is_dry: bool = query
        .parse("dry_run", "`true` or `false`")?
        .unwrap_or(false);
    let body: wire::Policy = call.json().await?;
    let policy = text(body)
        .check()
        .map_err(|error| Failure::out_of_range(error.field, error.reason))?;
    let effect = policies::preview(&call.app, &call.permit, &policy).await?;
    if is_dry {
        return Ok(Reply::json(StatusCode::OK, &told(true, &policy, &effect)));
    }
    let before = call.app.policies.of(call.org());
    let before = before.map(|in_force| view(&in_force.policy));
    let blocked = effect.blocked.len();
    let record = call.recorder(StatusCode::OK, move |policy: &Policy| {
        json!({"policy": {"from": before, "to": view(policy), "blocked": blocked}})
    });
    let written = policies::put(&call.app, &call.permit, policy, record).await?;
    let answer = told(false, &written.value, &effect);
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

fn told(dry_run: bool, policy: &Policy, effect: &Effect) -> wire::PolicyEffect {
    let key = |key: &OrgKey, reason: String| wire::BlockedKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        reason,
    };
    let blocked = effect.blocked.iter().take(KEYS_TOLD_MAX);
    let cut = effect.cut.iter().take(KEYS_TOLD_MAX);
    let lost = |key: &OrgKey| {
        let patterns = key.grant.permissions.patterns().join(", ");
        format!("holds `{patterns}`, which is more than the policy allows")
    };
    wire::PolicyEffect {
        dry_run,
        policy: view(policy),
        blocked_count: effect.blocked.len(),
        blocked: blocked
            .map(|(one, block)| key(one, block.to_string()))
            .collect(),
        cut_count: effect.cut.len(),
        cut: cut.map(|one| key(one, lost(one))).collect(),
    }
}

/// A policy as it is answered.
fn view(policy: &Policy) -> wire::Policy {
    let text = PolicyText::from(policy);
    wire::Policy {
        permissions: text.permissions,
        presets: text.presets,
        ip_allow: text.ip_allow,
        lifetime_max: text.lifetime_max,
        require_expiry: text.require_expiry,
        required_metadata: text.required_metadata,
        minters: text.minters,
        keys_max: text.keys_max,
        depth_max: text.depth_max,
        suspend_idle_after: text.suspend_idle_after,
        suspend_overdue: text.suspend_overdue,
    }
}

fn text(body: wire::Policy) -> PolicyText {
    PolicyText {
        permissions: body.permissions,
        presets: body.presets,
        ip_allow: body.ip_allow,
        lifetime_max: body.lifetime_max,
        require_expiry: body.require_expiry,
        required_metadata: body.required_metadata,
        minters: body.minters,
        keys_max: body.keys_max,
        depth_max: body.depth_max,
        suspend_idle_after: body.suspend_idle_after,
        suspend_overdue: body.suspend_overdue,
    }
}
