//! `/org/tokens/{id}/advice` and `/org/advice`.

use std::{collections::BTreeSet, time::Duration};

use claviger_core::{
    action::{
        Action as _, ChangeKey, MintKey, ReadKeys, ResumeKey, RevokeKey, RotateKey, SuspendKey,
    },
    advice::{Advice, Ages, Concern, ITSELF, UsedCall},
    grant::{Grant, WORKSPACES_MAX},
    id::KeyId,
    key::{KeyState, OrgKey},
    time::{format_duration, parse_duration},
};
use claviger_wire::{advice as wire, keys::KeyChange};
use http::StatusCode;

use super::{grant_view, usage::endpoint};
use crate::{
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::advice::{self, Asked, IDLE, Judged, UNUSED},
    usage::USAGE_KEPT,
};

/// How far advice looks back unless the caller says otherwise.
pub(crate) const WINDOW: Duration = Duration::from_secs(30 * 86_400);
/// The shortest window.
const WINDOW_MIN: Duration = Duration::from_secs(3600);
/// How many routes are answered.
const ENDPOINTS_LISTED_MAX: usize = 200;
/// How many examples are answered.
const EXAMPLES_MAX: usize = 5;

/// `GET /org/tokens/{id}/advice`.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 404, 503.
pub async fn of_key(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let query = call.query(&["window", "endpoints", "addresses"])?;
    let window = span(&query, "window")?.unwrap_or(WINDOW);
    if !(WINDOW_MIN..=USAGE_KEPT).contains(&window) {
        let (least, most) = (format_duration(WINDOW_MIN), format_duration(USAGE_KEPT));
        let reason = format!("must be `{least}` to `{most}`");
        return Err(Failure::out_of_range("window", reason));
    }
    let asked = Asked {
        window,
        wants_endpoints: query
            .parse("endpoints", "`true` or `false`")?
            .unwrap_or(false),
        wants_addresses: query
            .parse("addresses", "`true` or `false`")?
            .unwrap_or(false),
    };
    let judged = advice::of_key(&call.app, &call.permit, id, asked).await?;
    Ok(Reply::json(StatusCode::OK, &view(&judged)))
}

/// `GET /org/advice`.
///
/// # Errors
/// 400 or 422 for a query that cannot be used, 503.
pub async fn of_org(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&["unused_for", "idle_for", "limit", "cursor"])?;
    let ages = Ages {
        unused: span(&query, "unused_for")?.unwrap_or(UNUSED),
        idle: span(&query, "idle_for")?.unwrap_or(IDLE),
    };
    let page = query.page::<KeyId>()?;
    let (found, next) = advice::of_org(&call.app, &call.permit, ages, page).await?;
    let answer = wire::OrgAdvice {
        findings: found.iter().map(finding).collect(),
        next_cursor: next.map(|id| id.to_string()),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// A duration of the query.
fn span(query: &Query, name: &str) -> Result<Option<Duration>, Failure> {
    let parsed = query.get(name).map(parse_duration).transpose();
    parsed.map_err(|error| Failure::Malformed {
        code: "bad_query",
        field: Some(name.to_owned()),
        reason: format!("query parameter `{name}` is {error}"),
    })
}

fn finding((key, concerns): &(OrgKey, Vec<Concern>)) -> wire::KeyFinding {
    wire::KeyFinding {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        created_by: key.minter.created_by.to_string(),
        created_at: key.created_at.to_string(),
        last_used_at: key.last_use.map(|last| last.at.to_string()),
        reasons: concerns
            .iter()
            .map(|concern| wire::Reason {
                code: concern.code().to_owned(),
                text: concern.text(),
                remedy: concern.remedy().to_owned(),
            })
            .collect(),
    }
}

fn view(judged: &Judged) -> wire::KeyAdvice {
    let own = &judged.key.grant;
    let advice = judged.advice.as_ref();
    let suggestion = advice.map(|advice| &advice.suggestion);
    let narrower = suggestion.filter(|suggestion| *suggestion != own);
    let texts = |concerns: &[Concern]| concerns.iter().map(|c| c.title()).collect();
    wire::KeyAdvice {
        window: wire::AdviceWindow {
            since: judged.span.since.to_string(),
            until: judged.span.until.to_string(),
            judged_since: judged.judged_since.to_string(),
        },
        calls: judged.used.iter().map(|call| call.calls).sum(),
        used: used(judged),
        suggestion: narrower.map(grant_view),
        unused_permissions: advice.map_or_else(Vec::new, |advice| {
            advice.unused.iter().map(ToString::to_string).collect()
        }),
        would_have_refused: wire::WouldHaveRefused {
            calls: judged.refused.iter().map(|row| row.calls).sum(),
            examples: judged
                .refused
                .iter()
                .take(EXAMPLES_MAX)
                .map(endpoint)
                .collect(),
        },
        risk_removed: advice.map_or_else(Vec::new, |advice| advice.risk_removed.clone()),
        warnings: texts(&judged.concerns),
        notes: notes(judged, advice, narrower.is_some()),
        apply: narrower.map(|narrow| wire::Apply {
            method: "PATCH".to_owned(),
            path: format!("/org/tokens/{}", judged.key.id),
            body: change(own, narrow),
        }),
    }
}

/// What was used. The permissions are those of the calls, whether or not they are held still.
fn used(judged: &Judged) -> wire::UsedParts {
    let permissions = judged.used.iter().fold(
        claviger_core::permission::PermissionSet::NONE,
        |all, call| all.union(call.permissions()),
    );
    let workspaces: BTreeSet<_> = judged.used.iter().filter_map(|c| c.workspace).collect();
    let endpoints: BTreeSet<_> = judged
        .used
        .iter()
        .filter(|call| call.needs.is_some())
        .filter_map(|call| Some(call.endpoint()?.to_string()))
        .collect();
    wire::UsedParts {
        permissions: permissions.patterns(),
        workspaces: workspaces
            .iter()
            .take(WORKSPACES_MAX)
            .map(ToString::to_string)
            .collect(),
        endpoints: endpoints.into_iter().take(ENDPOINTS_LISTED_MAX).collect(),
        addresses: judged
            .addresses
            .iter()
            .map(|seen| seen.address.to_string())
            .collect(),
    }
}

/// The fields of a change that makes `narrow` of `own`.
pub(crate) fn change(own: &Grant, narrow: &Grant) -> KeyChange {
    let text = grant_view(narrow);
    KeyChange {
        permissions: (own.permissions != narrow.permissions).then_some(text.permissions),
        workspaces: (own.workspaces != narrow.workspaces).then_some(text.workspaces),
        endpoints: (own.endpoints != narrow.endpoints).then_some(text.endpoints),
        ip_allow: (own.ip_allow != narrow.ip_allow).then_some(text.ip_allow),
        ..KeyChange::default()
    }
}

/// What else there is to know.
fn notes(judged: &Judged, advice: Option<&Advice>, is_narrower: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let key = &judged.key;
    if judged.judged_since > judged.span.since {
        notes.push(format!(
            "there is nothing to judge by before {}: the key is younger than the window, or counting began later",
            judged.judged_since
        ));
    }
    if key.state() == KeyState::Revoked {
        notes.push("the key is revoked: there is nothing to narrow".to_owned());
        return notes;
    }
    if judged.has_too_many_descendants() {
        notes.push(
            "too many living keys are below it to add up what they used: narrow those first"
                .to_owned(),
        );
        return notes;
    }
    match judged.descendants {
        0 => {}
        1 => notes.push("1 living key is below it: what that used counts as used by it".to_owned()),
        count => notes.push(format!(
            "{count} living keys are below it: what they used counts as used by it"
        )),
    }
    if !judged.tokens_below.is_empty() {
        notes.push(
            "workspace tokens were made with it, and what they do is not counted: it keeps what they may do"
                .to_owned(),
        );
    }
    let Some(advice) = advice else {
        let reason = if key.last_use.is_none() {
            "it was never used"
        } else {
            "it was not used in the window"
        };
        notes.push(format!(
            "{reason}, so nothing can be suggested; revoke it, unless somebody is about to use it: DELETE /org/tokens/{}",
            key.id
        ));
        return notes;
    };
    let kept = advice.kept.iter();
    notes.extend(kept.map(|kept| format!("`{}` {}", kept.field, kept.reason)));
    if !is_narrower {
        notes.push("the grant is no wider than what was used".to_owned());
        return notes;
    }
    notes.extend(limits_of_replay(&judged.used));
    if judged.addresses_refused > 0 {
        notes.push(format!(
            "addresses from which it was used before the window, and which are not in `ip_allow`: {}",
            judged.addresses_refused
        ));
    }
    notes
}

/// What depends on other keys, which the counts do not name.
fn limits_of_replay(used: &[UsedCall]) -> Vec<String> {
    let has = |actions: &[&str]| {
        used.iter().any(|call| {
            let is_other = !call.route.contains(ITSELF);
            is_other
                && call
                    .needs
                    .is_some_and(|needs| actions.contains(&needs.action))
        })
    };
    let mut notes = Vec::new();
    if has(&[MintKey::NAME]) {
        notes.push(
            "it mints keys: a mint that asks for more than the suggestion will be a 403 `beyond_minter`"
                .to_owned(),
        );
    }
    let acts_on_others = [
        ChangeKey::NAME,
        SuspendKey::NAME,
        ResumeKey::NAME,
        RotateKey::NAME,
        RevokeKey::NAME,
    ];
    if has(&acts_on_others) {
        notes.push(
            "it acts on other keys: on one that is not below it and holds more than the suggestion it will get a 403 `wider_key`"
                .to_owned(),
        );
    }
    notes
}
