//! What a mint needs beside its row: a minter that is accepted, room, and to be the first of its kind.

use std::time::Duration;

use claviger_core::{id::KeyId, key::OrgKey, time::Timestamp};
use tokio_postgres::Row;

use super::{
    fault::{Fault, Outcome},
    keys::hold_live,
    rotations,
    row::{self, Columns},
    session::{Change, Params},
};
use crate::{Acting, Idempotency, NewKey, StoreError, labels_to_json, millis};

/// How long an idempotency key is remembered, and how many forgotten ones go at once.
const REPLAY_SPAN: Duration = Duration::from_hours(24);
const REPLAYS_PURGED_MAX: i64 = 100;

/// Inserts a key, in a transaction that has settled the bootstrap and holds the actor.
pub(super) async fn mint(change: &Change, key: &NewKey, acting: Acting) -> Outcome<()> {
    if let Some(parent) = key.key.parent() {
        // Nothing is minted below a revoked key: its revocation waits for us, or we for it.
        hold_live(change, parent, acting.now).await?;
        require_chain(change, parent, &key.key).await?;
    }
    require_room(change, key, acting.now).await?;
    if let Some(idempotency) = &key.idempotency {
        check_replay(change, &key.key, idempotency, acting.now).await?;
    }
    insert(change, key).await?;
    match &key.idempotency {
        Some(idempotency) => remember(change, &key.key, idempotency, acting.now).await,
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

/// Refuses a mint beyond a limit. No more are counted than the limit, so it costs no more. What the
/// limit belongs to is locked first: of two mints at once the second counts the first.
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
            "living keys in this org",
            change.row(sql, values).await?,
            max,
        )?;
    }
    for (above, max) in &new.limits.below {
        let id = above.to_string();
        let lock = "select pg_advisory_xact_lock(hashtextextended($1, 17))";
        change.row(lock, &[&id]).await?;
        let sql = "with recursive line (id) as ( \
                       select id from keys where parent = $1 \
                       union select keys.id from keys join line on keys.parent = line.id) \
                   select count(*) from (select 1 from line join keys on keys.id = line.id \
                       where revoked_at is null and (expires_at is null or expires_at > $2) \
                       limit $3) as living";
        let values: Params<'_> = &[&id, &now.millis(), &i64::from(*max)];
        let what = "living keys below a key that is above this one";
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

/// Whose idempotency key it is: a key by its id, for its label changes with its secret.
fn replay_actor(key: &OrgKey) -> String {
    let parent = key.parent().map(|id| id.to_string());
    parent.unwrap_or_else(|| key.minter.created_by.to_string())
}

/// Makes sure that the idempotency key was not used within a day.
async fn check_replay(
    change: &Change,
    key: &OrgKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    let sql = "select key_id, request from mint_replays \
               where org = $1 and actor = $2 and idempotency_key = $3 and created_at > $4";
    let (org, actor) = (key.org.to_string(), replay_actor(key));
    let since = now.minus(REPLAY_SPAN).millis();
    match change
        .row(sql, &[&org, &actor, &idempotency.key, &since])
        .await?
    {
        None => Ok(()),
        Some(row) => {
            let columns = Columns::of("mint_replays", &row);
            let is_same_request = columns.get::<&[u8]>("request")? == idempotency.request;
            let key = columns.parse("key_id")?;
            Err(StoreError::Replayed {
                key,
                is_same_request,
            }
            .into())
        }
    }
}

/// Keeps the idempotency key, and forgets some that are old.
async fn remember(
    change: &Change,
    key: &OrgKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    let (org, actor) = (key.org.to_string(), replay_actor(key));
    let since = now.minus(REPLAY_SPAN).millis();
    let sql = "insert into mint_replays (org, actor, idempotency_key, request, key_id, created_at) \
               values ($1, $2, $3, $4, $5, $6) \
               on conflict (org, actor, idempotency_key) do update set request = excluded.request, \
               key_id = excluded.key_id, created_at = excluded.created_at \
               where mint_replays.created_at <= $7";
    let (request, id) = (&idempotency.request[..], key.id.to_string());
    let count = change
        .execute(
            sql,
            &[
                &org,
                &actor,
                &idempotency.key,
                &request,
                &id,
                &now.millis(),
                &since,
            ],
        )
        .await?;
    if count == 0 {
        // Somebody was faster, and has committed: now that one can be read.
        check_replay(change, key, idempotency, now).await?;
        return Err(Fault::down("the idempotency key is in use"));
    }
    let sql = "delete from mint_replays where (org, actor, idempotency_key) in ( \
                   select org, actor, idempotency_key from mint_replays where created_at <= $1 \
                   order by created_at limit $2 for update skip locked)";
    change.execute(sql, &[&since, &REPLAYS_PURGED_MAX]).await?;
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
