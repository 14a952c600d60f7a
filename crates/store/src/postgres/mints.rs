//! What a mint needs beside its row: a minter that is accepted, room, and to be the first of its kind.

use claviger_core::{id::KeyId, key::OrgKey, tier::Actor, time::Timestamp};
use tokio_postgres::Row;

use super::{
    Postgres,
    fault::Outcome,
    keys::{hold_live, require_actor},
    people, replays, rotations,
    row::{self, Columns},
    session::{Change, Params},
};
use crate::{Acting, NewKey, StoreError, labels_to_json, millis};

/// Closes the bootstrap for good, and says whether this was the first to do so. The first thing of a
/// change, before the fence: a lock for reading could not be made one for writing by two at once.
pub(super) async fn close_bootstrap(
    store: &Postgres,
    change: &Change,
    at: Timestamp,
) -> Outcome<bool> {
    let sql = "update deployment set bootstrap_closed_at = $1 \
               where one = 1 and generation = $2 and bootstrap_closed_at is null";
    let own = store.sessions.fence().generation();
    let count = change.execute(sql, &[&at.millis(), &own]).await?;
    store.sessions.check_fence(change).await?;
    Ok(count == 1)
}

/// Mints, for a key or by collection of one that was approved.
pub(super) async fn mint(
    change: &Change,
    new: &NewKey,
    acting: Acting,
    is_first: bool,
) -> Outcome<()> {
    let key = &new.key;
    require_actor(change, key.org, acting).await?;
    if new.is_bootstrap && !is_first {
        return Err(StoreError::BootstrapClosed.into());
    }
    // Before the keys above, as by whoever removes the person.
    if let Actor::Session(person) = &key.minter.root {
        people::hold_active(change, key.org, person).await?;
    }
    if let Some(parent) = key.parent() {
        // Nothing is minted below a revoked key: its revocation waits for us, or we for it.
        hold_live(change, parent, acting.now).await?;
        require_chain(change, parent, key).await?;
    }
    require_room(change, new, acting.now).await?;
    if let Some(idempotency) = &new.idempotency {
        replays::require_first(change, key, idempotency, acting.now).await?;
    }
    insert(change, new).await?;
    match &new.idempotency {
        Some(idempotency) => replays::keep(change, key, idempotency, acting.now).await,
        None => Ok(()),
    }
}

/// The keys above the minter are those that the new key was told of.
async fn require_chain(change: &Change, parent: KeyId, new: &OrgKey) -> Outcome<()> {
    let above = new.minter.chain.get(1..).unwrap_or_default();
    let sql = "select 1 from keys where id = $1 and chain = $2";
    let values: Params<'_> = &[&parent.to_string(), &row::chain_text(above)];
    match change.row(sql, values).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Stale("minter").into()),
    }
}

/// Refuses a mint beyond a limit. Only living keys are walked; what is below a dead one is dead. What
/// the limit belongs to is locked first: of two mints at once the second counts the first.
async fn require_room(change: &Change, new: &NewKey, now: Timestamp) -> Outcome<()> {
    if let Some(max) = new.limits.keys_max {
        let org = new.key.org.to_string();
        // Not the org's own row: everybody holds that for reading, and two would wait for each other.
        let lock = "select pg_advisory_xact_lock(hashtextextended($1, 17))";
        change.row(lock, &[&org]).await?;
        let sql = "select count(*) from (select 1 from keys where org = $1 and revoked_at is null \
                   and (expires_at is null or expires_at > $2) limit $3) as living";
        let values: Params<'_> = &[&org, &now.millis(), &i64::from(max)];
        within(
            "living keys in this org (`keys_max` of its policy)",
            change.row(sql, values).await?,
            max,
        )?;
    }
    for (above, max) in &new.limits.below {
        let id = above.to_string();
        let lock = "select pg_advisory_xact_lock(hashtextextended($1, 17))";
        change.row(lock, &[&id]).await?;
        let sql = "with recursive line (id) as ( \
                       select id from keys where parent = $1 and revoked_at is null \
                       and (expires_at is null or expires_at > $2) \
                       union select below.id from line cross join lateral ( \
                           select id from keys where parent = line.id and revoked_at is null \
                           and (expires_at is null or expires_at > $2) offset 0) as below) \
                   select count(*) from (select 1 from line limit $3) as living";
        let values: Params<'_> = &[&id, &now.millis(), &i64::from(*max)];
        let what = "living keys below a key above this one (its `delegation.keys`)";
        within(what, change.row(sql, values).await?, *max)?;
    }
    Ok(())
}

fn within(what: &'static str, living: Option<Row>, max: u32) -> Outcome<()> {
    let max = u64::from(max);
    let living = living.map(|row| Columns::of("keys", &row).count("count"));
    if living.transpose()?.is_some_and(|living| living >= max) {
        return Err(StoreError::LimitReached { what, max }.into());
    }
    Ok(())
}

async fn insert(change: &Change, new: &NewKey) -> Outcome<()> {
    let key = &new.key;
    rotations::require_unused(change, key.prefix.as_str()).await?;
    let sql = "insert into keys (id, org, name, prefix, digest, created_by, root, parent, chain, \
               created_at, expires_at, not_before, grant_json, metadata, secret_since, \
               rotate_every, rotation_due_at) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
               on conflict do nothing";
    let count = change
        .execute(
            sql,
            &[
                &key.id.to_string(),
                &key.org.to_string(),
                &key.name,
                &key.prefix.as_str(),
                &&new.digest[..],
                &key.minter.created_by.to_string(),
                &key.minter.root.to_string(),
                &key.minter.chain.first().map(ToString::to_string),
                &row::chain_text(&key.minter.chain),
                &key.created_at.millis(),
                &key.expires_at.map(Timestamp::millis),
                &key.grant.not_before.map(Timestamp::millis),
                &key.grant.to_json(),
                &labels_to_json(&key.metadata),
                &key.secret.since.millis(),
                &key.rotate_every.map(millis),
                &key.rotation_due_at().map(Timestamp::millis),
            ],
        )
        .await?;
    if count == 1 {
        return Ok(());
    }
    // A secret that was drawn twice has the prefix of the other as well.
    let sql = "select 1 from keys where prefix = $1 or digest = $2";
    match change
        .row(sql, &[&key.prefix.as_str(), &&new.digest[..]])
        .await?
    {
        Some(_) => Err(StoreError::PrefixTaken.into()),
        None => Err(StoreError::Exists("key").into()),
    }
}
