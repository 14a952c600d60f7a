//! Policies, and what is done to keys by the clock.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    ledger::entry::Entry,
    policy::Policy,
    time::Timestamp,
};
use rusqlite::params;

use super::{
    Outcome, Sqlite,
    keys::{find_locked, require_actor, update},
    orgs, row,
    row::IdText,
    writer::{Order, Tx},
};
use crate::{
    Acting, Check, DueFilter, KeyChange, Notice, NoticeKind, Page, PolicyStore, Recorder, Result,
    StoreError, Written, millis, policy_store::NOTICES_PURGED_MAX,
};

#[async_trait]
impl PolicyStore for Sqlite {
    async fn put_policy(
        &self,
        org: OrgId,
        policy: Policy,
        acting: Acting,
        record: Recorder<Policy>,
    ) -> Result<Written<Policy>> {
        let work = move |tx: &mut Tx<'_>| {
            require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let statement = "insert or replace into policies (org, policy) values (?1, ?2)";
            row::run(
                tx.sql,
                statement,
                params![IdText::of(org), policy.to_json()],
            )?;
            tx.written(policy, record)
        };
        self.writer
            .change(Order::synced("set a policy"), work)
            .await
    }

    async fn load_policies(&self) -> Result<Vec<(OrgId, Policy)>> {
        self.read("load the policies", |sql| {
            let query = "select org, policy from policies join orgs on orgs.id = policies.org
                 where deleted_at is null";
            row::all(sql, query, [], |row| {
                let text = row::text(row, 1)?;
                Ok((row::parsed(row, 0)?, policy_of(text)?))
            })
        })
        .await
    }

    async fn list_due(&self, due: DueFilter, page: Page<KeyId>) -> Result<Vec<OrgKey>> {
        let (of, span) = match due.kind {
            NoticeKind::Expiry(_) => ("expires_at", "expires_at - created_at"),
            NoticeKind::Rotation(_) => ("rotation_due_at", "rotate_every"),
        };
        let query = format!(
            "select {} from keys where revoked_at is null and id > ?1
                 and {of} > ?2 and {of} <= ?3 and {span} > ?4
                 and ({of} = expires_at or expires_at is null or expires_at > ?5)
                 and not exists (select 1 from key_notices where key_id = keys.id
                     and kind = ?6 and days = ?7 and of = keys.{of})
             order by id limit ?8",
            row::KEY
        );
        self.read("list what is due", move |sql| {
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let bound = params![
                after,
                due.after.millis(),
                due.until.millis(),
                millis(due.longer_than),
                due.now.millis(),
                due.kind.as_str(),
                due.kind.days(),
                page.limit
            ];
            row::all(sql, &query, bound, row::key)
        })
        .await
    }

    async fn list_overdue(
        &self,
        org: OrgId,
        before: Timestamp,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        let query = format!(
            "select {} from keys where org = ?1 and id > ?2 and rotation_due_at <= ?3
                 and revoked_at is null and suspended_at is null
                 and (expires_at is null or expires_at > ?3)
                 and (not_before is null or not_before <= ?3)
             order by id limit ?4",
            row::KEY
        );
        self.read("list overdue keys", move |sql| {
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let bound = params![IdText::of(org), after, before.millis(), page.limit];
            row::all(sql, &query, bound, row::key)
        })
        .await
    }

    async fn list_idle(
        &self,
        org: OrgId,
        (before, now): (Timestamp, Timestamp),
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        let query = format!(
            "select {} from keys where org = ?1 and id > ?2 and revoked_at is null
                 and suspended_at is null and (expires_at is null or expires_at > ?5)
                 and max(created_at, coalesce(last_used_at, 0), coalesce(resumed_at, 0),
                     coalesce(not_before, 0)) < ?3
             order by id limit ?4",
            row::KEY
        );
        self.read("list idle keys", move |sql| {
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let (before, now) = (before.millis(), now.millis());
            let bound = params![IdText::of(org), after, before, page.limit, now];
            row::all(sql, &query, bound, row::key)
        })
        .await
    }

    async fn keep_notices(
        &self,
        notices: Vec<Notice>,
        record: Recorder<Vec<Notice>, Vec<Entry>>,
    ) -> Result<Vec<Notice>> {
        let work = move |tx: &mut Tx<'_>| {
            let mut kept = Vec::new();
            for notice in notices {
                let statement = "insert or ignore into key_notices (key_id, kind, days, of, at)
                     select id, ?2, ?3, ?4, ?5 from keys where id = ?1 and revoked_at is null";
                let bound = params![
                    IdText::of(notice.key),
                    notice.kind.as_str(),
                    notice.kind.days(),
                    notice.of.millis(),
                    notice.at.millis(),
                ];
                if row::run(tx.sql, statement, bound)? > 0 {
                    kept.push(notice);
                }
            }
            tx.written_many(kept, record).map(|written| written.value)
        };
        self.writer
            .change(Order::synced("keep notices"), work)
            .await
    }

    async fn purge_notices(&self, before: Timestamp) -> Result<u64> {
        let statement = "delete from key_notices where (key_id, kind, days, of) in
             (select key_id, kind, days, of from key_notices where of < ?1 limit ?2)";
        let work = move |tx: &mut Tx<'_>| {
            let count = row::run(
                tx.sql,
                statement,
                params![before.millis(), NOTICES_PURGED_MAX],
            )?;
            Ok(u64::try_from(count).unwrap_or(u64::MAX))
        };
        self.writer
            .change(Order::quick("forget old notices"), work)
            .await
    }

    async fn change_key_if(
        &self,
        (org, id): (OrgId, KeyId),
        check: Check,
        change: KeyChange,
        record: Recorder<OrgKey>,
    ) -> Result<Option<Written<OrgKey>>> {
        let work = move |tx: &mut Tx<'_>| {
            let living = find_locked(tx.sql, org, id)?.filter(|key| key.revocation.is_none());
            if !living.is_some_and(|key| check(&key)) {
                return Ok(None);
            }
            let key = update(tx.sql, org, id, change)?;
            tx.written(key, record).map(Some)
        };
        self.writer
            .change(Order::synced("change a key by the clock"), work)
            .await
    }
}

fn policy_of(text: &str) -> Outcome<Policy> {
    Policy::from_json(text).map_err(|error| {
        StoreError::Corrupt {
            what: "`policies.policy`".to_owned(),
            reason: error.to_string(),
        }
        .into()
    })
}
