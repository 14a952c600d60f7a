//! Org API keys.

use std::collections::BTreeMap;

use super::{
    Postgres, commit,
    fault::Outcome,
    load::{self, LOAD_MAX},
    orgs, replays, rotations,
    row::{self, Columns},
    session::{Change, Params},
};
use crate::{
    Acting, KeyChange, KeyFilter, KeySink, KeyStore, NewKey, NewSecretOfKey, Page, Recorder,
    Result, Revocations, Revoked, RevokedKey, Rotated, RotationEnd, StoreError, Written,
    labels_to_json,
};
use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::{OldSecret, OrgKey, Revocation},
    time::Timestamp,
};

macro_rules! columns {
    () => {
        "id, org, name, prefix, created_by, root, chain, created_at, expires_at, grant_json, metadata, \
         suspended_at, revoked_at, revoked_by, revoked_reason, last_used_at"
    };
}

/// How many keys are touched at once.
const TOUCHED_MAX: usize = 2000;

#[async_trait]
impl KeyStore for Postgres {
    async fn mint_key(
        &self,
        key: NewKey,
        acting: Acting,
        record: Recorder<OrgKey>,
    ) -> Result<Written<OrgKey>> {
        self.write("mint a key", async move {
            let change = self.sessions.begin_unfenced().await?;
            let is_first = close_bootstrap(self, &change, key.key.created_at).await?;
            mint(&change, &key, acting, is_first).await?;
            commit(change, key.key, record).await
        })
        .await
    }

    async fn find_key(&self, org: OrgId, id: KeyId) -> Result<Option<OrgKey>> {
        self.read("find a key", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where org = $1 and id = $2"
            );
            let found = session
                .row(sql, &[&org.to_string(), &id.to_string()])
                .await?;
            Ok(found.as_ref().map(row::key).transpose()?)
        })
        .await
    }

    async fn list_keys(
        &self,
        org: OrgId,
        filter: KeyFilter,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        self.read("list keys", async {
            let session = self.sessions.session().await?;
            // In the collation "C", `lower` knows the letters of ASCII and no others.
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where org = $1 and id < coalesce($2::text, '~') \
                 and case when revoked_at is not null then 'revoked' \
                     when suspended_at is not null then 'suspended' \
                     when expires_at <= $4 then 'expired' \
                     when not_before > $4 then 'not_yet_valid' \
                     else 'active' end = any($3::text[]) \
                 and ($5::text is null \
                     or position(lower($5 collate \"C\") in lower(name collate \"C\")) > 0 \
                     or position(lower($5 collate \"C\") in lower(prefix collate \"C\")) > 0 \
                     or exists (select 1 from old_secrets where old_secrets.key_id = keys.id \
                         and position(lower($5 collate \"C\") in lower(old_secrets.prefix collate \"C\")) > 0)) \
                 and ($6::text is null or created_by = $6) \
                 and ($7::text is null or case jsonb_typeof(grant_json::jsonb -> 'workspaces') \
                     when 'string' then grant_json::jsonb ->> 'workspaces' = '*' \
                     when 'array' then (grant_json::jsonb -> 'workspaces') ? $7 \
                     else false end) \
                 order by id desc limit $8"
            );
            let statuses: Vec<_> = filter
                .statuses
                .iter()
                .map(|status| status.as_str())
                .collect();
            let rows = session
                .rows(
                    sql,
                    &[
                        &org.to_string(),
                        &page.after.map(|id| id.to_string()),
                        &statuses,
                        &filter.now.millis(),
                        &filter.text,
                        &filter.created_by,
                        &filter.workspace.map(|id| id.to_string()),
                        &i64::from(page.limit),
                    ],
                )
                .await?;
            Ok(row::all(&rows, row::key)?)
        })
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
        self.write("change a key", async move {
            // Alone, for a key may change itself: two would wait for each other's lock for reading.
            let _alone = self.many.lock().await;
            let tx = self.sessions.begin().await?;
            require_actor(&tx, org, acting).await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where org = $1 and id = $2 for update"
            );
            let found = tx.row(sql, &[&org.to_string(), &id.to_string()]).await?;
            let found = found.ok_or(StoreError::NotFound("key"))?;
            let key = change.apply(row::key(&found)?)?;
            update(&tx, &key).await?;
            commit(tx, key, record).await
        })
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
        self.write("revoke a key", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let id = id.to_string();
            let sql = "select id, prefix, digest, revoked_at from keys \
                       where org = $1 and id = $2 for update";
            let found = change.row(sql, &[&org.to_string(), &id]).await?;
            let found = found.ok_or(StoreError::NotFound("key"))?;
            let key = row::revoked("keys", &found)?;
            let below = descendants(&change, &id).await?;
            if let Some(at) = Columns::of("keys", &found).maybe_time("revoked_at")? {
                let at_once = below.into_iter().filter(|(_, end)| *end == Some(at));
                let descendants = at_once.map(|(key, _)| key).collect();
                return Ok(Revocations::Before(Revoked {
                    key,
                    at,
                    descendants,
                }));
            }
            let living = below.into_iter().filter(|(_, end)| end.is_none());
            let descendants: Vec<_> = living.map(|(key, _)| key).collect();
            let mut ids: Vec<String> = descendants.iter().map(|key| key.id.to_string()).collect();
            ids.push(id);
            let sql = "update keys set revoked_at = $2, revoked_by = $3, revoked_reason = $4 \
                       where id = any($1::text[])";
            let (at, by) = (end.at, end.by.to_string());
            change
                .execute(sql, &[&ids, &at.millis(), &by, &end.reason])
                .await?;
            let revoked = Revoked {
                key,
                at,
                descendants,
            };
            Ok(Revocations::Now(commit(change, revoked, record).await?))
        })
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
        self.write("rotate a key", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let rotated = rotations::rotate(&change, org, id, (&secret, acting)).await?;
            commit(change, rotated, record).await
        })
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
        self.write("end a rotation", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let rotated = rotations::end(&change, org, id, (end, acting)).await?;
            commit(change, rotated, record).await
        })
        .await
    }

    async fn load_old_secrets(&self, after: Timestamp) -> Result<Vec<(OldSecret, [u8; 32])>> {
        self.read("load the replaced secrets", rotations::load(self, after))
            .await
    }

    async fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Result<()> {
        for part in used.chunks(TOUCHED_MAX) {
            let ids: Vec<String> = part.iter().map(|(id, _)| id.to_string()).collect();
            let times: Vec<i64> = part.iter().map(|(_, at)| at.millis()).collect();
            self.write("keep when keys were used", async {
                let _alone = self.many.lock().await;
                let change = self.sessions.begin().await?;
                change.batch("set local synchronous_commit = off").await?;
                let sql = "update keys set last_used_at = used.at \
                           from (select id, max(at) as at from unnest($1::text[], $2::bigint[]) as u (id, at) \
                                 group by id) as used \
                           where keys.id = used.id and coalesce(keys.last_used_at, 0) < used.at";
                change.execute(sql, &[&ids, &times]).await?;
                change.commit().await
            })
            .await?;
        }
        Ok(())
    }

    async fn load_keys(&self, dead_since: Timestamp, sink: KeySink) -> Result<u64> {
        let loaded = async {
            self.sessions.fence().allow_reads()?;
            self.sessions
                .run(LOAD_MAX, load::keys(self, dead_since, sink))
                .await
        };
        loaded.await.map_err(|fault| fault.into_store("load keys"))
    }
}

/// What every change needs: an actor that is accepted and an org that lives, until the end of the
/// transaction. The org is locked first, as by who deletes it; the actor is judged first.
pub(super) async fn require_actor(change: &Change, org: OrgId, acting: Acting) -> Outcome<()> {
    let org = orgs::require(change, org).await;
    if let Some(id) = acting.key {
        hold_live(change, id, acting.now).await?;
    }
    org
}

async fn hold_live(change: &Change, id: KeyId, now: Timestamp) -> Outcome<()> {
    let sql = "select 1 from keys where id = $1 and revoked_at is null and suspended_at is null \
               and (expires_at is null or expires_at > $2) for share";
    let found = change.row(sql, &[&id.to_string(), &now.millis()]).await?;
    found.map(drop).ok_or_else(|| StoreError::ActorGone.into())
}

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
    if let Some(parent) = key.parent() {
        // Nothing is minted below a revoked key: its revocation waits for us, or we for it.
        hold_live(change, parent, acting.now).await?;
    }
    if let Some(idempotency) = &new.idempotency {
        replays::require_first(change, key, idempotency, acting.now).await?;
    }
    insert(change, new).await?;
    match &new.idempotency {
        Some(idempotency) => replays::keep(change, key, idempotency, acting.now).await,
        None => Ok(()),
    }
}

async fn insert(change: &Change, new: &NewKey) -> Outcome<()> {
    let key = &new.key;
    rotations::require_unused(change, key.prefix.as_str()).await?;
    let sql = "insert into keys (id, org, name, prefix, digest, created_by, root, parent, chain, \
               created_at, expires_at, not_before, grant_json, metadata) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
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

/// A key that is not revoked, locked, and what its secret is looked up by.
pub(super) async fn require_living(
    change: &Change,
    org: OrgId,
    id: KeyId,
) -> Outcome<(OrgKey, [u8; 32])> {
    let sql = concat!(
        "select digest, ",
        columns!(),
        " from keys where org = $1 and id = $2 for update"
    );
    let found = change
        .row(sql, &[&org.to_string(), &id.to_string()])
        .await?;
    let found = found.ok_or(StoreError::NotFound("key"))?;
    let key = row::key(&found)?;
    match key.revocation {
        Some(_) => Err(StoreError::Gone("key").into()),
        None => Ok((key, Columns::of("keys", &found).digest("digest")?)),
    }
}

async fn update(change: &Change, key: &OrgKey) -> Outcome<()> {
    let sql = "update keys set name = $2, metadata = $3, grant_json = $4, not_before = $5, \
               expires_at = $6, suspended_at = $7 where id = $1";
    let values: Params<'_> = &[
        &key.id.to_string(),
        &key.name,
        &labels_to_json(&key.metadata),
        &key.grant.to_json(),
        &key.grant.not_before.map(Timestamp::millis),
        &key.expires_at.map(Timestamp::millis),
        &key.suspended_at.map(Timestamp::millis),
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
