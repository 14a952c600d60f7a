//! Idempotency keys: what makes a repeated mint recognisable.

use std::time::Duration;

use claviger_core::{key::OrgKey, time::Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, row, row::IdText};
use crate::{Idempotency, NewKey, StoreError};

/// How long a mint can be told from its repetition.
const REPLAY_AGE_MAX: Duration = Duration::from_hours(24);

/// How many expired idempotency keys a mint clears away.
const REPLAYS_PURGED_MAX: u32 = 100;

/// Until when a mint is too old to be told from its repetition.
fn replay_horizon(now: Timestamp) -> i64 {
    now.minus(REPLAY_AGE_MAX).millis()
}

fn purge(sql: &Connection, now: Timestamp) -> Outcome<()> {
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

/// Makes sure that the idempotency key was not used within a day.
pub(super) fn require_first(
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

/// Keeps the idempotency key, and forgets some that are old.
pub(super) fn keep(
    sql: &Connection,
    new: &NewKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    purge(sql, now)?;
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
