//! Policies, and what is done to keys by the clock.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    policy::Policy,
    time::Timestamp,
};

use super::{
    Postgres, commit,
    keys::{columns, find_locked, require_actor, update},
    row::{self, Columns},
    session::Params,
};
use crate::{
    Acting, Check, KeyChange, Notice, Page, PolicyStore, Recorder, Result, StoreError, Written,
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

    async fn list_due(
        &self,
        (from, until): (Timestamp, Timestamp),
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        self.read("list what is due", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where revoked_at is null and id > $1 and id in ( \
                     select id from keys where expires_at between $2 and $3 and revoked_at is null \
                     union select id from keys where rotation_due_at <= $3 and revoked_at is null) \
                 order by id limit $4"
            );
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let limit = i64::from(page.limit);
            let values: Params<'_> = &[&after, &from.millis(), &until.millis(), &limit];
            Ok(row::all(&session.rows(sql, values).await?, row::key)?)
        })
        .await
    }

    async fn list_idle(
        &self,
        org: OrgId,
        before: Timestamp,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        self.read("list idle keys", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from keys where org = $1 and id > $2 and revoked_at is null \
                     and suspended_at is null \
                     and greatest(created_at, last_used_at, resumed_at) < $3 \
                 order by id limit $4"
            );
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let limit = i64::from(page.limit);
            let values: Params<'_> = &[&org.to_string(), &after, &before.millis(), &limit];
            Ok(row::all(&session.rows(sql, values).await?, row::key)?)
        })
        .await
    }

    async fn keep_notice(
        &self,
        org: OrgId,
        notice: Notice,
        record: Recorder<Notice>,
    ) -> Result<Option<Written<Notice>>> {
        self.write("keep a notice", async move {
            let change = self.sessions.begin().await?;
            let living = find_locked(&change, org, notice.key).await?;
            if living.is_none_or(|key| key.revocation.is_some()) {
                return Ok(None);
            }
            let sql = "insert into key_notices (key_id, kind, days, of, at) \
                       values ($1, $2, $3, $4, $5) on conflict do nothing";
            let values: Params<'_> = &[
                &notice.key.to_string(),
                &notice.kind.as_str(),
                &i64::from(notice.kind.days()),
                &notice.of.millis(),
                &notice.at.millis(),
            ];
            match change.execute(sql, values).await? {
                0 => Ok(None),
                _ => Ok(Some(commit(change, notice, record).await?)),
            }
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
