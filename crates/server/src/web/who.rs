//! Who did something, as people read it; and the grants of people in words.

use std::collections::{BTreeSet, HashMap};

use claviger_core::{
    action::{Action, ReadKeys},
    id::OrgId,
    permission::PermissionSet,
    tier::{Actor, Minter},
    token::Prefix,
};

use super::page;
use crate::{app::App, failure::Failure, gate::Call};

/// The names of keys by the public names of their secrets.
pub(super) type KeyNames = HashMap<Prefix, String>;

/// The names of those among these actors that are keys, as far as the reader may see keys.
///
/// # Errors
/// 503.
pub(super) async fn key_names<A: Action>(
    call: &Call<A>,
    actors: impl IntoIterator<Item = &Actor>,
) -> Result<KeyNames, Failure> {
    let keys = actors.into_iter().filter_map(|actor| match actor {
        Actor::OrgKey(prefix) => Some(*prefix),
        _ => None,
    });
    let secrets: Vec<_> = keys.collect::<BTreeSet<_>>().into_iter().collect();
    if secrets.is_empty() || !page::may::<ReadKeys>(&call.trace) {
        return Ok(KeyNames::new());
    }
    let store = &call.app.store;
    let names = store.names_of_secrets(call.org(), &secrets).await?;
    Ok(names.into_iter().collect())
}

/// The key that an actor is, by its name with the public name of its secret beside it: two keys may
/// have one name.
fn key_in_full(prefix: Prefix, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{name} ({prefix})"),
        None => prefix.to_string(),
    }
}

/// A name for an actor: of a person and of a key its name, with what tells it from others of that name.
#[must_use]
pub(super) fn words(app: &App, org: OrgId, actor: &Actor, names: &KeyNames) -> String {
    match actor {
        Actor::Session(id) => in_full(app, org, id),
        Actor::OrgKey(prefix) => key_in_full(*prefix, names.get(prefix).map(String::as_str)),
        Actor::WorkspaceToken(prefix) => prefix.to_string(),
        Actor::AdminToken => "ADMIN_TOKEN".to_owned(),
        Actor::Bootstrap => "the first start".to_owned(),
        Actor::Policy => "the policy".to_owned(),
        Actor::Anonymous => "nobody known".to_owned(),
    }
}

/// The same with the e-mail beside it: two people may have one name.
#[must_use]
pub(super) fn in_full(app: &App, org: OrgId, id: &str) -> String {
    let name = person(app, org, id);
    let known = app.people.get(org, id);
    let email = known.and_then(|known| known.person.email.clone());
    match email.filter(|email| !email.trim().is_empty() && *email != name) {
        Some(email) => format!("{name} ({email})"),
        None => name,
    }
}

/// A name for a person by its id.
#[must_use]
pub(super) fn person(app: &App, org: OrgId, id: &str) -> String {
    let known = app.people.get(org, id);
    let name = known.and_then(|known| {
        let person = &known.person;
        let mut names = [&person.name, &person.email].into_iter().flatten();
        names.find(|name| !name.trim().is_empty()).cloned()
    });
    name.unwrap_or_else(|| id.to_owned())
}

/// Whoever made a key, with what tells it from others of that name.
#[must_use]
pub(super) fn maker(app: &App, org: OrgId, minter: &Minter) -> String {
    let parent = minter.chain.first().and_then(|id| app.keys.find_by_id(*id));
    match (&minter.created_by, parent) {
        (Actor::OrgKey(prefix), Some(slot)) => key_in_full(*prefix, Some(&slot.credential.name)),
        (actor, _) => words(app, org, actor, &KeyNames::new()),
    }
}

/// The person or the org that a key goes back to.
#[must_use]
pub(super) fn owner(app: &App, org: OrgId, minter: &Minter) -> String {
    match &minter.root {
        Actor::Session(id) => in_full(app, org, id),
        _ => "The org".to_owned(),
    }
}

/// What permissions come to, in a sentence.
#[must_use]
pub(super) fn means(permissions: PermissionSet) -> String {
    let is = |name: &str| PermissionSet::preset(name).is_ok_and(|preset| preset == permissions);
    if permissions == PermissionSet::ALL {
        "Everything: mint and revoke keys, change workspaces and see their secrets, set the policy, \
         decide requests, manage people."
            .to_owned()
    } else if is("editor") {
        "Read everything, and change workspaces, channels and secrets. Not see the values of secrets, \
         not mint or revoke keys, not manage people."
            .to_owned()
    } else if is("reader") {
        "Read everything but the values of secrets. Change nothing.".to_owned()
    } else if permissions == PermissionSet::NONE {
        "Nothing but see this account.".to_owned()
    } else {
        let names: Vec<_> = permissions.patterns();
        format!("{}.", names.join(", "))
    }
}

/// A segment of a path, with what cannot stand in one encoded and nothing else: a path that encodes
/// more than it must is refused.
#[must_use]
pub(super) fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'#' | b'<' | b'>' | b'?' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                path.push_str(&format!("%{byte:02X}"));
            }
            _ => path.push(char::from(byte)),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use claviger_core::{permission::PermissionSet, person::PersonId};

    use super::{means, segment};

    #[test]
    fn each_preset_has_a_sentence_of_its_own() {
        let texts: std::collections::BTreeSet<_> = ["reader", "editor", "admin"]
            .iter()
            .map(|name| means(PermissionSet::preset(name).expect("a preset")))
            .collect();
        assert_eq!(texts.len(), 3);
        let odd = PermissionSet::parse(["audit:read"]).expect("a permission");
        assert_eq!(means(odd), "audit:read.");
    }

    #[test]
    fn ids_of_people_survive_in_a_path() {
        assert_eq!(segment("auth0|5f7c"), "auth0%7C5f7c");
        assert_eq!(segment("a@example.com"), "a@example.com");
        for id in [
            "auth0|5f7c",
            "a@example.com",
            "google-oauth2|1",
            "x[1]?#",
            "<\"{^`}\">",
            "a/b\\c;d%2f",
            "~1",
        ] {
            let id: PersonId = id.parse().expect("an id");
            let path = format!("/canvas/members/{}", segment(&id.segment()));
            let _: http::Uri = path.parse().expect("an address");
            let read = claviger_core::path::normalise(&path).expect("one reading");
            let read = read
                .strip_prefix("/canvas/members/")
                .map(PersonId::of_segment);
            assert_eq!(read, Some(Ok(id)));
        }
    }
}
