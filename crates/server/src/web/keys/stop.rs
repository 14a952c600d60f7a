//! Stopping keys: what stops, how busy it is, and what goes with it, before anything does.

mod selected;

pub(in crate::web) use selected::{ask_selected, stop_selected};

use std::collections::HashMap;

use askama::Template;
use claviger_core::{
    action::{Action, ReadKeys, ResumeKey, RevokeKey, SuspendKey},
    authorize::Permit,
    id::KeyId,
    key::{KeyState, OrgKey},
    permission::Permission,
};
use claviger_store::{HOUR, Page as Part, Receipt, hour_of};
use http::StatusCode;

use super::{index::href, list::PATH, mint::is_answerable, status, typed::Typed};
use crate::{
    api::keys::{reason, record_revocation, record_suspension},
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::{
        keys,
        lines::{self, End},
    },
    web::{
        html::{html, refused, see_other},
        layout::{Nav, Page},
        page,
        parts::KeyStatus,
        time::{When, clock_time, thousands},
        who,
    },
};

/// How many keys below each are looked at, and how many are named.
const BELOW_MAX: u32 = 500;
const NAMED_MAX: usize = 50;
/// The fields of the form about one key.
const FIELDS: &[&str] = &["reason", "name", "below"];

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Revoke,
    Suspend,
    Resume,
}

impl Turn {
    const fn word(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Revoke => "Revoke",
            Self::Suspend => "Suspend",
            Self::Resume => "Resume",
        }
    }

    /// What the next page says.
    const fn done(self) -> &'static str {
        match self {
            Self::Revoke => "revoked",
            Self::Suspend => "suspended",
            Self::Resume => "resumed",
        }
    }
}

/// A key that stops.
#[derive(Debug, Clone)]
struct Stopping {
    id: String,
    name: String,
    prefix: String,
    href: String,
    owner: String,
    status: KeyStatus,
    last_used: Option<When>,
    last_used_from: String,
    calls: u64,
}

impl Stopping {
    fn calls_words(&self) -> String {
        thousands(self.calls)
    }
}

/// The question before keys stop.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/stop.html")]
pub(in crate::web) struct StopPage {
    page: Page,
    turn: Turn,
    title: String,
    lead: &'static str,
    action: String,
    back: String,
    chosen: Vec<Stopping>,
    below: Vec<Stopping>,
    /// How many keys below are not named.
    below_more: usize,
    calls: String,
    /// From when on calls are counted: they are kept by the hour.
    since: String,
    is_busy: bool,
    is_many: bool,
    /// The reader may let live what the key minted.
    may_keep: bool,
    typed: Typed,
    problems: Vec<String>,
}

impl StopPage {
    fn name(&self) -> &str {
        self.chosen.first().map_or("", |one| &one.name)
    }

    const fn tone(&self) -> &'static str {
        match self.turn {
            Turn::Revoke => "destroy",
            Turn::Suspend | Turn::Resume => "primary",
        }
    }

    const fn is_revoke(&self) -> bool {
        matches!(self.turn, Turn::Revoke)
    }
}

/// `GET /canvas/keys/{id}/revoke`.
///
/// # Errors
/// 403 without the permission, 404, 503.
pub(in crate::web) async fn ask_revoke(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    call.ask::<SuspendKey>(None).await?;
    ask_one(call, Turn::Revoke).await
}

/// `GET /canvas/keys/{id}/suspend`.
///
/// # Errors
/// As [`ask_revoke`].
pub(in crate::web) async fn ask_suspend(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    call.ask::<SuspendKey>(None).await?;
    ask_one(call, Turn::Suspend).await
}

/// `GET /canvas/keys/{id}/resume`.
///
/// # Errors
/// As [`ask_revoke`].
pub(in crate::web) async fn ask_resume(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    call.ask::<ResumeKey>(None).await?;
    ask_one(call, Turn::Resume).await
}

async fn ask_one(call: Call<ReadKeys>, turn: Turn) -> Result<Reply, Failure> {
    call.query(&[])?;
    let id: KeyId = call.id(0, "key")?;
    let view = question(&call, &[id], (turn, Typed::default())).await?;
    Ok(html(StatusCode::OK, &view))
}

/// `POST /canvas/keys/{id}/revoke`.
///
/// # Errors
/// As [`lines::revoke`]; 422 when the typed name is another.
pub(in crate::web) async fn revoke(mut call: Call<RevokeKey>) -> Result<Reply, Failure> {
    // A form that is refused shows the key again: this is for whoever may see it.
    call.ask::<ReadKeys>(None).await?;
    call.ask::<SuspendKey>(None).await?;
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let outcome = revoke_one(&call, id, &form).await;
    answer(&call, id, (Turn::Revoke, &form), outcome).await
}

/// The question before a revocation, for a page of its own: with what was typed and why it was
/// refused, where the form is sent to, and where it leads back to.
pub(in crate::web) async fn revocation<A: Action>(
    call: &Call<A>,
    id: KeyId,
    refused: Option<(&Form, &Failure)>,
    (action, back): (String, &str),
) -> Result<StopPage, Failure> {
    let typed = refused.map_or_else(Typed::default, |(form, failure)| {
        Typed::of(form, FIELDS).refused(failure)
    });
    let view = question(call, &[id], (Turn::Revoke, typed)).await?;
    Ok(StopPage {
        action,
        back: back.to_owned(),
        ..view
    })
}

pub(in crate::web) async fn revoke_one(
    call: &Call<RevokeKey>,
    id: KeyId,
    form: &Form,
) -> Result<Option<Receipt>, Failure> {
    let key = keys::get(&call.app, &call.permit, id).await?;
    if form.get("name") != Some(key.name.as_str()) {
        let reason = "must be the name of the key, letter by letter";
        return Err(Failure::out_of_range("name", reason));
    }
    let end = End {
        id,
        reason: reason(form.get("reason"))?,
        cascades: form.get("below") != Some("keep"),
    };
    let record = record_revocation(&call.trace, end.reason.clone(), true);
    Ok(lines::revoke(&call.app, &call.permit, end, record)
        .await?
        .receipt)
}

/// `POST /canvas/keys/{id}/suspend`.
///
/// # Errors
/// As [`keys::suspend`].
pub(in crate::web) async fn suspend(mut call: Call<SuspendKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let outcome = suspend_one(&call, &call.permit, (id, form.get("reason")), true).await;
    answer(&call, id, (Turn::Suspend, &form), outcome.map(Some)).await
}

async fn suspend_one<A: Action>(
    call: &Call<A>,
    permit: &Permit<SuspendKey>,
    (id, why): (KeyId, Option<&str>),
    is_own: bool,
) -> Result<Receipt, Failure> {
    let why = reason(why)?;
    let record = record_suspension(&call.trace, "suspended", why.clone(), is_own);
    let written = keys::suspend(&call.app, permit, (id, why), record).await?;
    Ok(written.receipt)
}

/// `POST /canvas/keys/{id}/resume`.
///
/// # Errors
/// As [`keys::resume`].
pub(in crate::web) async fn resume(mut call: Call<ResumeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let outcome = match reason(form.get("reason")) {
        Ok(why) => {
            let record = record_suspension(&call.trace, "resumed", why, true);
            let written = keys::resume(&call.app, &call.permit, id, record).await;
            written.map(|written| Some(written.receipt))
        }
        Err(failure) => Err(failure),
    };
    answer(&call, id, (Turn::Resume, &form), outcome).await
}

/// The page of the key when it was done, and the question again when it was refused.
async fn answer<A: Action>(
    call: &Call<A>,
    id: KeyId,
    (turn, form): (Turn, &Form),
    outcome: Result<Option<Receipt>, Failure>,
) -> Result<Reply, Failure> {
    match outcome {
        Ok(receipt) => {
            let reply = see_other(&format!("{}?done={}", href(id), turn.done()));
            Ok(match receipt {
                Some(receipt) => reply.written(receipt),
                None => reply,
            })
        }
        Err(failure) if is_answerable(&failure) && !matches!(failure, Failure::NotFound(_)) => {
            let typed = Typed::of(form, FIELDS).refused(&failure);
            let view = question(call, &[id], (turn, typed)).await?;
            Err(refused(failure, &view))
        }
        Err(failure) => Err(failure),
    }
}

/// The page that asks, with everything that would stop.
async fn question<A: Action>(
    call: &Call<A>,
    ids: &[KeyId],
    (turn, typed): (Turn, Typed),
) -> Result<StopPage, Failure> {
    let permit = call.ask::<ReadKeys>(None).await?;
    let part = || Part {
        after: None,
        limit: BELOW_MAX,
    };
    let (mut chosen, mut below) = (Vec::new(), Vec::new());
    for id in ids {
        let line = lines::lineage(&call.app, &permit, *id, part()).await?;
        let living = line.below.into_iter();
        below.extend(living.filter(|key| key.state() != KeyState::Revoked));
        chosen.push(line.key);
    }
    below.retain(|key| !ids.contains(&key.id));
    below.sort_by_key(|key| key.id);
    below.dedup_by_key(|key| key.id);
    let page = page::of(call, turn.label(), Nav::Keys).below("Org API Keys", PATH);
    let (chosen, below) = rows(call, &page, (&chosen, &below)).await?;
    let is_many = ids.len() > 1;
    let calls: u64 = chosen.iter().chain(&below).map(|one| one.calls).sum();
    let first = chosen.first();
    let (action, back) = match first.filter(|_| !is_many) {
        Some(one) => (format!("{}/{}", one.href, turn.word()), one.href.clone()),
        None => (format!("{PATH}/selected"), PATH.to_owned()),
    };
    Ok(StopPage {
        title: match first.filter(|_| !is_many) {
            Some(one) => format!("{} {}?", turn.label(), one.name),
            None => format!("{} {} keys?", turn.label(), chosen.len()),
        },
        lead: match turn {
            Turn::Revoke => "For good: every request is refused from then on, on every node.",
            Turn::Suspend => "Every request is refused until somebody resumes it.",
            Turn::Resume => "Its requests are accepted again.",
        },
        may_keep: !is_many && !below.is_empty() && call.permit.has(Permission::OrgAdmin),
        below_more: below.len().saturating_sub(NAMED_MAX),
        below: below.into_iter().take(NAMED_MAX).collect(),
        calls: thousands(calls),
        since: clock_time(hour_of(page.now.minus(HOUR))),
        is_busy: calls > 0,
        page: match first.filter(|_| !is_many) {
            Some(one) => page.below(one.name.clone(), one.href.clone()),
            None => page,
        },
        problems: match typed.other_error(if is_many {
            "reason count"
        } else {
            "reason name"
        }) {
            "" => Vec::new(),
            error => vec![error.to_owned()],
        },
        turn,
        action,
        back,
        chosen,
        is_many,
        typed,
    })
}

async fn rows<A: Action>(
    call: &Call<A>,
    page: &Page,
    (chosen, below): (&[OrgKey], &[OrgKey]),
) -> Result<(Vec<Stopping>, Vec<Stopping>), Failure> {
    let (app, org) = (&call.app, call.org());
    app.flush_usage().await?;
    let ids: Vec<KeyId> = chosen.iter().chain(below).map(|key| key.id).collect();
    let since = page.now.minus(HOUR);
    let calls = app.store.calls_of_keys(org, &ids, since).await?;
    let calls: HashMap<KeyId, u64> = calls
        .iter()
        .map(|one| (one.key, one.calls.saturating_add(one.refusals)))
        .collect();
    let row = |key: &OrgKey| {
        let from = key.last_use.and_then(|last| last.from);
        Stopping {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.to_string(),
            href: href(key.id),
            owner: who::owner(app, org, &key.minter),
            status: status::of_key(app, key, page.now),
            last_used: key.last_use.map(|last| page.when(last.at)),
            last_used_from: from.map(|from| from.to_string()).unwrap_or_default(),
            calls: calls.get(&key.id).copied().unwrap_or(0),
        }
    };
    Ok((
        chosen.iter().map(row).collect(),
        below.iter().map(row).collect(),
    ))
}
