//! Org API keys.

use super::{
    Postgres, browsers, commit,
    fault::Outcome,
    load::{self, LOAD_MAX},
    mints, orgs, rotations,
    row::{self, Columns},
    session::{Change, Params, Session},
};
use crate::{
    Acting, KeyChange, KeyFilter, KeySink, KeyStore, NewKey, NewSecretOfKey, Page, Recorder,
    Result, Rotated, RotationEnd, SecretUse, StoreError, Written, labels_to_json, millis,
};
use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::{OldSecret, OrgKey},
    time::Timestamp,
    token::Prefix,
};

/// The columns of [`row::key`].
macro_rules! columns {
    () => {
        "id, org, name, prefix, created_by, root, chain, created_at, expires_at, grant_json, metadata, \
         suspended_at, suspended_by, suspended_reason, resumed_at, revoked_at, revoked_by, \
         revoked_reason, last_used_at, last_used_from, secret_since, secret_used_at, \
         secret_used_from, rotate_every"
    };
}
pub(super) use columns;

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
            let is_first = mints::close_bootstrap(self, &change, key.key.created_at).await?;
            mints::mint(&change, &key, acting, is_first).await?;
            commit(change, key.key, record).await
        })
        .await
    }

    async fn find_key(&self, org: OrgId, id: KeyId) -> Result<Option<OrgKey>> {
        self.read("find a key", async {
            let session = self.sessions.session().await?;
            find(&session, org, id).await
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
                 and ($9::bigint is null or expires_at < $9) \
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
                        &filter.expires_before.map(Timestamp::millis),
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
            let found = find_locked(&tx, org, id).await?;
            let key = change.apply(found.ok_or(StoreError::NotFound("key"))?)?;
            update(&tx, &key).await?;
            commit(tx, key, record).await
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

    async fn start_overlap(&self, old: (Prefix, Timestamp), ends_at: Timestamp) -> Result<()> {
        self.write("start the clock of a rotation", async {
            let change = self.sessions.begin().await?;
            rotations::start_overlap(&change, old, ends_at).await?;
            change.commit().await
        })
        .await
    }

    async fn touch_keys(&self, used: Vec<SecretUse>) -> Result<()> {
        for part in used.chunks(TOUCHED_MAX) {
            self.write("keep when keys were used", async {
                let _alone = self.many.lock().await;
                let change = self.sessions.begin().await?;
                change.batch("set local synchronous_commit = off").await?;
                touch(&change, part).await?;
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

/// Keeps uses: with the keys, and with the secrets that they were of, if they were of any.
async fn touch(change: &Change, used: &[SecretUse]) -> Outcome<()> {
    let ids: Vec<String> = used.iter().map(|one| one.key.to_string()).collect();
    let prefix = |one: &SecretUse| one.prefix.map(|prefix| prefix.to_string());
    let prefixes: Vec<Option<String>> = used.iter().map(prefix).collect();
    let times: Vec<i64> = used.iter().map(|one| one.at.millis()).collect();
    let from = |one: &SecretUse| one.from.map(|from| from.to_string());
    let from: Vec<Option<String>> = used.iter().map(from).collect();
    // Of several uses of one key the last one counts.
    let sql = "update keys set last_used_at = used.at, last_used_from = used.from_where \
               from (select distinct on (id) id, at, from_where \
                     from unnest($1::text[], $2::bigint[], $3::text[]) as u (id, at, from_where) \
                     order by id, at desc) as used \
               where keys.id = used.id and coalesce(keys.last_used_at, 0) < used.at";
    change.execute(sql, &[&ids, &times, &from]).await?;
    let sql = "update keys set secret_used_at = used.at, secret_used_from = used.from_where \
               from (select distinct on (prefix) id, prefix, at, from_where \
                     from unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) \
                         as u (id, prefix, at, from_where) order by prefix, at desc) as used \
               where keys.id = used.id and keys.prefix = used.prefix \
               and coalesce(keys.secret_used_at, 0) < used.at";
    change
        .execute(sql, &[&ids, &prefixes, &times, &from])
        .await?;
    let sql = "update old_secrets set used_at = used.at, used_from = used.from_where \
               from (select distinct on (prefix) prefix, at, from_where \
                     from unnest($1::text[], $2::bigint[], $3::text[]) as u (prefix, at, from_where) \
                     order by prefix, at desc) as used \
               where old_secrets.prefix = used.prefix and coalesce(old_secrets.used_at, 0) < used.at";
    change.execute(sql, &[&prefixes, &times, &from]).await?;
    Ok(())
}

/// What every change needs: an actor that is accepted and an org that lives, until the end of the
/// transaction. The org is locked first, as by who deletes it; the actor is judged first.
pub(super) async fn require_actor(change: &Change, org: OrgId, acting: Acting) -> Outcome<()> {
    let org = orgs::require(change, org).await;
    if let Some(session) = acting.session {
        browsers::hold(change, session, acting.now).await?;
    }
    if let Some(id) = acting.key {
        hold_live(change, id, acting.now).await?;
    }
    org
}

/// Refuses a key that is not accepted, and holds it as it is until the end of the change.
pub(super) async fn hold_live(change: &Change, id: KeyId, now: Timestamp) -> Outcome<()> {
    let sql = "select 1 from keys where id = $1 and revoked_at is null and suspended_at is null \
               and (expires_at is null or expires_at > $2) for share";
    let found = change.row(sql, &[&id.to_string(), &now.millis()]).await?;
    found.map(drop).ok_or_else(|| StoreError::ActorGone.into())
}

/// A key.
pub(super) async fn find(session: &Session, org: OrgId, id: KeyId) -> Outcome<Option<OrgKey>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from keys where org = $1 and id = $2"
    );
    let values: Params<'_> = &[&org.to_string(), &id.to_string()];
    let found = session.row(sql, values).await?;
    Ok(found.as_ref().map(row::key).transpose()?)
}

/// A key, locked until the end of the change.
pub(super) async fn find_locked(change: &Change, org: OrgId, id: KeyId) -> Outcome<Option<OrgKey>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from keys where org = $1 and id = $2 for update"
    );
    let values: Params<'_> = &[&org.to_string(), &id.to_string()];
    let found = change.row(sql, values).await?;
    Ok(found.as_ref().map(row::key).transpose()?)
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

/// Writes a key that was changed.
pub(super) async fn update(change: &Change, key: &OrgKey) -> Outcome<()> {
    let stop = key.suspension.as_ref();
    let sql = "update keys set name = $2, metadata = $3, grant_json = $4, not_before = $5, \
               expires_at = $6, suspended_at = $7, suspended_by = $8, suspended_reason = $9, \
               resumed_at = $10, rotate_every = $11, rotation_due_at = $12 where id = $1";
    let values: Params<'_> = &[
        &key.id.to_string(),
        &key.name,
        &labels_to_json(&key.metadata),
        &key.grant.to_json(),
        &key.grant.not_before.map(Timestamp::millis),
        &key.expires_at.map(Timestamp::millis),
        &stop.map(|stop| stop.at.millis()),
        &stop.map(|stop| stop.by.to_string()),
        &stop.and_then(|stop| stop.reason.as_deref()),
        &key.resumed_at.map(Timestamp::millis),
        &key.rotate_every.map(millis),
        &key.rotation_due_at().map(Timestamp::millis),
    ];
    change.execute(sql, values).await?;
    Ok(())
}
