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
        let depth = bounds.depth.map(|depth| format!("{depth} generations"));
        let keys = bounds.keys.map(|keys| format!("{keys} living keys"));
        let lifetime = bounds.lifetime.as_ref().map(|span| format!("{span} each"));
        let said: Vec<_> = [depth, keys, lifetime].into_iter().flatten().collect();
        field("passed on to", said.join(", "));
    }
}
