//! Org API keys.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::{KeyStatus, OldSecret, OrgKey},
    time::Timestamp,
    token::Prefix,
};
use rusqlite::{Connection, params, types::Value};

use super::{
    Outcome, Sqlite, browsers, load, mints, orgs, rotations, row,
    row::{IdText, Query},
    writer::{Order, Tx},
};
use crate::{
    Acting, KeyChange, KeyFilter, KeySink, KeyStore, NewKey, NewSecretOfKey, Page, Recorder,
    Result, Rotated, RotationEnd, SecretUse, StoreError, Written, labels_to_json, millis,
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
            let is_first = mints::close_bootstrap(tx.sql, key.key.created_at)?;
            mints::mint(tx.sql, &key, acting, is_first)?;
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

    async fn start_overlap(&self, old: (Prefix, Timestamp), ends_at: Timestamp) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| rotations::start_overlap(tx.sql, old, ends_at);
        self.writer
            .change(Order::synced("start the clock of a rotation"), work)
            .await
    }

    async fn touch_keys(&self, used: Vec<SecretUse>) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| used.iter().try_for_each(|one| touch(tx.sql, one));
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

/// Keeps a use: with the key, and with the secret that it was of, if it was of one.
fn touch(sql: &Connection, used: &SecretUse) -> Outcome<()> {
    let from = used.from.map(|from| from.to_string());
    let at = used.at.millis();
    let statement = "update keys set last_used_at = ?2, last_used_from = ?3
         where id = ?1 and coalesce(last_used_at, 0) < ?2";
    row::run(sql, statement, params![IdText::of(used.key), at, from])?;
    let Some(prefix) = used.prefix else {
        return Ok(());
    };
    let prefix = prefix.as_str();
    let statement = "update keys set secret_used_at = ?2, secret_used_from = ?3
         where id = ?1 and prefix = ?4 and coalesce(secret_used_at, 0) < ?2";
    let bound = params![IdText::of(used.key), at, from, prefix];
    if row::run(sql, statement, bound)? == 0 {
        let statement = "update old_secrets set used_at = ?2, used_from = ?3
             where prefix = ?1 and coalesce(used_at, 0) < ?2";
        row::run(sql, statement, params![prefix, at, from])?;
    }
    Ok(())
}

/// Refuses a change on behalf of a key that is not accepted any more.
pub(super) fn require_actor(sql: &Connection, acting: Acting) -> Outcome<()> {
    if let Some(session) = acting.session {
        browsers::hold(sql, session, acting.now)?;
    }
    match acting.key {
        Some(key) => hold_live(sql, key, acting.now),
        None => Ok(()),
    }
}

/// Refuses a key that is not accepted.
pub(super) fn hold_live(sql: &Connection, key: KeyId, now: Timestamp) -> Outcome<()> {
    let query = "select 1 from keys where id = ?1 and revoked_at is null and suspended_at is null
         and (expires_at is null or expires_at > ?2)";
    match row::first(sql, query, params![IdText::of(key), now.millis()], |_| {
        Ok(())
    })? {
        Some(()) => Ok(()),
        None => Err(StoreError::ActorGone.into()),
    }
}

/// A key.
pub(super) fn find(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<Option<OrgKey>> {
    let query = format!("select {} from keys where org = ?1 and id = ?2", row::KEY);
    row::first(
        sql,
        &query,
        params![IdText::of(org), IdText::of(id)],
        row::key,
    )
}

/// A key, locked until the end of the change: here the transaction is the lock.
pub(super) fn find_locked(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<Option<OrgKey>> {
    find(sql, org, id)
}

/// A key that is not revoked.
pub(super) fn require_living(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<OrgKey> {
    let key = find(sql, org, id)?.ok_or(StoreError::NotFound("key"))?;
    match key.revocation {
        Some(_) => Err(StoreError::Gone("key").into()),
        None => Ok(key),
    }
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
    if let Some(before) = filter.expires_before {
        query.and("and expires_at < ?", [before.millis().into()]);
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

/// Changes a key that is not revoked.
pub(super) fn update(
    sql: &Connection,
    org: OrgId,
    id: KeyId,
    change: KeyChange,
) -> Outcome<OrgKey> {
    let key = find(sql, org, id)?.ok_or(StoreError::NotFound("key"))?;
    let key = change.apply(key)?;
    let stop = key.suspension.as_ref();
    row::run(
        sql,
        "update keys set name = ?2, metadata = ?3, grant_json = ?4, not_before = ?5,
             expires_at = ?6, suspended_at = ?7, suspended_by = ?8, suspended_reason = ?9,
             resumed_at = ?10, rotate_every = ?11, rotation_due_at = ?12 where id = ?1",
        params![
            IdText::of(id),
            key.name,
            labels_to_json(&key.metadata),
            key.grant.to_json(),
            key.grant.not_before.map(Timestamp::millis),
            key.expires_at.map(Timestamp::millis),
            stop.map(|stop| stop.at.millis()),
            stop.map(|stop| stop.by.to_string()),
            stop.and_then(|stop| stop.reason.as_deref()),
            key.resumed_at.map(Timestamp::millis),
            key.rotate_every.map(millis),
            key.rotation_due_at().map(Timestamp::millis),
        ],
    )?;
    Ok(key)
}
