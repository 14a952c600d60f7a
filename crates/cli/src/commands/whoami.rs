//! `claviger whoami`.

use claviger_wire::{
    keys::Grant,
    whoami::{OwnPerson, WhoAmI},
};

use crate::{
    client::Client,
    error::Failure,
    output::{Output, Table},
    text::{or_dash, workspaces},
};

/// Shows the caller's own principal.
pub(super) async fn run(client: &Client, out: &Output) -> Result<(), Failure> {
    let me = client.whoami().await?;
    out.show(&me, table)
}

fn table(me: &WhoAmI) -> Table {
    let mut table = Table::fields();
    table.field("actor", me.actor.as_str());
    table.field("tier", me.tier.as_str());
    table.field("org", format!("{} ({})", me.org.name, me.org.id));
    if let Some(key) = &me.key {
        table.field("key", format!("{} ({})", key.name, key.id));
        table.field("created by", key.created_by.as_str());
        table.field("created at", key.created_at.as_str());
        table.field("expires at", or_dash(key.expires_at.as_deref()));
    }
    if let Some(person) = &me.person {
        push_person(&mut table, person);
    }
    table.field("root", me.root.as_str());
    push_grant(&mut table, &me.grant);
    for above in &me.within {
        table.field(
            "within",
            format!(
                "{} in {}",
                above.permissions.join(","),
                workspaces(&above.workspaces)
            ),
        );
    }
    if let Some(ceiling) = &me.policy {
        push_grant_of("policy: ", &mut table, ceiling);
    }
    table
}

fn push_person(table: &mut Table, person: &OwnPerson) {
    let shown = [person.name.as_deref(), person.email.as_deref()];
    let shown: Vec<_> = shown.into_iter().flatten().collect();
    let who = match shown.join(", ") {
        empty if empty.is_empty() => person.id.clone(),
        shown => format!("{shown} ({})", person.id),
    };
    table.field("person", who);
    table.field("role", person.role.as_str());
    if let Some(other) = &person.impersonator {
        table.field("acting for it", other.as_str());
    }
    table.field("signed in until", person.expires_at.as_str());
}

/// Adds what a key may do.
pub(super) fn push_grant(table: &mut Table, grant: &Grant) {
    push_grant_of("", table, grant);
}

/// Adds a grant beside another one: each name begins with the name of what has it, and a space.
pub(super) fn push_grant_of(of: &str, table: &mut Table, grant: &Grant) {
    let mut field = |name: &str, value: String| table.field(&format!("{of}{name}"), value);
    field("permissions", or_dash(Some(&grant.permissions.join(","))));
    field("workspaces", workspaces(&grant.workspaces));
    if !grant.endpoints.is_empty() {
        field("endpoints", grant.endpoints.join(", "));
    }
    if let Some(not_before) = &grant.not_before {
        field("not before", not_before.clone());
    }
    if !grant.ip_allow.is_empty() {
        field("addresses", grant.ip_allow.join(", "));
    }
    if let Some(limit) = &grant.rate_limit {
        let windows = [(limit.per_minute, "a minute"), (limit.per_day, "a day")];
        let said = windows
            .into_iter()
            .filter_map(|(count, window)| Some(format!("{} {window}", count?)));
        field("requests", said.collect::<Vec<_>>().join(", "));
    }
    if let Some(bounds) = &grant.delegation {
        let depth = bounds
            .depth
            .map(|depth| counted(depth.into(), "generation"));
        let keys = bounds.keys.map(|keys| counted(keys.into(), "living key"));
        let lifetime = bounds.lifetime.as_ref().map(|span| format!("{span} each"));
        let said: Vec<_> = [depth, keys, lifetime].into_iter().flatten().collect();
        field("passed on to", said.join(", "));
    }
}

fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use claviger_wire::whoami::WhoAmI;

    use super::table;

    fn shown(person: &str) -> String {
        let text = format!(
            r#"{{"actor": "session:user_1", "tier": "1", "org": {{"id": "org_1", "name": "acme"}},
            "key": null, {person} "root": "session:user_1", "within": [],
            "grant": {{"permissions": ["*"], "workspaces": "*",
            "delegation": {{"depth": 1, "keys": 2}}}}}}"#
        );
        let me: Option<WhoAmI> = serde_json::from_str(&text).ok();
        me.map(|me| table(&me).plain()).unwrap_or_default()
    }

    #[test]
    fn person_is_shown_with_what_is_known_of_it() {
        let whole = shown(
            r#""person": {"id": "user_1", "email": "ada@example.com", "name": "Ada", "role": "admin",
            "impersonator": "boss@example.com", "expires_at": "2026-08-02T10:00:00Z"},"#,
        );
        for line in [
            "person\tAda, ada@example.com (user_1)",
            "role\tadmin",
            "acting for it\tboss@example.com",
            "signed in until\t2026-08-02T10:00:00Z",
        ] {
            assert!(whole.lines().any(|own| own == line), "{whole}");
        }
        let bare = shown(
            r#""person": {"id": "user_1", "role": "admin", "expires_at": "2026-08-02T10:00:00Z"},"#,
        );
        assert!(bare.lines().any(|own| own == "person\tuser_1"), "{bare}");
        assert!(!bare.contains("acting"), "{bare}");
    }

    #[test]
    fn key_is_no_person() {
        let key = shown("");
        assert!(key.contains("actor") && !key.contains("person"), "{key}");
        let passed_on = "passed on to\t1 generation, 2 living keys";
        assert!(key.lines().any(|own| own == passed_on), "{key}");
    }
}
