//! Lines of keys: what is above a key, what is below it, and what ends with it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use claviger_core::{
    delegation::can_live_on,
    id::{KeyId, OrgId},
    key::{OrgKey, Revocation},
    ledger::entry::Entry,
    time::Timestamp,
};

use super::{
    Postgres, commit_many,
    fault::Outcome,
    keys::{columns, find, require_actor},
    row::{self, Columns},
    session::{Change, Params, Session},
};
use crate::{
    Acting, Heir, Judge, KEYS_SELECTED_LIMIT, Line, LineStore, Page, Recorder, Result, Revocations,
    Revoked, RevokedKey, Selection, StoreError, Turn, Written, to_turn, within_selection,
};

#[async_trait]
impl LineStore for Postgres {
    async fn find_line(&self, org: OrgId, id: KeyId, page: Page<KeyId>) -> Result<Option<Line>> {
        self.read("find a line of keys", async {
            let session = self.sessions.session().await?;
            line(&session, org, id, &page).await
        })
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
        self.write("revoke a key", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let (key, before) = locked(&change, org, id).await?;
            let below = descendants(&change, &id.to_string()).await?;
            if let Some(at) = before {
                return Ok(Revocations::Before(revoked_before(key, below, at)));
            }
            let living = below.into_iter().filter(|(_, end)| end.is_none());
            let mut all: Vec<_> = living.map(|(key, _)| key).collect();
            all.push(key);
            let revoked = revoke(&change, id, all, &end).await?;
            Ok(Revocations::Now(
                commit_many(change, revoked, record).await?,
            ))
        })
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
        self.write("revoke a key and keep what it minted", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let (key, before) = locked(&change, org, id).await?;
            let below = descendants(&change, &id.to_string()).await?;
            if let Some(at) = before {
                return Ok(Revocations::Before(revoked_before(key, below, at)));
            }
            let heirs = leave(&change, org, id).await?;
            let mut revoked = revoke(&change, id, vec![key], &end).await?;
            revoked.heirs = heirs;
            Ok(Revocations::Now(
                commit_many(change, revoked, record).await?,
            ))
        })
        .await
    }

    async fn select_keys(&self, org: OrgId, selection: Selection) -> Result<Vec<OrgKey>> {
        self.read("select keys", async {
            let session = self.sessions.session().await?;
            selected(&session, org, &selection, false).await
        })
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
        self.write("suspend or resume keys", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let found = selected(&change, org, &selection, true).await?;
            let changed = to_turn(found, &judge, &turn)?;
            turn_all(&change, &changed).await?;
            commit_many(change, changed, record).await
        })
        .await
    }
}

async fn line(
    session: &Session,
    org: OrgId,
    id: KeyId,
    page: &Page<KeyId>,
) -> Outcome<Option<Line>> {
    let Some(key) = find(session, org, id).await? else {
        return Ok(None);
    };
    let mut above = Vec::new();
    for id in &key.minter.chain {
        above.extend(find(session, org, *id).await?);
    }
    let sql = concat!(
        "with recursive line (id) as (select id from keys where parent = $1 \
             union select below.id from line cross join lateral \
             (select id from keys where parent = line.id offset 0) as below) \
         select ",
        columns!(),
        " from keys where id = any(array(select id from line)) and ($2::text is null or id > $2) \
         order by id limit $3"
    );
    let after = page.after.map(|id| id.to_string());
    let values: Params<'_> = &[&id.to_string(), &after, &i64::from(page.limit)];
    let below = row::all(&session.rows(sql, values).await?, row::key)?;
    Ok(Some(Line { key, above, below }))
}

/// A key that is to be revoked, locked, and when it was revoked before.
async fn locked(
    change: &Change,
    org: OrgId,
    id: KeyId,
) -> Outcome<(RevokedKey<KeyId>, Option<Timestamp>)> {
    let sql = "select id, prefix, digest, revoked_at from keys \
               where org = $1 and id = $2 for update";
    let values: Params<'_> = &[&org.to_string(), &id.to_string()];
    let found = change.row(sql, values).await?;
    let found = found.ok_or(StoreError::NotFound("key"))?;
    let end = Columns::of("keys", &found).maybe_time("revoked_at")?;
    Ok((row::revoked("keys", &found)?, end))
}

/// What an earlier revocation came to.
fn revoked_before(
    key: RevokedKey<KeyId>,
    below: Vec<(RevokedKey<KeyId>, Option<Timestamp>)>,
    at: Timestamp,
) -> Revoked {
    let at_once = below.into_iter().filter(|(_, end)| *end == Some(at));
    Revoked {
        key,
        at,
        descendants: at_once.map(|(key, _)| key).collect(),
        heirs: Vec::new(),
    }
}

/// Ends these keys, which are locked.
async fn revoke(
    change: &Change,
    id: KeyId,
    all: Vec<RevokedKey<KeyId>>,
    end: &Revocation,
) -> Outcome<Revoked> {
    let ids: Vec<String> = all.iter().map(|key| key.id.to_string()).collect();
    let sql = "update keys set revoked_at = $2, revoked_by = $3, revoked_reason = $4 \
               where id = any($1::text[])";
    let values: Params<'_> = &[&ids, &end.at.millis(), &end.by.to_string(), &end.reason];
    change.execute(sql, values).await?;
    split(all, id, end.at)
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
/// stands under it any more. Gives those that live. All of them are locked.
async fn leave(change: &Change, org: OrgId, id: KeyId) -> Outcome<Vec<Heir>> {
    let key = find(change, org, id)
        .await?
        .ok_or(StoreError::NotFound("key"))?;
    if key.suspension.is_some() {
        // What it minted does not work now, and is not to work again by its end.
        return Err(StoreError::Stale("key").into());
    }
    let heir = match key.parent() {
        Some(parent) => find(change, org, parent).await?,
        None => None,
    };
    let sql = concat!(
        "with recursive line (id) as (select id from keys where parent = $1 \
             union select below.id from line cross join lateral \
             (select id from keys where parent = line.id offset 0) as below) \
         select ",
        columns!(),
        " from keys where id = any(array(select id from line)) and revoked_at is null"
    );
    let below = row::all(&change.rows(sql, &[&id.to_string()]).await?, row::key)?;
    for child in below.iter().filter(|child| child.parent() == Some(id)) {
        can_live_on(child, &key, heir.as_ref()).map_err(|field| StoreError::NoHeir {
            child: child.id,
            field,
        })?;
    }
    let heirs: Vec<_> = below
        .iter()
        .map(|child| {
            let chain = child.minter.chain.iter().copied();
            Heir {
                id: child.id,
                chain: chain.filter(|above| *above != id).collect(),
            }
        })
        .collect();
    let ids: Vec<String> = heirs.iter().map(|heir| heir.id.to_string()).collect();
    let parents: Vec<Option<String>> = heirs
        .iter()
        .map(|heir| heir.chain.first().map(ToString::to_string))
        .collect();
    let chains: Vec<String> = heirs
        .iter()
        .map(|heir| row::chain_text(&heir.chain))
        .collect();
    let sql = "update keys set parent = heir.parent, chain = heir.chain \
               from unnest($1::text[], $2::text[], $3::text[]) as heir (id, parent, chain) \
               where keys.id = heir.id";
    change.execute(sql, &[&ids, &parents, &chains]).await?;
    leave_tokens(change, org, id).await?;
    Ok(heirs)
}

/// Takes a key out of the chains of workspace tokens that those below it made. Its own go with it.
async fn leave_tokens(change: &Change, org: OrgId, id: KeyId) -> Outcome<()> {
    let sql = "update workspace_tokens set chain = replace(chain, ' ' || $2, '') \
               where org = $1 and revoked_at is null and position(' ' || $2 in chain) > 0";
    let values: Params<'_> = &[&org.to_string(), &id.to_string()];
    change.execute(sql, values).await?;
    Ok(())
}

/// The conditions of a selection that hold for each key by itself.
macro_rules! each_condition {
    () => {
        " revoked_at is null \
         and ($3::text is null or created_by = $3) \
         and ($4 = '{}' or metadata::jsonb @> $4::text::jsonb) \
         and ($5::bigint is null or created_at >= $5) \
         and ($6::bigint is null or suspended_at >= $6) \
         and ($7::text is null or suspended_by = $7) \
         and ($8::bool is null or (suspended_at is not null) = $8) order by id limit $9"
    };
}

/// What a selection finds; locked until the end of the change if that is asked for.
async fn selected(
    session: &Session,
    org: OrgId,
    selection: &Selection,
    is_locked: bool,
) -> Outcome<Vec<OrgKey>> {
    let below = concat!(
        "with recursive line (id) as (select id from keys where id = any($2::text[]) \
             union select below.id from line cross join lateral \
             (select id from keys where parent = line.id offset 0) as below) \
         select ",
        columns!(),
        " from keys where org = $1 and id = any(array(select id from line)) and",
        each_condition!()
    );
    let below_locked = concat!(
        "with recursive line (id) as (select id from keys where id = any($2::text[]) \
             union select below.id from line cross join lateral \
             (select id from keys where parent = line.id offset 0) as below) \
         select ",
        columns!(),
        " from keys where org = $1 and id = any(array(select id from line)) and",
        each_condition!(),
        " for update"
    );
    let all = concat!(
        "select ",
        columns!(),
        " from keys where org = $1 and cardinality($2::text[]) = 0 and",
        each_condition!()
    );
    let all_locked = concat!(
        "select ",
        columns!(),
        " from keys where org = $1 and cardinality($2::text[]) = 0 and",
        each_condition!(),
        " for update"
    );
    let sql = match (selection.under.is_empty(), is_locked) {
        (true, false) => all,
        (true, true) => all_locked,
        (false, false) => below,
        (false, true) => below_locked,
    };
    let under: Vec<String> = selection.under.iter().map(ToString::to_string).collect();
    let values: Params<'_> = &[
        &org.to_string(),
        &under,
        &selection.created_by,
        &crate::labels_to_json(&selection.metadata),
        &selection.minted_since.map(Timestamp::millis),
        &selection.suspended_since.map(Timestamp::millis),
        &selection.suspended_by,
        &selection.is_suspended,
        &KEYS_SELECTED_LIMIT,
    ];
    let found = row::all(&session.rows(sql, values).await?, row::key)?;
    Ok(within_selection(found)?)
}

/// Writes the stops of these keys, which are all the same.
async fn turn_all(change: &Change, keys: &[OrgKey]) -> Outcome<()> {
    let Some(first) = keys.first() else {
        return Ok(());
    };
    let stop = first.suspension.as_ref();
    let sql = "update keys set suspended_at = $2, suspended_by = $3, suspended_reason = $4, \
               resumed_at = coalesce($5, resumed_at) where id = any($1::text[])";
    let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
    let resumed = first.resumed_at.filter(|_| stop.is_none());
    let values: Params<'_> = &[
        &ids,
        &stop.map(|stop| stop.at.millis()),
        &stop.map(|stop| stop.by.to_string()),
        &stop.and_then(|stop| stop.reason.as_deref()),
        &resumed.map(Timestamp::millis),
    ];
    change.execute(sql, values).await?;
    Ok(())
}

/// The descendants of a locked key, and when each was revoked. Every generation is locked before the
/// next is read, so a mint below one of them has either been committed, and its key is found, or
/// waits for us, and then finds its parent revoked.
async fn descendants(
    change: &Change,
    id: &str,
) -> Outcome<Vec<(RevokedKey<KeyId>, Option<Timestamp>)>> {
    let sql = "select id, prefix, digest, revoked_at from keys where parent = any($1::text[]) \
               for update";
    // Many parents with many children look to the planner like a reason to read the whole table.
    change.batch("set local enable_seqscan = off").await?;
    let mut parents = vec![id.to_owned()];
    let mut found = BTreeMap::new();
    while !parents.is_empty() {
        let rows = change.rows(sql, &[&parents]).await?;
        parents.clear();
        for row in &rows {
            let key: RevokedKey<KeyId> = row::revoked("keys", row)?;
            let end = Columns::of("keys", row).maybe_time("revoked_at")?;
            // Nothing descends from itself; if a row says so, that must not keep it alive.
            if !found.contains_key(&key.id) {
                parents.push(key.id.to_string());
            }
            found.insert(key.id, (key, end));
        }
    }
    Ok(found.into_values().collect())
}
