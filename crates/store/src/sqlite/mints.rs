//! What a mint needs beside its row: a minter that is accepted, room, and to be the first of its kind.

use claviger_core::{id::KeyId, key::OrgKey, tier::Actor, time::Timestamp};
use rusqlite::{Connection, params};

use super::{
    Outcome,
    keys::{hold_live, require_actor},
    orgs, people, replays, rotations, row,
    row::IdText,
};
use crate::{Acting, NewKey, StoreError, labels_to_json, millis};

/// Closes the bootstrap for good, and says whether this was the first to do so.
pub(super) fn close_bootstrap(sql: &Connection, at: Timestamp) -> Outcome<bool> {
    let statement =
        "update deployment set bootstrap_closed_at = ?1 where bootstrap_closed_at is null";
    Ok(row::run(sql, statement, params![at.millis()])? == 1)
}

/// Mints, for a key or by collection of one that was approved.
pub(super) fn mint(sql: &Connection, new: &NewKey, acting: Acting, is_first: bool) -> Outcome<()> {
    require_actor(sql, acting)?;
    orgs::require(sql, new.key.org)?;
    if new.is_bootstrap && !is_first {
        return Err(StoreError::BootstrapClosed.into());
    }
    if let Actor::Session(person) = &new.key.minter.root {
        people::hold_active(sql, new.key.org, person)?;
    }
    if let Some(parent) = new.key.parent() {
        hold_live(sql, parent, acting.now)?;
        require_chain(sql, parent, &new.key)?;
    }
    require_room(sql, new, acting.now)?;
    if let Some(idempotency) = &new.idempotency {
        replays::require_first(sql, new, idempotency, acting.now)?;
    }
    insert(sql, new)?;
    match &new.idempotency {
        Some(idempotency) => replays::keep(sql, new, idempotency, acting.now),
        None => Ok(()),
    }
}

/// The keys above the minter are those that the new key was told of.
fn require_chain(sql: &Connection, parent: KeyId, new: &OrgKey) -> Outcome<()> {
    let above = new.minter.chain.get(1..).unwrap_or_default();
    let query = "select 1 from keys where id = ?1 and chain = ?2";
    let bound = params![IdText::of(parent), row::chain_text(above)];
    match row::first(sql, query, bound, |_| Ok(()))? {
        Some(()) => Ok(()),
        None => Err(StoreError::Stale("minter").into()),
    }
}

/// Refuses a mint beyond a limit. Only living keys are walked, and no more than the limit; what is
/// below a dead one is dead.
fn require_room(sql: &Connection, new: &NewKey, now: Timestamp) -> Outcome<()> {
    if let Some(max) = new.limits.keys_max {
        let query = "select count(*) from (select 1 from keys where org = ?1 and revoked_at is null
             and (expires_at is null or expires_at > ?2) limit ?3)";
        let bound = params![IdText::of(new.key.org), now.millis(), max];
        let living = row::first(sql, query, bound, |row| row::count(row, 0))?;
        within(
            "living keys in this org (`keys_max` of its policy)",
            living,
            max,
        )?;
    }
    for (above, max) in &new.limits.below {
        let query = "with recursive line (id) as (
                 select id from keys where parent = ?1 and revoked_at is null
                     and (expires_at is null or expires_at > ?2)
                 union select keys.id from keys join line on keys.parent = line.id
                     where keys.revoked_at is null
                     and (keys.expires_at is null or keys.expires_at > ?2)
                 limit ?3)
             select count(*) from line";
        let bound = params![IdText::of(*above), now.millis(), max];
        let living = row::first(sql, query, bound, |row| row::count(row, 0))?;
        within(
            "living keys below a key above this one (its `delegation.keys`)",
            living,
            *max,
        )?;
    }
    Ok(())
}

fn within(what: &'static str, living: Option<u64>, max: u32) -> Outcome<()> {
    let max = u64::from(max);
    if living.is_some_and(|living| living >= max) {
        return Err(StoreError::LimitReached { what, max }.into());
    }
    Ok(())
}

fn insert(sql: &Connection, new: &NewKey) -> Outcome<()> {
    let key = &new.key;
    rotations::require_unused(sql, key.prefix.as_str())?;
    let statement = "insert into keys
         (id, org, name, prefix, digest, created_by, root, parent, chain, created_at, expires_at,
          not_before, grant_json, metadata, secret_since, rotate_every, rotation_due_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let bound = params![
        IdText::of(key.id),
        IdText::of(key.org),
        key.name,
        key.prefix.as_str(),
        new.digest,
        key.minter.created_by.to_string(),
        key.minter.root.to_string(),
        key.parent().map(IdText::of),
        row::chain_text(&key.minter.chain),
        key.created_at.millis(),
        key.expires_at.map(Timestamp::millis),
        key.grant.not_before.map(Timestamp::millis),
        key.grant.to_json(),
        labels_to_json(&key.metadata),
        key.secret.since.millis(),
        key.rotate_every.map(millis),
        key.rotation_due_at().map(Timestamp::millis),
    ];
    match row::run(sql, statement, bound) {
        // A secret that was drawn twice has the prefix of the other as well.
        Err(fault)
            if ["keys.prefix", "keys.digest"]
                .iter()
                .any(|c| row::is_taken(&fault, c)) =>
        {
            Err(StoreError::PrefixTaken.into())
        }
        Err(fault) if row::is_taken(&fault, "keys.id") => Err(StoreError::Exists("key").into()),
        Err(fault) => Err(fault),
        Ok(_) => Ok(()),
    }
}
