//! What can be done about a key: each asks first, and says what it will do.

use std::time::Duration;

use askama::Template;
use claviger_core::{
    action::{Action, ChangeKey, ReadKeys, RevokeKey, SuspendKey},
    id::KeyId,
    key::OrgKey,
};
use claviger_wire::keys::KeyChange;
use http::StatusCode;

use super::show::PATH;
use crate::{
    api::{advice as advice_api, keys as api},
    failure::Failure,
    gate::{Call, Reply},
    ops::{
        advice::{self, Asked},
        keys,
    },
    web::{
        fault::{Fault, sentence},
        grants::{self, GrantWords},
        html,
        keys::stop,
        layout::{Nav, Page},
        page,
        parts::Choice,
        time::When,
    },
};

/// How many keys below a key are counted before it is said that there are more.
const BELOW_MAX: u32 = 1000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    Narrow,
    End,
    Suspend,
}

/// The page that asks.
#[derive(Debug, Template)]
#[template(path = "canvas/security/remedy.html")]
struct RemedyPage {
    page: Page,
    remedy: Remedy,
    id: String,
    prefix: String,
    last_used: Option<When>,
    below: usize,
    has_more_below: bool,
    /// What it may do now, and what it may do then.
    narrower: Option<Narrower>,
    ends: Vec<Choice>,
    typed: String,
    fault: Fault,
}

/// A narrower grant.
#[derive(Debug)]
struct Narrower {
    before: String,
    after: GrantWords,
    /// The change as the API takes it.
    change: String,
    risk_removed: Vec<String>,
    notes: Vec<String>,
}

impl Remedy {
    const fn title(self) -> &'static str {
        match self {
            Self::Narrow => "Narrow",
            Self::End => "Give an end to",
            Self::Suspend => "Suspend",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::End => "end",
            Self::Suspend => "suspend",
        }
    }
}

impl RemedyPage {
    async fn of<A: Action>(call: &Call<A>, remedy: Remedy) -> Result<Self, Failure> {
        let id: KeyId = call.id(0, "key")?;
        let permit = call.ask::<ReadKeys>(None).await?;
        let key = keys::get(&call.app, &permit, id).await?;
        let title = format!("{} {}", remedy.title(), key.name);
        let page = page::of(call, &title, Nav::Security).below("Security", PATH);
        let below = call
            .app
            .store
            .descendants_of_key(call.org(), id, page.now, BELOW_MAX)
            .await?;
        let narrower = match remedy {
            Remedy::Narrow => narrower(call, &key).await?,
            Remedy::End | Remedy::Suspend => None,
        };
        Ok(Self {
            remedy,
            id: key.id.to_string(),
            prefix: key.prefix.to_string(),
            last_used: key.last_use.map(|last| page.when(last.at)),
            has_more_below: u32::try_from(below.len()).is_ok_and(|count| count >= BELOW_MAX),
            below: below.len(),
            narrower,
            ends: ends("90d"),
            typed: String::new(),
            fault: Fault::default(),
            page,
        })
    }

    fn action(&self) -> String {
        format!("{PATH}/{}/{}", self.id, self.remedy.word())
    }
}

fn ends(chosen: &str) -> Vec<Choice> {
    let spans = [
        ("7d", "In 7 days"),
        ("30d", "In 30 days"),
        ("90d", "In 90 days"),
        ("365d", "In a year"),
    ];
    spans
        .map(|(span, label)| Choice::new(span, label, chosen))
        .into()
}

async fn narrower<A: Action>(call: &Call<A>, key: &OrgKey) -> Result<Option<Narrower>, Failure> {
    let asked = Asked {
        window: advice_api::WINDOW,
        wants_endpoints: false,
        wants_addresses: false,
    };
    let permit = call.ask::<ReadKeys>(None).await?;
    let judged = advice::of_key(&call.app, &permit, key.id, asked).await?;
    let Some(advice) = judged.advice.as_ref() else {
        return Ok(None);
    };
    if advice.suggestion == key.grant {
        return Ok(None);
    }
    let names = grants::workspaces(&call.app, key.org, &advice.suggestion).await?;
    let change = advice_api::change(&key.grant, &advice.suggestion);
    let kept = advice.kept.iter();
    let refused: u64 = judged.refused.iter().map(|row| row.calls).sum();
    let mut notes: Vec<_> = kept
        .map(|kept| sentence(&format!("{} {}", kept.field, kept.reason)))
        .collect();
    if refused > 0 {
        notes.push(format!(
            "Of its calls before the last 30 days, {refused} would have been refused."
        ));
    }
    Ok(Some(Narrower {
        before: grants::brief(&key.grant),
        after: GrantWords::of(&advice.suggestion, &names),
        change: serde_json::to_string(&change).unwrap_or_default(),
        risk_removed: advice
            .risk_removed
            .iter()
            .map(|text| sentence(text))
            .collect(),
        notes,
    }))
}

async fn ask<A: Action>(call: &Call<A>, remedy: Remedy) -> Result<Reply, Failure> {
    let page = RemedyPage::of(call, remedy).await?;
    Ok(html::html(StatusCode::OK, &page))
}

/// `GET /canvas/security/{id}/narrow`.
pub(super) async fn ask_to_narrow(call: Call<ChangeKey>) -> Result<Reply, Failure> {
    ask(&call, Remedy::Narrow).await
}

/// `GET /canvas/security/{id}/end`.
pub(super) async fn ask_for_end(call: Call<ChangeKey>) -> Result<Reply, Failure> {
    ask(&call, Remedy::End).await
}

/// `GET /canvas/security/{id}/suspend`.
pub(super) async fn ask_to_suspend(call: Call<SuspendKey>) -> Result<Reply, Failure> {
    ask(&call, Remedy::Suspend).await
}

/// `GET /canvas/security/{id}/revoke`.
pub(super) async fn ask_to_revoke(call: Call<RevokeKey>) -> Result<Reply, Failure> {
    may_look(&call).await?;
    let id: KeyId = call.id(0, "key")?;
    let view = stop::revocation(&call, id, None, (revoke_path(id), PATH)).await?;
    Ok(html::html(StatusCode::OK, &view))
}

fn revoke_path(id: KeyId) -> String {
    format!("{PATH}/{id}/revoke")
}

/// The page shows the key, which to revoke it does not ask for.
async fn may_look(call: &Call<RevokeKey>) -> Result<(), Failure> {
    call.ask::<ReadKeys>(None).await?;
    call.ask::<SuspendKey>(None).await?;
    Ok(())
}

/// What was done leads back to the list, which need not be looked through again for it.
fn done<A: Action>(call: &Call<A>, id: KeyId, word: &str) -> Reply {
    call.app.reviews.forget(call.org(), id);
    html::see_other(&format!("{PATH}?done={word}"))
}

/// The page again, with what is wrong.
async fn refused<A: Action>(
    call: &Call<A>,
    remedy: Remedy,
    typed: Option<&str>,
    failure: Failure,
) -> Failure {
    let Some(fault) = Fault::of(&failure) else {
        return failure;
    };
    match RemedyPage::of(call, remedy).await {
        Ok(page) => {
            let typed = typed.unwrap_or_default().to_owned();
            let page = RemedyPage {
                ends: ends(&typed),
                typed,
                fault,
                ..page
            };
            html::refused(failure, &page)
        }
        Err(worse) => worse,
    }
}

/// `POST /canvas/security/{id}/narrow`. Whatever the form says, a change can only narrow.
pub(super) async fn narrow(mut call: Call<ChangeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let change = form.get("change").map(serde_json::from_str::<KeyChange>);
    let Some(Ok(change)) = change else {
        let reason = "holds no change of a grant";
        return Err(Failure::out_of_range("change", reason));
    };
    let change = KeyChange {
        permissions: change.permissions,
        workspaces: change.workspaces,
        endpoints: change.endpoints,
        ip_allow: change.ip_allow,
        ..KeyChange::default()
    };
    match api::change_as(&call, id, change).await {
        Ok(written) => Ok(done(&call, id, "narrowed").written(written.receipt)),
        Err(failure) => Err(refused(&call, Remedy::Narrow, None, failure).await),
    }
}

/// `POST /canvas/security/{id}/end`.
pub(super) async fn set_end(mut call: Call<ChangeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let change = KeyChange {
        expires_in: Some(form.get("expires_in").unwrap_or_default().to_owned()),
        ..KeyChange::default()
    };
    match api::change_as(&call, id, change).await {
        Ok(written) => Ok(done(&call, id, "ends").written(written.receipt)),
        Err(failure) => Err(refused(&call, Remedy::End, form.get("expires_in"), failure).await),
    }
}

/// `POST /canvas/security/{id}/suspend`.
pub(super) async fn suspend(mut call: Call<SuspendKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let typed = form.get("reason");
    let outcome = match api::reason(typed) {
        Ok(reason) => {
            let record = api::record_suspension(&call.trace, "suspended", reason.clone(), true);
            keys::suspend(&call.app, &call.permit, (id, reason), record).await
        }
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(written) => Ok(done(&call, id, "suspended").written(written.receipt)),
        Err(failure) => Err(refused(&call, Remedy::Suspend, typed, failure).await),
    }
}

/// `POST /canvas/security/{id}/revoke`: what the page of the key asks for is asked for here, too.
pub(super) async fn revoke(mut call: Call<RevokeKey>) -> Result<Reply, Failure> {
    may_look(&call).await?;
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    match stop::revoke_one(&call, id, &form).await {
        Ok(receipt) => {
            let reply = done(&call, id, "revoked");
            Ok(match receipt {
                Some(receipt) => reply.written(receipt),
                None => reply,
            })
        }
        Err(failure) if Fault::of(&failure).is_some() => {
            let typed = Some((&form, &failure));
            let view = stop::revocation(&call, id, typed, (revoke_path(id), PATH)).await?;
            Err(html::refused(failure, &view))
        }
        Err(failure) => Err(failure),
    }
}

/// The longest window of advice is the one that the page speaks of.
const _: () = assert!(
    advice_api::WINDOW.as_secs() == Duration::from_secs(30 * 86_400).as_secs(),
    "the page says 30 days"
);
