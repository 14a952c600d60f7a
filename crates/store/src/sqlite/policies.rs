//! Policies, and what is done to keys by the clock.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
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
    Acting, Check, KeyChange, Notice, Page, PolicyStore, Recorder, Result, StoreError, Written,
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

    async fn list_due(
        &self,
        (from, until): (Timestamp, Timestamp),
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        let query = format!(
            "select {} from keys where revoked_at is null and id > ?1 and id in (
                 select id from keys where expires_at between ?2 and ?3 and revoked_at is null
                 union select id from keys where rotation_due_at <= ?3 and revoked_at is null)
             order by id limit ?4",
            row::KEY
        );
        self.read("list what is due", move |sql| {
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let bound = params![after, from.millis(), until.millis(), page.limit];
            row::all(sql, &query, bound, row::key)
        })
        .await
    }

    async fn list_idle(
        &self,
        org: OrgId,
        before: Timestamp,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>> {
        let query = format!(
            "select {} from keys where org = ?1 and id > ?2 and revoked_at is null
                 and suspended_at is null
                 and max(created_at, coalesce(last_used_at, 0), coalesce(resumed_at, 0)) < ?3
             order by id limit ?4",
            row::KEY
        );
        self.read("list idle keys", move |sql| {
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let bound = params![IdText::of(org), after, before.millis(), page.limit];
            row::all(sql, &query, bound, row::key)
        })
        .await
    }

    async fn keep_notice(
        &self,
        org: OrgId,
        notice: Notice,
        record: Recorder<Notice>,
    ) -> Result<Option<Written<Notice>>> {
        let work = move |tx: &mut Tx<'_>| {
            let living =
                find_locked(tx.sql, org, notice.key)?.filter(|key| key.revocation.is_none());
            if living.is_none() {
                return Ok(None);
            }
            let statement = "insert or ignore into key_notices (key_id, kind, days, of, at)
                 values (?1, ?2, ?3, ?4, ?5)";
            let bound = params![
                IdText::of(notice.key),
                notice.kind.as_str(),
                notice.kind.days(),
                notice.of.millis(),
                notice.at.millis(),
            ];
            match row::run(tx.sql, statement, bound)? {
                0 => Ok(None),
                _ => tx.written(notice, record).map(Some),
            }
        };
        self.writer
            .change(Order::synced("keep a notice"), work)
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
