//! Org API keys.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::{KeyStatus, OldSecret, OrgKey, Revocation},
    time::Timestamp,
};
use rusqlite::{Connection, params, types::Value};

use super::{
    Outcome, Sqlite, load, orgs, replays, rotations, row,
    row::{IdText, Query},
    writer::{Order, Tx},
};
use crate::{
    Acting, KeyChange, KeyFilter, KeySink, KeyStore, NewKey, NewSecretOfKey, Page, Recorder,
    Result, Revocations, Revoked, RevokedKey, Rotated, RotationEnd, StoreError, Written,
    labels_to_json,
};

#[async_trait]
impl KeyStore for Sqlite {
    async fn mint_key(
        &self,
        key: NewKey,
        acting: Acting,
        record: Recorder<OrgKey>,
    ) -> Result<Written<OrgKey>> {
        let work = move |tx: &mut Tx<'_>| {
            let is_first = close_bootstrap(tx.sql, key.key.created_at)?;
            mint(tx.sql, &key, acting, is_first)?;
            tx.written(key.key, record)
        };
        self.writer.change(Order::synced("mint a key"), work).await
    }

    async fn find_key(&self, org: OrgId, id: KeyId) -> Result<Option<OrgKey>> {
        self.read("find a key", move |sql| find(sql, org, id)).await
    }

    async fn list_keys(
        &self,
        org: OrgId,
        filter: KeyFilter,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        let query = select(org, filter, &page);
        self.read("list keys", move |sql| query.all(sql, row::key))
            .await
    }

    async fn change_key(
        &self,
        org: OrgId,
        id: KeyId,
        change: KeyChange,
        acting: Acting,
        record: Recorder<OrgKey>,
    ) -> Result<Written<OrgKey>> {
        let work = move |tx: &mut Tx<'_>| {
            require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let key = update(tx.sql, org, id, change)?;
            tx.written(key, record)
        };
        self.writer
            .change(Order::synced("change a key"), work)
            .await
    }

    async fn revoke_key(
        &self,
        org: OrgId,
        id: KeyId,
        end: Revocation,
        acting: Acting,
        record: Recorder<Revoked>,
    ) -> Result<Revocations> {
        let work = move |tx: &mut Tx<'_>| {
            require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let query = "select revoked_at from keys where org = ?1 and id = ?2";
            let bound = params![IdText::of(org), IdText::of(id)];
            match row::first(tx.sql, query, bound, |row| row::maybe_time(row, 0))? {
                None => Err(StoreError::NotFound("key").into()),
                Some(Some(at)) => Ok(Revocations::Before(revoked_before(tx.sql, id, at)?)),
                Some(None) => {
                    let revoked = revoke(tx.sql, id, &end)?;
                    tx.written(revoked, record).map(Revocations::Now)
                }
            }
        };
        self.writer
            .change(Order::synced("revoke a key"), work)
            .await
    }

    async fn rotate_key(
        &self,
        org: OrgId,
        id: KeyId,
        secret: NewSecretOfKey,
        acting: Acting,
        record: Recorder<Rotated>,
    ) -> Result<Written<Rotated>> {
        let work = move |tx: &mut Tx<'_>| {
            require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let rotated = rotations::rotate(tx.sql, org, id, &secret, acting)?;
            tx.written(rotated, record)
        };
        self.writer
            .change(Order::synced("rotate a key"), work)
            .await
    }

    async fn end_rotation(
        &self,
        org: OrgId,
        id: KeyId,
        end: RotationEnd,
        acting: Acting,
        record: Recorder<Rotated>,
    ) -> Result<Written<Rotated>> {
        let work = move |tx: &mut Tx<'_>| {
            require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let rotated = rotations::end(tx.sql, org, id, end, acting)?;
            tx.written(rotated, record)
        };
        self.writer
            .change(Order::synced("end a rotation"), work)
            .await
    }

    async fn load_old_secrets(&self, after: Timestamp) -> Result<Vec<(OldSecret, [u8; 32])>> {
        self.read("load the replaced secrets", move |sql| {
            rotations::load(sql, after)
        })
        .await
    }

    async fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Result<()> {
        let statement = "update keys set last_used_at = max(coalesce(last_used_at, 0), ?2)
             where id = ?1";
        let work = move |tx: &mut Tx<'_>| {
            for (id, at) in &used {
                row::run(tx.sql, statement, params![IdText::of(*id), at.millis()])?;
            }
            Ok(())
        };
        self.writer
            .change(Order::quick("keep when keys were last used"), work)
            .await
    }

    async fn load_keys(&self, dead_since: Timestamp, sink: KeySink) -> Result<u64> {
        let path = Arc::clone(&self.readers.path);
        self.read("load the keys", move |sql| {
            load::keys(sql, &path, dead_since, &sink)
        })
        .await
    }
}

/// Refuses a change on behalf of a key that is not accepted any more.
pub(super) fn require_actor(sql: &Connection, acting: Acting) -> Outcome<()> {
    match acting.key {
        Some(key) => require_live(sql, key, acting.now),
        None => Ok(()),
    }
}

fn require_live(sql: &Connection, key: KeyId, now: Timestamp) -> Outcome<()> {
    let query = "select 1 from keys where id = ?1 and revoked_at is null and suspended_at is null
         and (expires_at is null or expires_at > ?2)";
    match row::first(sql, query, params![IdText::of(key), now.millis()], |_| {
        Ok(())
    })? {
        Some(()) => Ok(()),
        None => Err(StoreError::ActorGone.into()),
    }
}

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
    if let Some(parent) = new.key.parent() {
        require_live(sql, parent, acting.now)?;
    }
    if let Some(idempotency) = &new.idempotency {
        replays::require_first(sql, new, idempotency, acting.now)?;
    }
    insert(sql, new)?;
    match &new.idempotency {
        Some(idempotency) => replays::keep(sql, new, idempotency, acting.now),
        None => Ok(()),
    }
}

fn insert(sql: &Connection, new: &NewKey) -> Outcome<()> {
    let key = &new.key;
    rotations::require_unused(sql, key.prefix.as_str())?;
    let statement = "insert into keys
         (id, org, name, prefix, digest, created_by, root, parent, chain, created_at, expires_at,
          not_before, grant_json, metadata)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
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

/// A key that is not revoked.
pub(super) fn require_living(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<OrgKey> {
    let key = find(sql, org, id)?.ok_or(StoreError::NotFound("key"))?;
    match key.revocation {
        Some(_) => Err(StoreError::Gone("key").into()),
        None => Ok(key),
    }
}

fn find(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<Option<OrgKey>> {
    let query = format!("select {} from keys where org = ?1 and id = ?2", row::KEY);
    row::first(
        sql,
        &query,
        params![IdText::of(org), IdText::of(id)],
        row::key,
    )
}

fn select(org: OrgId, filter: KeyFilter, page: &Page<KeyId>) -> Query {
    let select = format!("select {} from keys where org = ?", row::KEY);
    let mut query = Query::new(select, org.to_string());
    if let Some(after) = page.after {
        query.and("and id < ?", [after.to_string().into()]);
    }
    // `claviger_core::key::status` in SQL.
    let now = Value::Integer(filter.now.millis());
    query.and(
        "and case when revoked_at is not null then 'revoked'
                  when suspended_at is not null then 'suspended'
                  when expires_at <= ? then 'expired'
                  when not_before > ? then 'not_yet_valid'
                  else 'active' end",
        [now.clone(), now],
    );
    let marks = vec!["?"; filter.statuses.len()].join(", ");
    let words = filter
        .statuses
        .iter()
        .map(|status: &KeyStatus| status.as_str().to_owned().into());
    query.and(&format!("in ({marks})"), words);
    if let Some(text) = filter.text {
        // No `like`: then a text with `%` or `_` in it is found as it is written.
        query.and(
            "and (instr(lower(name), lower(?)) > 0 or instr(lower(prefix), lower(?)) > 0
                  or exists (select 1 from old_secrets where old_secrets.key_id = keys.id
                             and instr(lower(old_secrets.prefix), lower(?)) > 0))",
            [text.clone().into(), text.clone().into(), text.into()],
        );
    }
    if let Some(actor) = filter.created_by {
        query.and("and created_by = ?", [actor.into()]);
    }
    if let Some(workspace) = filter.workspace {
        // The binding is `"*"` or a list of ids; a selector by label is an object and matches neither.
        query.and(
            "and exists (select 1 from json_each(grant_json, '$.workspaces') as reached
                         where reached.value in ('*', ?))",
            [workspace.to_string().into()],
        );
    }
    query.and("order by id desc limit ?", [i64::from(page.limit).into()]);
    query
}

fn update(sql: &Connection, org: OrgId, id: KeyId, change: KeyChange) -> Outcome<OrgKey> {
    let key = find(sql, org, id)?.ok_or(StoreError::NotFound("key"))?;
    let key = change.apply(key)?;
    row::run(
        sql,
        "update keys set name = ?2, metadata = ?3, grant_json = ?4, not_before = ?5,
             expires_at = ?6, suspended_at = ?7 where id = ?1",
        params![
            IdText::of(id),
            key.name,
            labels_to_json(&key.metadata),
            key.grant.to_json(),
            key.grant.not_before.map(Timestamp::millis),
            key.expires_at.map(Timestamp::millis),
            key.suspended_at.map(Timestamp::millis),
        ],
    )?;
    Ok(key)
}

/// Ends the key and all that descend from it; what ended before keeps its own end.
fn revoke(sql: &Connection, id: KeyId, end: &Revocation) -> Outcome<Revoked> {
    let statement = "with recursive line (id) as (
             select ?1 union select keys.id from keys join line on keys.parent = line.id)
         update keys set revoked_at = ?2, revoked_by = ?3, revoked_reason = ?4
         where id in (select id from line) and revoked_at is null
         returning id, prefix, digest";
    let bound = params![
        IdText::of(id),
        end.at.millis(),
        end.by.to_string(),
        end.reason
    ];
    split(
        row::all(sql, statement, bound, row::revoked_key)?,
        id,
        end.at,
    )
}

/// What an earlier revocation came to.
fn revoked_before(sql: &Connection, id: KeyId, at: Timestamp) -> Outcome<Revoked> {
    let query = "with recursive line (id) as (
             select ?1 union select keys.id from keys join line on keys.parent = line.id)
         select id, prefix, digest from keys
         where id in (select id from line) and revoked_at = ?2";
    let bound = params![IdText::of(id), at.millis()];
    split(row::all(sql, query, bound, row::revoked_key)?, id, at)
}

/// Tells the key itself from its descendants.
fn split(mut all: Vec<RevokedKey<KeyId>>, id: KeyId, at: Timestamp) -> Outcome<Revoked> {
    let place = all
        .iter()
        .position(|key| key.id == id)
        .ok_or(StoreError::NotFound("key"))?;
    Ok(Revoked {
        key: all.swap_remove(place),
        at,
        descendants: all,
    })
}
