//! What a mint needs beside its row: a minter that is accepted, room, and to be the first of its kind.

use std::time::Duration;

use claviger_core::{id::KeyId, key::OrgKey, time::Timestamp};
use rusqlite::{Connection, params};

use super::{
    Outcome,
    keys::{hold_live, require_actor},
    orgs, rotations, row,
    row::IdText,
};
use crate::{Acting, Idempotency, NewKey, StoreError, labels_to_json, millis};

/// How long a mint can be told from its repetition.
const REPLAY_AGE_MAX: Duration = Duration::from_hours(24);

/// How many expired idempotency keys a mint clears away.
const REPLAYS_PURGED_MAX: u32 = 100;

/// Inserts a key.
pub(super) fn mint(sql: &Connection, new: &NewKey, acting: Acting) -> Outcome<()> {
    require_actor(sql, acting)?;
    orgs::require(sql, new.key.org)?;
    let closed = row::run(
        sql,
        "update deployment set bootstrap_closed_at = ?1 where bootstrap_closed_at is null",
        params![new.key.created_at.millis()],
    )?;
    if new.is_bootstrap && closed != 1 {
        return Err(StoreError::BootstrapClosed.into());
    }
    if let Some(parent) = new.key.parent() {
        hold_live(sql, parent, acting.now)?;
        require_chain(sql, parent, &new.key)?;
    }
    require_room(sql, new, acting.now)?;
    purge_replays(sql, acting.now)?;
    if let Some(idempotency) = &new.idempotency {
        require_first(sql, new, idempotency, acting.now)?;
    }
    insert(sql, new)?;
    match &new.idempotency {
        Some(idempotency) => keep_replay(sql, new, idempotency, acting.now),
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

/// Refuses a mint beyond a limit. No more are counted than the limit, so it costs no more.
fn require_room(sql: &Connection, new: &NewKey, now: Timestamp) -> Outcome<()> {
    if let Some(max) = new.limits.keys_max {
        let query = "select count(*) from (select 1 from keys where org = ?1 and revoked_at is null
             and (expires_at is null or expires_at > ?2) limit ?3)";
        let bound = params![IdText::of(new.key.org), now.millis(), max];
        let living = row::first(sql, query, bound, |row| row::count(row, 0))?;
        within("living keys in this org", living, max)?;
    }
    for (above, max) in &new.limits.below {
        let query = "with recursive line (id) as (
                 select id from keys where parent = ?1
                 union select keys.id from keys join line on keys.parent = line.id)
             select count(*) from (select 1 from line join keys on keys.id = line.id
                 where revoked_at is null and (expires_at is null or expires_at > ?2) limit ?3)";
        let bound = params![IdText::of(*above), now.millis(), max];
        let living = row::first(sql, query, bound, |row| row::count(row, 0))?;
        within(
            "living keys below a key that is above this one",
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

/// Until when a mint is too old to be told from its repetition.
fn replay_horizon(now: Timestamp) -> i64 {
    now.minus(REPLAY_AGE_MAX).millis()
}

fn purge_replays(sql: &Connection, now: Timestamp) -> Outcome<()> {
    let statement = "delete from mint_replays where (org, actor, idempotency_key) in
         (select org, actor, idempotency_key from mint_replays
          where created_at <= ?1 order by created_at limit ?2)";
    row::run(
        sql,
        statement,
        params![replay_horizon(now), REPLAYS_PURGED_MAX],
    )?;
    Ok(())
}

fn require_first(
    sql: &Connection,
    new: &NewKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    let query = "select key_id, request from mint_replays
         where org = ?1 and actor = ?2 and idempotency_key = ?3 and created_at > ?4";
    let org = IdText::of(new.key.org);
    let actor = replay_actor(&new.key);
    let bound = params![org, actor, idempotency.key, replay_horizon(now)];
    let before = row::first(sql, query, bound, |row| {
        Ok(StoreError::Replayed {
            key: row::parsed(row, 0)?,
            is_same_request: row::blob(row, 1)? == idempotency.request,
        })
    })?;
    before.map_or(Ok(()), |replayed| Err(replayed.into()))
}

/// Whose idempotency key it is: a key by its id, for its label changes with its secret.
fn replay_actor(key: &OrgKey) -> String {
    let parent = key.parent().map(|id| id.to_string());
    parent.unwrap_or_else(|| key.minter.created_by.to_string())
}

fn keep_replay(
    sql: &Connection,
    new: &NewKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    // It may replace one that is too old and was not purged yet.
    let statement = "insert or replace into mint_replays
         (org, actor, idempotency_key, request, key_id, created_at)
         values (?1, ?2, ?3, ?4, ?5, ?6)";
    let bound = params![
        IdText::of(new.key.org),
        replay_actor(&new.key),
        idempotency.key,
        idempotency.request,
        IdText::of(new.key.id),
        now.millis(),
    ];
    row::run(sql, statement, bound)?;
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
