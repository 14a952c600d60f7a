//! People: who has signed in, and what becomes of whoever leaves.

mod member;
mod removal;

use askama::Template;
use claviger_core::{
    action::{ManagePeople, ReadPeople},
    person::{PersonId, PersonState},
};
use claviger_store::{Page as Part, PersonRow};
use http::{Method, StatusCode};

use super::{
    html::html,
    layout::{Nav, Page},
    page,
    parts::{Flash, Pager, Tone},
    time::{When, thousands},
    who,
};
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::people,
    router::Routes,
};

/// The path of the list.
const PATH: &str = "/canvas/members";
/// How many people a page shows.
const ROWS: u32 = 50;

/// Every page of people, and every form on one.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ReadPeople, _, _>(&get, "/canvas/members", list);
    routes.page::<ReadPeople, _, _>(&get, "/canvas/members/{id}", member::page);
    routes.page::<ManagePeople, _, _>(&post, "/canvas/members/{id}/sessions/end", member::end_sessions);
    routes.page::<ManagePeople, _, _>(&post, "/canvas/members/{id}/sessions/{sid}/end", member::end_session);
    routes.page::<ManagePeople, _, _>(&get, "/canvas/members/{id}/suspend", member::confirm_suspension);
    routes.page::<ManagePeople, _, _>(&post, "/canvas/members/{id}/suspend", member::suspend);
    routes.page::<ManagePeople, _, _>(&post, "/canvas/members/{id}/restore", member::restore);
    routes.page::<ManagePeople, _, _>(&get, "/canvas/members/{id}/remove", removal::page);
    routes.page::<ManagePeople, _, _>(&post, "/canvas/members/{id}/remove", removal::remove);
}

/// The list.
#[derive(Debug, Template)]
#[template(path = "canvas/members/list.html")]
struct ListPage {
    page: Page,
    rows: Vec<Row>,
    pager: Pager,
    has_provider: bool,
}

/// A person as a row.
#[derive(Debug)]
struct Row {
    name: String,
    email: String,
    id: String,
    role: String,
    href: String,
    keys: String,
    keys_href: String,
    sessions: u64,
    last_seen: When,
    state: &'static str,
    tone: &'static str,
    is_self: bool,
}

impl Row {
    fn of(page: &Page, row: &PersonRow, own: &str) -> Self {
        let person = &row.person;
        let (state, tone) = state_words(person.state);
        let label = person.id.actor().to_string();
        let email = person.email.clone().unwrap_or_default();
        let name = person.name.clone().filter(|name| !name.is_empty());
        Self {
            name: name
                .or_else(|| person.email.clone())
                .unwrap_or_else(|| person.id.to_string()),
            email,
            id: person.id.to_string(),
            role: person.role.clone(),
            href: href(&person.id),
            keys: thousands(row.keys),
            keys_href: keys_href(&label),
            sessions: row.sessions,
            last_seen: page.when(person.last_seen_at),
            state,
            tone: tone.as_str(),
            is_self: own == label,
        }
    }
}

/// A state in words, and what its colour says.
const fn state_words(state: PersonState) -> (&'static str, Tone) {
    match state {
        PersonState::Active => ("Active", Tone::Good),
        PersonState::Suspended => ("Suspended", Tone::Warn),
        PersonState::Removed => ("Removed", Tone::Neutral),
    }
}

/// The page of a person.
fn href(id: &PersonId) -> String {
    format!("{PATH}/{}", who::segment(&id.segment()))
}

/// The keys that a person made, in the list of keys.
fn keys_href(label: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("created_by", label);
    format!("{}?{}", Nav::Keys.href(), query.finish())
}

/// `GET /canvas/members`.
///
/// # Errors
/// 400 for a query that cannot be used, 503.
async fn list(call: Call<ReadPeople>) -> Result<Reply, Failure> {
    let query = call.query(&["cursor", "done"])?;
    let after = query.parse::<PersonId>("cursor", "the place where a list goes on")?;
    let part = Part {
        after: after.clone(),
        limit: ROWS,
    };
    let found = people::list(&call.app, &call.permit, part).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|count| count == ROWS);
    let last = found.last().filter(|_| is_full);
    let next = last.map(|row| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("cursor", row.person.id.as_str());
        format!("{PATH}?{}", query.finish())
    });
    let mut page = page::of(&call, Nav::Members.label(), Nav::Members);
    page.flash = flash(query.get("done"));
    let own = call.permit.principal().actor.to_string();
    let shown = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let list = ListPage {
        rows: found.iter().map(|row| Row::of(&page, row, &own)).collect(),
        pager: Pager {
            shown,
            total: (after.is_none() && next.is_none()).then_some(shown),
            first: after.map(|_| PATH.to_owned()),
            next,
        },
        has_provider: call.app.has_provider(),
        page,
    };
    Ok(html(StatusCode::OK, &list))
}

/// What a page says of the form that led to it.
fn flash(word: Option<&str>) -> Option<Flash> {
    let text = match word? {
        "suspended" => {
            "Suspended. Sessions have ended, and the keys that go back to this person are refused."
        }
        "restored" => "Restored. This person may sign in again.",
        "sessions_ended" => "The sessions have ended.",
        "removed" => "Removed. What this person made is revoked and refused from now on.",
        "handed_over" => "Removed. What this person made goes back to its heir from now on.",
        _ => return None,
    };
    Some(Flash::done(text))
}

#[cfg(test)]
mod tests {
    use super::{href, keys_href};

    #[test]
    fn ids_of_any_provider_can_be_linked_to() {
        let id = "auth0|5f7c".parse().expect("an id");
        assert_eq!(href(&id), "/canvas/members/auth0%7C5f7c");
        assert_eq!(
            keys_href("session:auth0|5f7c"),
            "/canvas/keys?created_by=session%3Aauth0%7C5f7c"
        );
    }
}
