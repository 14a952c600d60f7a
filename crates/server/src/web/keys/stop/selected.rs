//! Stopping several keys in one go, and what became of each.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use claviger_core::{
    action::{ReadKeys, RevokeKey, SuspendKey},
    authorize::Permit,
    id::KeyId,
};
use claviger_store::Receipt;
use http::StatusCode;

use super::{Turn, question, suspend_one};
use crate::{
    api::keys::{reason, record_revocation},
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::lines::{self, End},
    problem,
    web::{
        fault::sentence,
        html::{html, refused, see_other},
        keys::{index::href, list::PATH, mint::is_answerable, typed::Typed},
        layout::{Nav, Page},
        page,
    },
};

/// How many keys can be stopped in one go.
const SELECTED_MAX: usize = 100;

/// What became of one of them.
#[derive(Debug)]
struct Fate {
    name: String,
    href: String,
    end: FateEnd,
}

#[derive(Debug)]
enum FateEnd {
    Done,
    /// It is as it was: why.
    Refused(String),
    /// Nobody got as far as to it.
    NotTried,
}

impl Fate {
    const fn is_done(&self) -> bool {
        matches!(self.end, FateEnd::Done)
    }
}

/// What became of all of them, where not all is done.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/stopped.html")]
struct StoppedPage {
    page: Page,
    turn: Turn,
    title: String,
    fates: Vec<Fate>,
    /// Why it was broken off; empty where every key was tried.
    broken: String,
    /// The question again, for those that are as they were; empty for none of them.
    again: String,
}

/// `GET /canvas/keys/selected?id=…&id=…&do=revoke`.
///
/// # Errors
/// 400 for a query that is not ours, 403, 404, 503.
pub(in crate::web) async fn ask_selected(call: Call<SuspendKey>) -> Result<Reply, Failure> {
    let asked = call.query_lists();
    let ids = selected(
        asked
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )?;
    let turn = asked.iter().find(|(name, _)| name == "do");
    let turn = turn_of(turn.map(|(_, word)| word.as_str()))?;
    if ids.is_empty() {
        return Ok(see_other(PATH));
    }
    let view = question(&call, &ids, (turn, Typed::default())).await?;
    Ok(html(StatusCode::OK, &view))
}

/// `POST /canvas/keys/selected`: one after the other, so that one that is refused keeps no other.
/// Whatever happens on the way, what was done is said.
///
/// # Errors
/// 400 for a form that is not ours, and what came before anything was done.
pub(in crate::web) async fn stop_selected(mut call: Call<SuspendKey>) -> Result<Reply, Failure> {
    // What is not done is named: this is for whoever may see it.
    call.ask::<ReadKeys>(None).await?;
    let form = call.form().await?;
    let ids = selected(form.all("id").map(|id| ("id", id)))?;
    let turn = turn_of(form.get("do"))?;
    let revoking = call.ask::<RevokeKey>(None).await?;
    if ids.is_empty() {
        return Ok(see_other(PATH));
    }
    // Their names are asked for first: afterwards there may be nobody left to ask.
    let keys = call.app.store.find_keys(call.org(), &ids).await?;
    let names: HashMap<KeyId, String> = keys.into_iter().map(|key| (key.id, key.name)).collect();
    let why = match asked_for(turn, &form, ids.len()) {
        Ok(why) => why,
        Err(failure) => {
            let known: Vec<KeyId> = ids
                .iter()
                .copied()
                .filter(|id| names.contains_key(id))
                .collect();
            let typed = Typed::of(&form, &["reason", "count"]).refused(&failure);
            if known.is_empty() {
                return Err(Failure::NotFound("key"));
            }
            let view = question(&call, &known, (turn, typed)).await?;
            return Err(refused(failure, &view));
        }
    };
    let run = each(&call, &revoking, (turn, &ids, why.as_deref())).await;
    let reply = match run.status() {
        None => see_other(&format!("{PATH}?done={}", turn.done())),
        Some(status) => html(status, &told(&call, turn, (&ids, &names), &run)),
    };
    Ok(match run.receipt {
        Some(receipt) => reply.written(receipt),
        None => reply,
    })
}

/// How it went.
#[derive(Default)]
struct Run {
    /// One for each key that was tried, in their order.
    outcomes: Vec<Result<(), Failure>>,
    /// That of the first change.
    receipt: Option<Receipt>,
    /// Whether the last one is why no other was tried.
    is_broken: bool,
}

impl Run {
    /// What the page of the outcome is answered with; `None` where all is done. What broke it off
    /// stands above all; a refusal counts only where nothing at all was done.
    fn status(&self) -> Option<StatusCode> {
        let mut refusals = self.outcomes.iter().filter_map(|one| one.as_ref().err());
        let failure = if self.is_broken {
            refusals.next_back()?
        } else {
            refusals.next()?
        };
        let is_any_done = self.outcomes.iter().any(Result::is_ok);
        if is_any_done && !self.is_broken {
            return Some(StatusCode::OK);
        }
        Some(problem::answer(failure).status)
    }
}

async fn each(
    call: &Call<SuspendKey>,
    revoking: &Permit<RevokeKey>,
    (turn, ids, why): (Turn, &[KeyId], Option<&str>),
) -> Run {
    let mut run = Run::default();
    for id in ids {
        let is_own = run.receipt.is_none();
        let outcome = if turn == Turn::Revoke {
            let reason = why.map(str::to_owned);
            let end = End {
                id: *id,
                reason: reason.clone(),
                cascades: true,
            };
            let record = record_revocation(&call.trace, reason, is_own);
            let ended = lines::revoke(&call.app, revoking, end, record).await;
            ended.map(|ended| ended.receipt)
        } else {
            let written = suspend_one(call, &call.permit, (*id, why), is_own).await;
            written.map(Some)
        };
        let outcome = outcome.map(|receipt| run.receipt = run.receipt.take().or(receipt));
        if let Err(failure) = &outcome
            && !is_answerable(failure)
        {
            problem::log(failure, &problem::answer(failure), call.trace.id);
            run.is_broken = true;
        }
        run.outcomes.push(outcome);
        if run.is_broken {
            break;
        }
    }
    run
}

fn told(
    call: &Call<SuspendKey>,
    turn: Turn,
    (ids, names): (&[KeyId], &HashMap<KeyId, String>),
    run: &Run,
) -> StoppedPage {
    let words = |failure: &Failure| sentence(&problem::answer(failure).detail);
    let fate = |(at, id): (usize, &KeyId)| Fate {
        name: names.get(id).cloned().unwrap_or_else(|| id.to_string()),
        href: href(*id),
        end: match run.outcomes.get(at) {
            None => FateEnd::NotTried,
            Some(Ok(())) => FateEnd::Done,
            Some(Err(failure)) => FateEnd::Refused(words(failure)),
        },
    };
    let fates: Vec<Fate> = ids.iter().enumerate().map(fate).collect();
    let done = fates.iter().filter(|fate| fate.is_done()).count();
    // What does not exist cannot be asked about again.
    let left = ids
        .iter()
        .zip(&fates)
        .filter(|(id, fate)| !fate.is_done() && names.contains_key(id));
    let left: Vec<String> = left.map(|(id, _)| format!("id={id}&")).collect();
    let broken = run.outcomes.last().filter(|_| run.is_broken);
    let broken = broken.and_then(|last| last.as_ref().err());
    StoppedPage {
        page: page::of(call, turn.label(), Nav::Keys).below("Org API Keys", PATH),
        title: format!("{done} of {} keys {}", ids.len(), turn.done()),
        broken: broken.map(words).unwrap_or_default(),
        again: if left.is_empty() {
            String::new()
        } else {
            format!("{PATH}/selected?{}do={}", left.concat(), turn.word())
        },
        turn,
        fates,
    }
}

/// The reason that was given; and nobody revokes several keys without having said how many.
fn asked_for(turn: Turn, form: &Form, count: usize) -> Result<Option<String>, Failure> {
    let typed = form.get("count").unwrap_or_default().trim();
    if turn == Turn::Revoke && typed != count.to_string() {
        let reason = format!("must be the number of keys that are revoked, which is {count}");
        return Err(Failure::out_of_range("count", reason));
    }
    reason(form.get("reason"))
}

fn turn_of(word: Option<&str>) -> Result<Turn, Failure> {
    match word {
        Some("revoke") => Ok(Turn::Revoke),
        Some("suspend") => Ok(Turn::Suspend),
        _ => Err(Failure::Malformed {
            code: "bad_form",
            field: Some("do".to_owned()),
            reason: "`do` must be `revoke` or `suspend`".to_owned(),
        }),
    }
}

fn selected<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<KeyId>, Failure> {
    let ids = pairs.filter(|(name, _)| *name == "id");
    let ids: Result<BTreeSet<KeyId>, _> = ids.map(|(_, id)| id.parse()).collect();
    let ids = ids.map_err(|_malformed| Failure::NotFound("key"))?;
    if ids.len() > SELECTED_MAX {
        let reason = format!("can be {SELECTED_MAX} keys at once");
        return Err(Failure::out_of_range("id", reason));
    }
    Ok(ids.into_iter().collect())
}
