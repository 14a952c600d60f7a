//! Policies, and what is done to keys by the clock.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    ledger::entry::Entry,
    policy::Policy,
    time::Timestamp,
};

use super::{
    Postgres, commit, commit_many,
    keys::{columns, find_locked, require_actor, update},
    row::{self, Columns},
    session::Params,
};
use crate::{
    Acting, Check, DueFilter, KeyChange, Notice, NoticeKind, Page, PolicyStore, Recorder, Result,
    StoreError, Written, millis, policy_store::NOTICES_PURGED_MAX,
};

#[async_trait]
impl PolicyStore for Postgres {
    async fn put_policy(
        &self,
        org: OrgId,
        policy: Policy,
        acting: Acting,
        record: Recorder<Policy>,
    ) -> Result<Written<Policy>> {
        self.write("set a policy", async move {
            let change = self.sessions.begin().await?;
            require_actor(&change, org, acting).await?;
            let sql = "insert into policies (org, policy) values ($1, $2) \
                       on conflict (org) do update set policy = excluded.policy";
            let values: Params<'_> = &[&org.to_string(), &policy.to_json()];
            change.execute(sql, values).await?;
            commit(change, policy, record).await
        })
        .await
    }

    async fn load_policies(&self) -> Result<Vec<(OrgId, Policy)>> {
        self.read("load the policies", async {
            let session = self.sessions.session().await?;
            let sql = "select org, policy from policies join orgs on orgs.id = policies.org \
                       where deleted_at is null";
            let rows = session.rows(sql, &[]).await?;
            Ok(row::all(&rows, |row| {
                let columns = Columns::of("policies", row);
                Ok((columns.parse("org")?, policy_of(columns.get("policy")?)?))
            })?)
        })
        .await
    }

    async fn list_due(&self, due: DueFilter, page: Page<KeyId>) -> Result<Vec<OrgKey>> {
        self.read("list what is due", async {
            let session = self.sessions.session().await?;
            let expiry = concat!(
                "select ",
                columns!(),
                " from keys where revoked_at is null and id > $1 \
                     and expires_at > $2 and expires_at <= $3 and expires_at - created_at > $4 \
                     and not exists (select 1 from key_notices where key_id = keys.id \
                         and kind = $5 and days = $6 and of = keys.expires_at) \
                     and $7::bigint is not null order by id limit $8"
            );
            let rotation = concat!(
                "select ",
                columns!(),
                " from keys where revoked_at is null and id > $1 \
                     and rotation_due_at > $2 and rotation_due_at <= $3 and rotate_every > $4 \
                     and not exists (select 1 from key_notices where key_id = keys.id \
                         and kind = $5 and days = $6 and of = keys.rotation_due_at) \
                     and (expires_at is null or expires_at > $7) order by id limit $8"
            );
            let sql = match due.kind {
                NoticeKind::Expiry(_) => expiry,
                NoticeKind::Rotation(_) => rotation,
            };
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let values: Params<'_> = &[
                &after,
                &due.after.millis(),
                &due.until.millis(),
                &millis(due.longer_than),
                &due.kind.as_str(),
                &i64::from(due.kind.days()),
                &due.now.millis(),
                &i64::from(page.limit),
            ];
            Ok(row::all(&session.rows(sql, values).await?, row::key)?)
        })
        .await
    }

    async fn list_overdue(
        &self,
        org: OrgId,
        before: Timestamp,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        self.read("list overdue keys", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where org = $1 and id > $2 and rotation_due_at <= $3 \
                     and revoked_at is null and suspended_at is null \
                     and (expires_at is null or expires_at > $3) \
                     and (not_before is null or not_before <= $3) \
                 order by id limit $4"
            );
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let limit = i64::from(page.limit);
            let values: Params<'_> = &[&org.to_string(), &after, &before.millis(), &limit];
            Ok(row::all(&session.rows(sql, values).await?, row::key)?)
        })
        .await
    }

    async fn list_idle(
        &self,
        org: OrgId,
        (before, now): (Timestamp, Timestamp),
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        self.read("list idle keys", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where org = $1 and id > $2 and revoked_at is null \
                     and suspended_at is null and (expires_at is null or expires_at > $5) \
                     and greatest(created_at, last_used_at, resumed_at, not_before) < $3 \
                 order by id limit $4"
            );
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let limit = i64::from(page.limit);
            let values: Params<'_> = &[
                &org.to_string(),
                &after,
                &before.millis(),
                &limit,
                &now.millis(),
            ];
            Ok(row::all(&session.rows(sql, values).await?, row::key)?)
        })
        .await
    }

    async fn keep_notices(
        &self,
        notices: Vec<Notice>,
        record: Recorder<Vec<Notice>, Vec<Entry>>,
    ) -> Result<Vec<Notice>> {
        self.write("keep notices", async move {
            let change = self.sessions.begin().await?;
            let texts = |of: fn(&Notice) -> String| notices.iter().map(of).collect::<Vec<_>>();
            let numbers = |of: fn(&Notice) -> i64| notices.iter().map(of).collect::<Vec<_>>();
            let sql = "insert into key_notices (key_id, kind, days, of, at) \
                       select said.* from unnest($1::text[], $2::text[], $3::bigint[], \
                           $4::bigint[], $5::bigint[]) as said (key_id, kind, days, of, at) \
                       join keys on keys.id = said.key_id and keys.revoked_at is null \
                       on conflict do nothing returning key_id, kind, days, of";
            let values: Params<'_> = &[
                &texts(|notice| notice.key.to_string()),
                &texts(|notice| notice.kind.as_str().to_owned()),
                &numbers(|notice| i64::from(notice.kind.days())),
                &numbers(|notice| notice.of.millis()),
                &numbers(|notice| notice.at.millis()),
            ];
            let mut kept = std::collections::HashSet::new();
            for row in change.rows(sql, values).await? {
                let columns = Columns::of("key_notices", &row);
                let (key, kind): (&str, &str) = (columns.get("key_id")?, columns.get("kind")?);
                let (days, of): (i64, i64) = (columns.get("days")?, columns.get("of")?);
                kept.insert((key.to_owned(), kind.to_owned(), days, of));
            }
            let is_kept = |notice: &Notice| {
                let kind = notice.kind;
                let (days, of) = (i64::from(kind.days()), notice.of.millis());
                kept.contains(&(notice.key.to_string(), kind.as_str().to_owned(), days, of))
            };
            let said: Vec<_> = notices.iter().copied().filter(is_kept).collect();
            let written = commit_many(change, said, record).await?;
            Ok(written.value)
        })
        .await
    }

    async fn purge_notices(&self, before: Timestamp) -> Result<u64> {
        self.write("forget old notices", async {
            let change = self.sessions.begin().await?;
            let sql = "delete from key_notices where (key_id, kind, days, of) in ( \
                           select key_id, kind, days, of from key_notices where of < $1 limit $2)";
            let values: Params<'_> = &[&before.millis(), &NOTICES_PURGED_MAX];
            let count = change.execute(sql, values).await?;
            change.commit().await?;
            Ok(count)
        })
        .await
    }

    async fn change_key_if(
        &self,
        (org, id): (OrgId, KeyId),
        check: Check,
        key_change: KeyChange,
        record: Recorder<OrgKey>,
    ) -> Result<Option<Written<OrgKey>>> {
        self.write("change a key by the clock", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            let living = find_locked(&change, org, id).await?;
            let Some(key) = living.filter(|key| key.revocation.is_none() && check(key)) else {
                return Ok(None);
            };
            let key = key_change.apply(key)?;
            update(&change, &key).await?;
            Ok(Some(commit(change, key, record).await?))
        })
        .await
    }
}

fn policy_of(text: &str) -> Result<Policy> {
    Policy::from_json(text).map_err(|error| StoreError::Corrupt {
        what: "`policies.policy`".to_owned(),
        reason: error.to_string(),
    })
}
