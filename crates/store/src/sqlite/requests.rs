//! Requests for keys.

use async_trait::async_trait;
use claviger_core::{
    grant::Grant,
    id::{OrgId, RequestId},
    key::OrgKey,
    request::{
        Approved, Collection, Decision, KEPT_FOR, KeyRequest, Step, Void, Wanted, check_approver,
    },
    time::Timestamp,
};
use rusqlite::{Connection, Row, params, types::Value};

use super::{
    Outcome, Sqlite, keys, mints, orgs, row,
    row::{IdText, Query, maybe_time, parsed, text, time},
    writer::{Order, Tx},
};
use crate::{
    Acting, Collected, NewKey, PENDING_PER_ASKER_MAX, PENDING_PER_ORG_MAX, Page,
    REQUESTS_PER_ORG_MAX, Recorder, RequestFilter, RequestStore, Result, StoreError, Written,
    labels_to_json, request_store::REQUESTS_PURGED_MAX,
};

/// The columns of [`request`].
const REQUEST: &str = "id, org, asker, asked_by, asked_at, justification, name, grant_json, \
     lifetime, metadata, for_key, expires_at, stage, decided_by, decider, decided_at, \
     decision_note, approved_grant, approved_lifetime, collected_at, key_id, decided_as";

#[async_trait]
impl RequestStore for Sqlite {
    async fn insert_request(
        &self,
        request: KeyRequest,
        acting: Acting,
        record: Recorder<KeyRequest>,
    ) -> Result<Written<KeyRequest>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, request.org)?;
            purge(tx.sql, &request, acting.now)?;
            require_room(tx.sql, &request, acting.now)?;
            insert(tx.sql, &request)?;
            tx.written(request, record)
        };
        self.writer
            .change(Order::synced("ask for a key"), work)
            .await
    }

    async fn find_request(&self, org: OrgId, id: RequestId) -> Result<Option<KeyRequest>> {
        self.read("find a request", move |sql| find(sql, org, id))
            .await
    }

    async fn list_requests(
        &self,
        org: OrgId,
        filter: RequestFilter,
        page: Page<RequestId>,
    ) -> Result<Vec<KeyRequest>> {
        let query = select(org, filter, &page);
        self.read("list requests", move |sql| query.all(sql, request))
            .await
    }

    async fn step_request(
        &self,
        org: OrgId,
        id: RequestId,
        step: Step,
        acting: Acting,
        record: Recorder<KeyRequest>,
    ) -> Result<Written<KeyRequest>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let request = require(tx.sql, org, id)?.after(step, acting.now);
            let request = request.map_err(StoreError::WrongStatus)?;
            update(tx.sql, &request)?;
            tx.written(request, record)
        };
        self.writer
            .change(Order::synced("decide on a request"), work)
            .await
    }

    async fn collect_request(
        &self,
        id: RequestId,
        key: NewKey,
        acting: Acting,
        record: Recorder<Collected>,
    ) -> Result<Written<Collected>> {
        let work = move |tx: &mut Tx<'_>| {
            let org = key.key.org;
            let is_first = mints::close_bootstrap(tx.sql, key.key.created_at)?;
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let step = Step::Collect(Collection {
                // The key is as old as its collection.
                at: key.key.created_at,
                key: key.key.id,
            });
            let request = require(tx.sql, org, id)?.after(step, acting.now);
            let request = request.map_err(StoreError::WrongStatus)?;
            require_approver(tx.sql, &key.key, acting.now)?;
            mints::mint(tx.sql, &key, acting, is_first)?;
            update(tx.sql, &request)?;
            let key = key.key;
            tx.written(Collected { request, key }, record)
        };
        self.writer
            .change(Order::synced("collect a key"), work)
            .await
    }
}

/// Clears away what is kept no longer, and the oldest closed ones of an org that has too many.
fn purge(sql: &Connection, new: &KeyRequest, now: Timestamp) -> Outcome<()> {
    let statement = "delete from key_requests where id in
         (select id from key_requests where asked_at <= ?1 order by asked_at limit ?2)";
    let horizon = now.minus(KEPT_FOR).millis();
    row::run(sql, statement, params![horizon, REQUESTS_PURGED_MAX])?;
    let statement = "delete from key_requests where id in
         (select id from key_requests where org = ?1
              and (stage not in ('pending', 'approved') or expires_at <= ?2)
          order by id limit min(?3, max(0,
              (select count(*) from key_requests where org = ?1) - ?4)))";
    let kept = i64::try_from(REQUESTS_PER_ORG_MAX - 1).unwrap_or(i64::MAX);
    let bound = params![IdText::of(new.org), now.millis(), REQUESTS_PURGED_MAX, kept];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Makes sure that neither the asker nor the org has too many.
fn require_room(sql: &Connection, new: &KeyRequest, now: Timestamp) -> Outcome<()> {
    let query = "select count(*),
             -- Those of keys that were revoked wait for nobody.
             count(*) filter (where stage = 'pending' and expires_at > ?2 and not exists (
                 select 1 from keys where keys.id = asker and revoked_at is not null)),
             count(*) filter (where stage = 'pending' and expires_at > ?2 and asker = ?3)
         from key_requests where org = ?1";
    let bound = params![IdText::of(new.org), now.millis(), new.asker.to_string()];
    let counts = row::first(sql, query, bound, |row| {
        Ok([
            row::count(row, 0)?,
            row::count(row, 1)?,
            row::count(row, 2)?,
        ])
    })?;
    let [all, pending, own] = counts.unwrap_or_default();
    for (count, what, max) in [
        (own, "pending requests of yours", PENDING_PER_ASKER_MAX),
        (pending, "pending requests in the org", PENDING_PER_ORG_MAX),
        (all, "requests in the org", REQUESTS_PER_ORG_MAX),
    ] {
        if count >= max {
            return Err(StoreError::LimitReached { what, max }.into());
        }
    }
    Ok(())
}

fn insert(sql: &Connection, new: &KeyRequest) -> Outcome<()> {
    let statement = "insert into key_requests
         (id, org, asker, asked_by, asked_at, justification, name, grant_json, lifetime, metadata,
          for_key, expires_at, stage)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let bound = params![
        IdText::of(new.id),
        IdText::of(new.org),
        new.asker.to_string(),
        new.asked_by.to_string(),
        new.asked_at.millis(),
        new.justification,
        new.wanted.name,
        new.wanted.grant.to_json(),
        new.wanted.lifetime.to_string(),
        labels_to_json(&new.wanted.metadata),
        new.for_key.map(IdText::of),
        new.expires_at.millis(),
        new.stage.as_str(),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

fn update(sql: &Connection, request: &KeyRequest) -> Outcome<()> {
    let statement = "update key_requests set expires_at = ?2, stage = ?3, decided_by = ?4,
             decider = ?5, decided_at = ?6, decision_note = ?7, approved_grant = ?8,
             approved_lifetime = ?9, collected_at = ?10, key_id = ?11, decided_as = ?12
         where id = ?1";
    let decision = request.decision.as_ref();
    let approved = request.approved.as_ref();
    let bound = params![
        IdText::of(request.id),
        request.expires_at.millis(),
        request.stage.as_str(),
        decision.map(|decision| decision.by.to_string()),
        decision.and_then(|decision| decision.key.map(IdText::of)),
        decision.map(|decision| decision.at.millis()),
        decision.and_then(|decision| decision.note.as_deref()),
        approved.map(|approved| approved.grant.to_json()),
        approved.map(|approved| approved.lifetime.to_string()),
        request.collection.map(|made| made.at.millis()),
        request.collection.map(|made| IdText::of(made.key)),
        decision.map(|decision| decision.tier.as_str()),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Makes sure that the key's minter still holds what it approved, with every key above it.
fn require_approver(sql: &Connection, key: &OrgKey, now: Timestamp) -> Outcome<()> {
    let query = format!("select {} from keys where id = ?1", row::KEY);
    let mut line = Vec::with_capacity(key.minter.chain.len());
    for id in &key.minter.chain {
        let found = row::first(sql, &query, params![IdText::of(*id)], row::key)?;
        line.push(found.ok_or(StoreError::ApprovalVoid(Void::ApproverEnded))?);
    }
    check_approver(&line, &key.grant, now).map_err(|void| StoreError::ApprovalVoid(void).into())
}

fn require(sql: &Connection, org: OrgId, id: RequestId) -> Outcome<KeyRequest> {
    find(sql, org, id)?.ok_or_else(|| StoreError::NotFound("request").into())
}

fn find(sql: &Connection, org: OrgId, id: RequestId) -> Outcome<Option<KeyRequest>> {
    let query = format!("select {REQUEST} from key_requests where org = ?1 and id = ?2");
    row::first(
        sql,
        &query,
        params![IdText::of(org), IdText::of(id)],
        request,
    )
}

fn select(org: OrgId, filter: RequestFilter, page: &Page<RequestId>) -> Query {
    let select = format!("select {REQUEST} from key_requests where org = ?");
    let mut query = Query::new(select, org.to_string());
    if let Some(after) = page.after {
        query.and("and id < ?", [after.to_string().into()]);
    }
    // `KeyRequest::status` in SQL.
    query.and(
        "and case when stage in ('pending', 'approved') and expires_at <= ? then 'expired'
                  else stage end",
        [Value::Integer(filter.now.millis())],
    );
    let marks = vec!["?"; filter.statuses.len()].join(", ");
    let words = filter.statuses.iter();
    let words = words.map(|status| status.as_str().to_owned().into());
    query.and(&format!("in ({marks})"), words);
    if let Some(asker) = filter.asker {
        query.and("and asker = ?", [asker.into()]);
    }
    query.and("order by id desc limit ?", [i64::from(page.limit).into()]);
    query
}

fn request(row: &Row<'_>) -> Outcome<KeyRequest> {
    let is_there = |at| Ok::<_, super::Fault>(row.get_ref(at)? != rusqlite::types::ValueRef::Null);
    Ok(KeyRequest {
        id: parsed(row, 0)?,
        org: parsed(row, 1)?,
        asker: parsed(row, 2)?,
        asked_by: parsed(row, 3)?,
        asked_at: time(row, 4)?,
        justification: text(row, 5)?.to_owned(),
        wanted: Wanted {
            name: text(row, 6)?.to_owned(),
            grant: grant(row, 7)?,
            lifetime: parsed(row, 8)?,
            metadata: row::pairs(row, 9)?,
        },
        for_key: is_there(10)?.then(|| parsed(row, 10)).transpose()?,
        expires_at: time(row, 11)?,
        stage: parsed(row, 12)?,
        decision: match maybe_time(row, 15)? {
            None => None,
            Some(at) => Some(Decision {
                by: parsed(row, 13)?,
                key: is_there(14)?.then(|| parsed(row, 14)).transpose()?,
                tier: parsed(row, 21)?,
                at,
                note: is_there(16)?
                    .then(|| text(row, 16))
                    .transpose()?
                    .map(str::to_owned),
            }),
        },
        approved: if is_there(17)? {
            Some(Approved {
                grant: grant(row, 17)?,
                lifetime: parsed(row, 18)?,
            })
        } else {
            None
        },
        collection: match maybe_time(row, 19)? {
            None => None,
            Some(at) => Some(Collection {
                at,
                key: parsed(row, 20)?,
            }),
        },
    })
}

fn grant(row: &Row<'_>, at: usize) -> Outcome<Grant> {
    Grant::from_json(text(row, at)?).map_err(|error| row::corrupt(row, at, error))
}
