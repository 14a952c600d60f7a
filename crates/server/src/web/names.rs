//! Who is meant by the label of an actor, in the words that people use.

use claviger_core::{
    id::OrgId,
    tier::{Actor, Minter},
};

use crate::app::App;

/// Whoever acted.
pub(crate) fn of_actor(app: &App, org: OrgId, actor: &Actor) -> String {
    match actor {
        Actor::Session(id) => of_person(app, org, id),
        Actor::Bootstrap => "The first start".to_owned(),
        Actor::AdminToken => "ADMIN_TOKEN".to_owned(),
        Actor::OrgKey(prefix) | Actor::WorkspaceToken(prefix) => prefix.to_string(),
        Actor::Policy => "The policy".to_owned(),
        Actor::Anonymous => "Nobody".to_owned(),
    }
}

/// A label as records and rows keep it.
pub(crate) fn of_label(app: &App, org: OrgId, label: &str) -> String {
    match label.parse::<Actor>() {
        Ok(actor) => of_actor(app, org, &actor),
        Err(_) => label.to_owned(),
    }
}

/// Whoever made a key: of a key the name that it has now.
pub(crate) fn of_maker(app: &App, org: OrgId, minter: &Minter) -> String {
    let parent = minter.chain.first().and_then(|id| app.keys.find_by_id(*id));
    match (&minter.created_by, parent) {
        (Actor::OrgKey(_), Some(slot)) => slot.credential.name.to_string(),
        (actor, _) => of_actor(app, org, actor),
    }
}

/// The person or the org that a key goes back to.
pub(crate) fn of_owner(app: &App, org: OrgId, minter: &Minter) -> String {
    match &minter.root {
        Actor::Session(id) => of_person(app, org, id),
        _ => "The org".to_owned(),
    }
}

fn of_person(app: &App, org: OrgId, id: &str) -> String {
    let known = app.people.get(org, id);
    let person = known.as_ref().map(|known| &known.person);
    let name = person.and_then(|person| person.name.clone().or_else(|| person.email.clone()));
    let name = name.filter(|name| !name.trim().is_empty());
    name.unwrap_or_else(|| id.to_owned())
}
