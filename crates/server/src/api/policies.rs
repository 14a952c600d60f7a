//! `/org/policy`.

use std::sync::Arc;

use claviger_core::{
    action::{ReadPolicy, WritePolicy},
    policy::{Policy, PolicyText},
};
use claviger_store::{Recorder, Written};
use claviger_wire::policy as wire;
use http::StatusCode;
use serde_json::json;

use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::policies::{self, Effect, Told},
};

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
    let policy = checked(body)?;
    if is_dry {
        let effect = policies::preview(&call.app, &call.permit, &policy).await?;
        return Ok(Reply::json(StatusCode::OK, &told(true, &policy, &effect)));
    }
    let (written, effect) = put_as(&call, policy, StatusCode::OK).await?;
    let answer = told(false, &written.value, &effect);
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

/// A policy as a body says it, checked.
///
/// # Errors
/// 422 naming the field.
pub(crate) fn checked(body: wire::Policy) -> Result<Policy, Failure> {
    text(body)
        .check()
        .map_err(|error| Failure::out_of_range(error.field, error.reason))
}

/// Sets the policy; the record says that this status was answered.
pub(crate) async fn put_as(
    call: &Call<WritePolicy>,
    policy: Policy,
    status: StatusCode,
) -> Result<(Written<Policy>, Effect), Failure> {
    let before = call.app.policies.of(call.org());
    let before = before.map(|in_force| view(&in_force.policy));
    let trace = Arc::clone(&call.trace);
    let record = move |effect: &Effect| -> Recorder<Policy> {
        let blocked = effect.blocked.count;
        Box::new(move |policy| {
            let said = json!({"from": before, "to": view(policy), "blocked": blocked});
            trace.entry_of_change(status.as_u16(), &json!({"policy": said}))
        })
    };
    let policy = (policy, call.trace.client);
    policies::put(&call.app, &call.permit, policy, record).await
}

fn told(dry_run: bool, policy: &Policy, effect: &Effect) -> wire::PolicyEffect {
    let list = |told: &Told| {
        let first = told.first.iter();
        first
            .map(|(key, reason)| wire::BlockedKey {
                id: key.id.to_string(),
                name: key.name.clone(),
                prefix: key.prefix.to_string(),
                reason: reason.clone(),
            })
            .collect()
    };
    wire::PolicyEffect {
        dry_run,
        policy: view(policy),
        living_count: effect.living,
        blocked_count: effect.blocked.count,
        blocked: list(&effect.blocked),
        below_count: effect.below.count,
        below: list(&effect.below),
        cut_count: effect.cut.count,
        cut: list(&effect.cut),
        outside_count: effect.outside.count,
        outside: list(&effect.outside),
        suspended_count: effect.suspended.count,
        suspended: list(&effect.suspended),
        dropped_count: effect.dropped,
    }
}

/// A policy as it is answered.
pub(crate) fn view(policy: &Policy) -> wire::Policy {
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
        suspend_on: text.suspend_on,
        keep_audit_for: text.keep_audit_for,
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
        suspend_on: body.suspend_on,
        keep_audit_for: body.keep_audit_for,
    }
}
