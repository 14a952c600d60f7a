//! `/org/tokens/{id}/lineage`, and suspensions of many keys at once.

use std::sync::Arc;

use claviger_core::{
    action::{ReadKeys, ResumeKey, SuspendKey},
    id::KeyId,
    key::OrgKey,
    ledger::entry::Entry,
    tier::Actor,
};
use claviger_store::{Recorder, Selection};
use claviger_wire::lines as wire;
use http::StatusCode;
use serde_json::json;

use super::{
    keys::{next_cursor, reason, seen},
    texts,
};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::lines,
    trace::Trace,
};

/// How many keys an answer tells of.
const KEYS_TOLD_MAX: usize = 1000;

/// `GET /org/tokens/{id}/lineage`.
///
/// # Errors
/// 404, 503.
pub async fn lineage(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&["limit", "cursor"])?;
    let page = query.page::<KeyId>()?;
    let limit = page.limit;
    let line = lines::lineage(&call.app, &call.permit, call.id(0, "key")?, page).await?;
    let answer = wire::Lineage {
        root: line.key.minter.root.to_string(),
        ancestors: line.above.iter().map(relative).collect(),
        key: relative(&line.key),
        next_cursor: next_cursor(&line.below, limit, |key| key.id.to_string()),
        descendants: line.below.iter().map(relative).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

pub(super) fn relative(key: &OrgKey) -> wire::Relative {
    wire::Relative {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        status: key.status(clock::now()).as_str().to_owned(),
        parent_id: key.parent().map(|id| id.to_string()),
        depth: u32::try_from(key.minter.chain.len()).unwrap_or(u32::MAX),
        created_by: key.minter.created_by.to_string(),
        created_at: key.created_at.to_string(),
        last_used_at: seen(key.last_use).0,
    }
}

/// `POST /org/tokens/suspend`.
///
/// # Errors
/// As [`lines::suspend_many`]; 422 for a selection without any condition.
pub async fn suspend(mut call: Call<SuspendKey>) -> Result<Reply, Failure> {
    let body: wire::SelectionRequest = call.json().await?;
    let selection = selection(&body)?;
    let reason = reason(body.reason.as_deref())?;
    if body.dry_run == Some(true) {
        let reach = lines::reach(&call.app, &call.permit, selection).await?;
        return Ok(Reply::json(StatusCode::OK, &would_stop(&reach)));
    }
    let said = serde_json::to_value(&body).unwrap_or_default();
    let record = record_many(&call.trace, "suspended", said);
    let written = lines::suspend_many(&call.app, &call.permit, (selection, reason), record).await?;
    let answer = wire::Selected {
        dry_run: false,
        count: written.value.len(),
        keys: told(&written.value),
        below_count: 0,
        below: Vec::new(),
        spared: Vec::new(),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

pub(super) fn would_stop(reach: &lines::Reach) -> wire::Selected {
    let with_traffic = |keys: &[OrgKey]| {
        let mut told = told(keys);
        for (one, key) in told.iter_mut().zip(keys) {
            one.calls_last_hour = Some(reach.calls.get(&key.id).copied().unwrap_or(0));
        }
        told
    };
    wire::Selected {
        dry_run: true,
        count: reach.taken.len(),
        keys: with_traffic(&reach.taken),
        below_count: reach.below.len(),
        below: with_traffic(&reach.below),
        spared: ids(&reach.spared),
    }
}

/// `POST /org/tokens/resume`.
///
/// # Errors
/// As [`lines::resume_many`]; 422 for a selection without any condition, and for `dry_run`.
pub async fn resume(mut call: Call<ResumeKey>) -> Result<Reply, Failure> {
    let body: wire::SelectionRequest = call.json().await?;
    let selection = selection(&body)?;
    no_dry_resume(body.dry_run)?;
    reason(body.reason.as_deref())?;
    let said = serde_json::to_value(&body).unwrap_or_default();
    let record = record_many(&call.trace, "resumed", said);
    let written = lines::resume_many(&call.app, &call.permit, selection, record).await?;
    let answer = wire::Selected {
        dry_run: false,
        count: written.value.len(),
        keys: told(&written.value),
        below_count: 0,
        below: Vec::new(),
        spared: Vec::new(),
    };
    Ok(Reply::json(StatusCode::OK, &answer).written(written.receipt))
}

/// Only what stops is told beforehand.
pub(super) fn no_dry_resume(dry_run: Option<bool>) -> Result<(), Failure> {
    if dry_run == Some(true) {
        let reason = "is for suspensions; list the suspended keys with `status=suspended`";
        return Err(Failure::out_of_range("dry_run", reason));
    }
    Ok(())
}

/// The longest actor label that is looked for, in bytes.
const ACTOR_BYTES_MAX: usize = 300;

/// An actor label, as it is kept with keys.
fn actor(field: &'static str, text: &Option<String>) -> Result<Option<String>, Failure> {
    let Some(text) = text else {
        return Ok(None);
    };
    match text.parse::<Actor>() {
        Ok(actor) if text.len() <= ACTOR_BYTES_MAX => Ok(Some(actor.to_string())),
        Ok(_) | Err(_) => Err(Failure::out_of_range(
            field,
            "must be an actor label, such as `org-token:mole_a1b2c3d4` or `admin-token`",
        )),
    }
}

fn selection(body: &wire::SelectionRequest) -> Result<Selection, Failure> {
    let malformed = |field: &'static str, reason: String| Failure::out_of_range(field, reason);
    let under = body.under.as_deref().map(str::parse::<KeyId>).transpose();
    let time = |field: &'static str, text: &Option<String>| {
        let parsed = text.as_deref().map(str::parse).transpose();
        parsed.map_err(|error| malformed(field, format!("is {error}")))
    };
    let metadata = body.metadata.clone().unwrap_or_default();
    let selection = Selection {
        under: under
            .map_err(|error| malformed("under", format!("is {error}")))?
            .into_iter()
            .collect(),
        created_by: actor("created_by", &body.created_by)?,
        metadata: texts("metadata", metadata)?,
        minted_since: time("minted_since", &body.minted_since)?,
        suspended_since: time("suspended_since", &body.suspended_since)?,
        suspended_by: actor("suspended_by", &body.suspended_by)?,
        is_suspended: None,
    };
    if selection == Selection::default() {
        let reason = "give at least one of `under`, `created_by`, `metadata`, `minted_since`, `suspended_since`, `suspended_by`";
        return Err(malformed("under", reason.to_owned()));
    }
    Ok(selection)
}

/// One record of the whole, and one of each key.
fn record_many(
    trace: &Arc<Trace>,
    what: &'static str,
    selection: serde_json::Value,
) -> Recorder<Vec<OrgKey>, Vec<Entry>> {
    let trace = Arc::clone(trace);
    let named =
        move |said| serde_json::Value::Object([(what.to_owned(), said)].into_iter().collect());
    Box::new(move |keys: &Vec<OrgKey>| {
        let whole = json!({"selection": selection, "count": keys.len()});
        let mut entries = vec![trace.entry_of_change(200, &named(whole))];
        entries.extend(keys.iter().map(|key| {
            let said = json!({"id": key.id.to_string(), "prefix": key.prefix.as_str()});
            trace.entry_beside(trace.principal.org, 200, &named(said))
        }));
        entries
    })
}

fn told(keys: &[OrgKey]) -> Vec<wire::Stopped> {
    let first = keys.iter().take(KEYS_TOLD_MAX);
    first
        .map(|key| wire::Stopped {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.to_string(),
            created_by: key.minter.created_by.to_string(),
            last_used_at: seen(key.last_use).0,
            calls_last_hour: None,
        })
        .collect()
}

fn ids(keys: &[OrgKey]) -> Vec<String> {
    keys.iter().map(|key| key.id.to_string()).collect()
}
