//! The page of one person.

use askama::Template;
use claviger_core::{
    action::{Action, ManagePeople, ReadPeople},
    id::SessionId,
    person::{LOCAL_ISSUER, PersonState},
};
use claviger_store::PersonRow;
use http::StatusCode;

use super::{PATH, Row, flash, href};
use crate::{
    api::keys::reason,
    failure::Failure,
    gate::{Call, Reply},
    ops::{people, sign_ins},
    web::{
        account::SessionRow,
        fault::Fault,
        html::{html, refused},
        layout::{Nav, Page},
        page,
        time::When,
        who,
    },
};

/// A person.
#[derive(Debug, Template)]
#[template(path = "canvas/members/member.html")]
struct MemberPage {
    page: Page,
    row: Row,
    /// Who vouches for the person; empty for nobody but this server.
    issuer: String,
    means: String,
    first_seen: When,
    decided: Option<Decided>,
    sessions: Vec<SessionRow>,
    /// Where the forms go that end one of them; empty for a reader who may not.
    end: String,
    may_manage: bool,
    is_active: bool,
    is_removed: bool,
}

/// What was decided about a person.
#[derive(Debug)]
struct Decided {
    at: When,
    by: String,
    reason: String,
}

/// The question before a suspension.
#[derive(Debug, Template)]
#[template(path = "canvas/members/suspend.html")]
struct SuspendPage {
    page: Page,
    row: Row,
    reason: String,
    fault: Fault,
}

/// The person that the path names.
pub(super) async fn found<A: Action>(call: &Call<A>) -> Result<PersonRow, Failure> {
    let id = call.person(0)?;
    let permit = call.ask::<ReadPeople>(None).await?;
    people::get(&call.app, &permit, &id).await
}

/// The page of something about a person.
pub(super) fn below<A: Action>(call: &Call<A>, person: &PersonRow, title: &str) -> (Page, Row) {
    let page = page::of(call, title, Nav::Members).below(Nav::Members.label(), PATH);
    let own = call.permit.principal().actor.to_string();
    let row = Row::of(&page, person, &own);
    (page.below(&row.name, &row.href), row)
}

/// `GET /canvas/members/{id}`.
///
/// # Errors
/// 404, 503.
pub(super) async fn page(call: Call<ReadPeople>) -> Result<Reply, Failure> {
    let query = call.query(&["done"])?;
    let found = found(&call).await?;
    let mut page = page::of(&call, "", Nav::Members).below(Nav::Members.label(), PATH);
    page.flash = flash(query.get("done"));
    let own = call.permit.principal().actor.to_string();
    let row = Row::of(&page, &found, &own);
    page.title.clone_from(&row.name);
    let person = &found.person;
    let live = sign_ins::of_person(&call.app, person.org, &person.id);
    let current = call.permit.principal().session;
    let sessions = live.iter();
    let deciders = person.decision.iter().map(|decision| &decision.by);
    let names = who::key_names(&call, deciders).await?;
    let decided = person.decision.as_ref().map(|decision| Decided {
        at: page.when(decision.at),
        by: who::words(&call.app, person.org, &decision.by, &names),
        reason: decision.reason.clone().unwrap_or_default(),
    });
    let may_manage = call.may::<ManagePeople>(None).await? && !row.is_self;
    let member = MemberPage {
        issuer: if person.issuer == LOCAL_ISSUER {
            String::new()
        } else {
            person.issuer.clone()
        },
        means: who::means(person.permissions),
        first_seen: page.when(person.first_seen_at),
        decided,
        sessions: sessions
            .map(|live| SessionRow::of(&call.app, &page, live, current))
            .collect(),
        end: if may_manage {
            format!("{}/sessions", row.href)
        } else {
            String::new()
        },
        may_manage,
        is_active: person.state == PersonState::Active,
        is_removed: person.state == PersonState::Removed,
        page,
        row,
    };
    Ok(html(StatusCode::OK, &member))
}

/// `POST /canvas/members/{id}/sessions/end`.
///
/// # Errors
/// As [`people::end_sessions`].
pub(super) async fn end_sessions(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let back = format!("{}?done=sessions_ended", href(&id));
    let ended = people::end_sessions(&call.app, &call.permit, id, &call.trace).await?;
    Ok(Reply::see_other(&back).written(ended.receipt))
}

/// `POST /canvas/members/{id}/sessions/{sid}/end`.
///
/// # Errors
/// As [`people::end_session`].
pub(super) async fn end_session(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let session: SessionId = call.id(1, "session")?;
    let back = format!("{}?done=sessions_ended", href(&id));
    let which = (id, session);
    let ended = people::end_session(&call.app, &call.permit, which, &call.trace).await?;
    Ok(Reply::see_other(&back).written(ended.receipt))
}

/// `GET /canvas/members/{id}/suspend`.
///
/// # Errors
/// 404, 503.
pub(super) async fn confirm_suspension(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let found = found(&call).await?;
    let page = suspend_page(&call, &found, (String::new(), Fault::default()));
    Ok(html(StatusCode::OK, &page))
}

fn suspend_page(
    call: &Call<ManagePeople>,
    person: &PersonRow,
    (reason, fault): (String, Fault),
) -> SuspendPage {
    let (page, row) = below(call, person, "Suspend");
    SuspendPage {
        page,
        row,
        reason,
        fault,
    }
}

/// `POST /canvas/members/{id}/suspend`.
///
/// # Errors
/// As [`people::turn`]; what is wrong with the form is said on it.
pub(super) async fn suspend(mut call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let found = found(&call).await?;
    let typed = form.get("reason").unwrap_or_default().to_owned();
    let id = found.person.id.clone();
    let outcome = match reason(form.get("reason")) {
        Ok(reason) => {
            let turn = (id.clone(), PersonState::Suspended, reason);
            people::turn(&call.app, &call.permit, turn, &call.trace).await
        }
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(turned) => {
            let back = format!("{}?done=suspended", href(&id));
            Ok(Reply::see_other(&back).written(turned.receipt))
        }
        Err(failure) => Err(match Fault::of(&failure) {
            Some(fault) => refused(failure, &suspend_page(&call, &found, (typed, fault))),
            None => failure,
        }),
    }
}

/// `POST /canvas/members/{id}/restore`.
///
/// # Errors
/// As [`people::turn`].
pub(super) async fn restore(call: Call<ManagePeople>) -> Result<Reply, Failure> {
    let id = call.person(0)?;
    let back = format!("{}?done=restored", href(&id));
    let turn = (id, PersonState::Active, None);
    let turned = people::turn(&call.app, &call.permit, turn, &call.trace).await?;
    Ok(Reply::see_other(&back).written(turned.receipt))
}
