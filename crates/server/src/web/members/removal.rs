//! The removal of a person: what it made is revoked, or goes back to somebody else.

use std::sync::Arc;

use askama::Template;
use claviger_core::{
    action::{ManagePeople, MintKey},
    id::KeyId,
    key::KeyStatus,
    person::PersonId,
    time::Timestamp,
};
use claviger_store::{HOUR, PersonRow};
use http::StatusCode;

use super::{Row, href, member};
use crate::{
    api::keys::reason,
    app::App,
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::people,
    people::Known,
    web::{
        fault::Fault,
        html::{html, refused},
        layout::Page,
        parts::Choice,
        time::thousands,
        who,
    },
};

/// How many people are offered as heirs; any other can be named by its id.
const HEIRS: usize = 200;
/// How many keys are looked at for their calls of the last hour.
const KEYS_COUNTED_MAX: usize = 2000;

/// The form.
#[derive(Debug, Template)]
#[template(path = "canvas/members/remove.html")]
struct RemovePage {
    page: Page,
    row: Row,
    /// How many living keys go back to the person.
    keys: String,
    has_keys: bool,
    /// How often they called in the last hour.
    calls: String,
    has_calls: bool,
    calls_hint: &'static str,
    calls_tone: &'static str,
    choices: Vec<Choice>,
    heirs: Vec<Choice>,
    /// There are more than can be chosen from.
    are_heirs_cut: bool,
    /// The id of an heir that was typed.
    heir_id: String,
    reason: String,
    fault: Fault,
}

impl RemovePage {
    const fn heir_help(&self) -> &'static str {
        if self.are_heirs_cut {
            "The list holds some of the active members only. Any other is named here, by the id in the list of members."
        } else {
            "It counts more than the list. The id stands in the list of members."
        }
    }
}

/// What was typed, or stands there first.
#[derive(Default)]
struct Typed {
    what: String,
    heir: String,
    heir_id: String,
    reason: String,
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name| form.get(name).unwrap_or_default().to_owned();
        Self {
            what: text("what"),
            heir: text("hand_over_to"),
            heir_id: text("heir_id").trim().to_owned(),
            reason: text("reason"),
        }
    }
}

/// `GET /canvas/members/{id}/remove`.
///
/// # Errors
/// 404, 503.
pub(super) async fn page(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let found = member::found(&call).await?;
    let page = form_page(&call, &found, (Typed::default(), Fault::default())).await?;
    Ok(html(StatusCode::OK, &page))
}

async fn form_page(
    call: &Call<ManagePeople>,
    person: &PersonRow,
    (typed, fault): (Typed, Fault),
) -> Result<RemovePage, Failure> {
    let (page, row) = member::below(call, person, "Remove");
    let id = &person.person.id;
    let (keys, is_more) = keys_of(&call.app, person, page.now);
    let calls = calls(call, &keys, page.now).await?;
    let (heirs, are_heirs_cut) = heirs(call, id, &typed.heir);
    let may_hand_over = !heirs.is_empty() && call.may::<MintKey>(None).await?;
    let mut choices = vec![
        Choice::new("revoke", "Revoke what they made", &typed.what)
            .help("Every key that goes back to this person is refused from then on, for good."),
    ];
    if may_hand_over {
        choices.push(
            Choice::new("hand_over", "Hand over to somebody", &typed.what)
                .help("The keys go on working, and go back to that person from then on."),
        );
    }
    Ok(RemovePage {
        page,
        row,
        keys: thousands(person.keys),
        has_keys: person.keys > 0,
        calls: thousands(calls),
        has_calls: calls > 0,
        calls_hint: if is_more {
            "with those that were counted"
        } else {
            "with these keys"
        },
        calls_tone: if calls > 0 { "warn" } else { "" },
        choices,
        heirs: if may_hand_over { heirs } else { Vec::new() },
        are_heirs_cut,
        heir_id: typed.heir_id,
        reason: typed.reason,
        fault,
    })
}

/// The living keys that go back to a person, as far as they are counted.
fn keys_of(app: &App, person: &PersonRow, now: Timestamp) -> (Vec<KeyId>, bool) {
    let (org, actor) = (person.person.org, person.person.id.actor());
    let (mut keys, mut is_more) = (Vec::new(), false);
    app.keys.for_each(|key| {
        let is_its = key.org == org && !key.is_replaced && key.minter.root == actor;
        if !is_its || matches!(key.status(now), KeyStatus::Revoked | KeyStatus::Expired) {
            return;
        }
        if keys.len() < KEYS_COUNTED_MAX {
            keys.push(key.id);
        } else {
            is_more = true;
        }
    });
    (keys, is_more)
}

/// How often these keys called since the beginning of the last hour.
async fn calls(call: &Call<ManagePeople>, keys: &[KeyId], now: Timestamp) -> Result<u64, Failure> {
    if keys.is_empty() {
        return Ok(0);
    }
    call.app.flush_usage().await?;
    let since = now.minus(HOUR);
    let counted = call
        .app
        .store
        .calls_of_keys(call.org(), keys, since)
        .await?;
    Ok(counted.iter().map(|key| key.calls).sum())
}

/// The active people of the org but this one, and whether there are more.
fn heirs(call: &Call<ManagePeople>, but: &PersonId, chosen: &str) -> (Vec<Choice>, bool) {
    let org = call.org();
    let (active, is_cut) = call.app.people.active_but(org, but, HEIRS);
    let choice = |known: &Arc<Known>| {
        let id = known.person.id.as_str();
        let label = match who::in_full(&call.app, org, id) {
            name if name == id || known.person.email.is_some() => name,
            name => format!("{name} ({id})"),
        };
        Choice::new(id, label, chosen)
    };
    (active.iter().map(choice).collect(), is_cut)
}

/// `POST /canvas/members/{id}/remove`.
///
/// # Errors
/// As [`people::remove`]; what is wrong with the form is said on it.
pub(super) async fn remove(mut call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let found = member::found(&call).await?;
    let typed = Typed::of(&form);
    let outcome = match asked(&typed) {
        Ok((heir, reason)) => {
            let removal = (found.person.id.clone(), heir, reason);
            people::remove(&call.app, &call.permit, removal, &call.trace).await
        }
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(removed) => {
            let is_given = typed.what == "hand_over";
            let done = if is_given { "handed_over" } else { "removed" };
            let back = format!("{}?done={done}", href(&found.person.id));
            Ok(Reply::see_other(&back).written(removed.receipt))
        }
        Err(failure) => match Fault::of(&failure) {
            Some(fault) => {
                // What is wrong with somebody who was typed stands where it was typed.
                let is_typed = !typed.heir_id.is_empty();
                let fault = fault.renamed(|field| match field {
                    "hand_over_to" if is_typed => "heir_id".to_owned(),
                    other => other.to_owned(),
                });
                let page = form_page(&call, &found, (typed, fault)).await?;
                Err(refused(failure, &page))
            }
            None => Err(failure),
        },
    }
}

/// Who gets the keys, and why. Nothing is revoked because nothing was chosen.
fn asked(typed: &Typed) -> Result<(Option<PersonId>, Option<String>), Failure> {
    let reason = reason(Some(typed.reason.as_str()).filter(|text| !text.is_empty()))?;
    match typed.what.as_str() {
        "revoke" => Ok((None, reason)),
        "hand_over" => {
            // Whoever typed an id means that one, whatever the list stands at.
            let (field, heir) = match typed.heir_id.as_str() {
                "" => ("hand_over_to", &typed.heir),
                _ => ("heir_id", &typed.heir_id),
            };
            match heir.parse() {
                Ok(heir) => Ok((Some(heir), reason)),
                Err(_) => Err(Failure::out_of_range(field, "must name somebody")),
            }
        }
        _ => Err(Failure::out_of_range("what", "must be chosen")),
    }
}
