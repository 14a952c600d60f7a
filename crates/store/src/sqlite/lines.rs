//! Lines of keys: what is above a key, what is below it, and what ends with it.

use async_trait::async_trait;
use claviger_core::{
    delegation::can_live_on,
    id::{KeyId, OrgId},
    key::{OrgKey, Revocation},
    ledger::entry::Entry,
    time::Timestamp,
};
use rusqlite::{Connection, params, types::Value};

use super::{
    Outcome, Sqlite,
    keys::{find, require_actor},
    orgs, row,
    row::{IdText, Query},
    writer::{Order, Tx},
};
use crate::{
    Acting, Heir, Judge, KEYS_SELECTED_LIMIT, Line, LineStore, Page, Recorder, Result, Revocations,
    Revoked, RevokedKey, Selection, StoreError, Turn, Written, to_turn, within_selection,
};

#[async_trait]
impl LineStore for Sqlite {
    async fn find_line(&self, org: OrgId, id: KeyId, page: Page<KeyId>) -> Result<Option<Line>> {
        self.read("find a line of keys", move |sql| line(sql, org, id, &page))
            .await
    }

    async fn revoke_key(
        &self,
        org: OrgId,
        id: KeyId,
        end: Revocation,
        acting: Acting,
        record: Recorder<Revoked, Vec<Entry>>,
    ) -> Result<Revocations> {
        let work = move |tx: &mut Tx<'_>| {
            if let Some(before) = revoked_before(tx.sql, (org, id), acting)? {
                return Ok(Revocations::Before(before));
            }
            let revoked = revoke(tx.sql, id, &end)?;
            tx.written_many(revoked, record).map(Revocations::Now)
        };
        self.writer
            .change(Order::synced("revoke a key"), work)
            .await
    }

    async fn revoke_key_alone(
        &self,
        org: OrgId,
        id: KeyId,
        end: Revocation,
        acting: Acting,
        record: Recorder<Revoked, Vec<Entry>>,
    ) -> Result<Revocations> {
        let work = move |tx: &mut Tx<'_>| {
            if let Some(before) = revoked_before(tx.sql, (org, id), acting)? {
                return Ok(Revocations::Before(before));
            }
            let heirs = leave(tx.sql, org, id)?;
            let mut revoked = revoke(tx.sql, id, &end)?;
            revoked.heirs = heirs;
            tx.written_many(revoked, record).map(Revocations::Now)
        };
        self.writer
            .change(Order::synced("revoke a key and keep what it minted"), work)
            .await
    }

    async fn select_keys(&self, org: OrgId, selection: Selection) -> Result<Vec<OrgKey>> {
        self.read("select keys", move |sql| selected(sql, org, &selection))
            .await
    }

    async fn turn_keys(
        &self,
        org: OrgId,
        (selection, judge): (Selection, Judge),
        turn: Turn,
        acting: Acting,
        record: Recorder<Vec<OrgKey>, Vec<Entry>>,
    ) -> Result<Written<Vec<OrgKey>>> {
        let work = move |tx: &mut Tx<'_>| {
            require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let found = selected(tx.sql, org, &selection)?;
            let changed = to_turn(found, &judge, &turn)?;
            turn_all(tx.sql, &changed)?;
            tx.written_many(changed, record)
        };
        self.writer
            .change(Order::synced("suspend or resume keys"), work)
            .await
    }
}

fn line(sql: &Connection, org: OrgId, id: KeyId, page: &Page<KeyId>) -> Outcome<Option<Line>> {
    let Some(key) = find(sql, org, id)? else {
        return Ok(None);
    };
    let mut above = Vec::new();
    for id in &key.minter.chain {
        above.extend(find(sql, org, *id)?);
    }
    let start = format!(
        "with recursive line (id) as (select id from keys where parent = ?
             union select keys.id from keys join line on keys.parent = line.id)
         select {} from keys where id in (select id from line)",
        row::KEY
    );
    let mut query = Query::new(start, id.to_string());
    if let Some(after) = page.after {
        query.and("and id > ?", [after.to_string().into()]);
    }
    query.and("order by id limit ?", [i64::from(page.limit).into()]);
    let below = query.all(sql, row::key)?;
    Ok(Some(Line { key, above, below }))
}

/// Checks that a key may be revoked on somebody's behalf; gives what an earlier revocation came to.
fn revoked_before(
    sql: &Connection,
    (org, id): (OrgId, KeyId),
    acting: Acting,
) -> Outcome<Option<Revoked>> {
    require_actor(sql, acting)?;
    orgs::require(sql, org)?;
    let query = "select revoked_at from keys where org = ?1 and id = ?2";
    let bound = params![IdText::of(org), IdText::of(id)];
    let found = row::first(sql, query, bound, |row| row::maybe_time(row, 0))?;
    let Some(at) = found.ok_or(StoreError::NotFound("key"))? else {
        return Ok(None);
    };
    let query = "with recursive line (id) as (
             select ?1 union select keys.id from keys join line on keys.parent = line.id)
         select id, prefix, digest from keys
         where id in (select id from line) and revoked_at = ?2";
    let bound = params![IdText::of(id), at.millis()];
    let all = row::all(sql, query, bound, row::revoked_key)?;
    split(all, id, at).map(Some)
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
        heirs: Vec::new(),
    })
}

/// Takes a key out of the line: its children get the key above it for a parent, and nobody below
/// stands under it any more. Gives those that live.
fn leave(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<Vec<Heir>> {
    let key = find(sql, org, id)?.ok_or(StoreError::NotFound("key"))?;
    if key.suspension.is_some() {
        // What it minted does not work now, and is not to work again by its end.
        return Err(StoreError::Stale("key").into());
    }
    let heir = match key.parent() {
        Some(parent) => find(sql, org, parent)?,
        None => None,
    };
    let query = format!(
        "with recursive line (id) as (select id from keys where parent = ?1
             union select keys.id from keys join line on keys.parent = line.id)
         select {} from keys where id in (select id from line)",
        row::KEY
    );
    let below = row::all(sql, &query, params![IdText::of(id)], row::key)?;
    let living = |child: &&OrgKey| child.revocation.is_none();
    for child in below.iter().filter(living) {
        if child.parent() == Some(id) {
            can_live_on(child, &key, heir.as_ref()).map_err(|field| StoreError::NoHeir {
                child: child.id,
                field,
            })?;
        }
    }
    let mut heirs = Vec::new();
    for child in below.iter().filter(living) {
        let chain: Vec<_> = child
            .minter
            .chain
            .iter()
            .copied()
            .filter(|above| *above != id)
            .collect();
        let statement = "update keys set parent = ?2, chain = ?3 where id = ?1";
        let parent = chain.first().copied().map(IdText::of);
        let bound = params![IdText::of(child.id), parent, row::chain_text(&chain)];
        row::run(sql, statement, bound)?;
        heirs.push(Heir {
            id: child.id,
            chain,
        });
    }
    leave_tokens(sql, org, id)?;
    Ok(heirs)
}

/// Takes a key out of the chains of workspace tokens that those below it made. Its own go with it.
fn leave_tokens(sql: &Connection, org: OrgId, id: KeyId) -> Outcome<()> {
    let statement = "update workspace_tokens set chain = replace(chain, ' ' || ?2, '')
         where org = ?1 and revoked_at is null and instr(chain, ' ' || ?2) > 0";
    row::run(sql, statement, params![IdText::of(org), IdText::of(id)])?;
    Ok(())
}

fn selected(sql: &Connection, org: OrgId, selection: &Selection) -> Outcome<Vec<OrgKey>> {
    let start = format!(
        "select {} from keys where org = ? and revoked_at is null",
        row::KEY
    );
    let mut query = Query::new(start, org.to_string());
    if !selection.under.is_empty() {
        query.and(
            "and id in (with recursive line (id) as (
                 select value from json_each(?)
                 union select keys.id from keys join line on keys.parent = line.id)
             select id from line)",
            [id_list(&selection.under).into()],
        );
    }
    if let Some(actor) = &selection.created_by {
        query.and("and created_by = ?", [actor.clone().into()]);
    }
    for (name, value) in &selection.metadata {
        query.and(
            "and exists (select 1 from json_each(metadata) as pair
                 where pair.key = ? and pair.value = ?)",
            [name.clone().into(), value.clone().into()],
        );
    }
    if let Some(since) = selection.minted_since {
        query.and("and created_at >= ?", [Value::Integer(since.millis())]);
    }
    if let Some(since) = selection.suspended_since {
        query.and("and suspended_at >= ?", [Value::Integer(since.millis())]);
    }
    if let Some(actor) = &selection.suspended_by {
        query.and("and suspended_by = ?", [actor.clone().into()]);
    }
    match selection.is_suspended {
        Some(true) => query.and("and suspended_at is not null", []),
        Some(false) => query.and("and suspended_at is null", []),
        None => &mut query,
    };
    query.and("order by id limit ?", [KEYS_SELECTED_LIMIT.into()]);
    Ok(within_selection(query.all(sql, row::key)?)?)
}

/// Writes the stops of these keys, which are all the same.
fn turn_all(sql: &Connection, keys: &[OrgKey]) -> Outcome<()> {
    let Some(first) = keys.first() else {
        return Ok(());
    };
    let stop = first.suspension.as_ref();
    let statement = "update keys set suspended_at = ?2, suspended_by = ?3, suspended_reason = ?4,
             resumed_at = coalesce(?5, resumed_at)
         where id in (select value from json_each(?1))";
    let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
    let resumed = first.resumed_at.filter(|_| stop.is_none());
    let bound = params![
        id_list(&ids),
        stop.map(|stop| stop.at.millis()),
        stop.map(|stop| stop.by.to_string()),
        stop.and_then(|stop| stop.reason.as_deref()),
        resumed.map(Timestamp::millis),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Ids as a list in JSON.
fn id_list(ids: &[KeyId]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    serde_json::to_string(&ids).unwrap_or_default()
}
