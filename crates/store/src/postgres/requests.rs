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
use tokio_postgres::Row;

use super::{
    Postgres, commit,
    fault::Outcome,
    keys::{self, columns as key_columns},
    mints,
    row::{self, Columns, corrupt},
    session::{Change, Params},
};
use crate::{
    Acting, Collected, NewKey, PENDING_PER_ASKER_MAX, PENDING_PER_ORG_MAX, Page,
    REQUESTS_PER_ORG_MAX, Recorder, RequestFilter, RequestStore, Result, StoreError, Written,
    labels_to_json, request_store::REQUESTS_PURGED_MAX,
};

macro_rules! columns {
    () => {
        "id, org, asker, asked_by, asked_at, justification, name, grant_json, lifetime, metadata, \
         for_key, expires_at, stage, decided_by, decider, decided_at, decision_note, \
         approved_grant, approved_lifetime, collected_at, key_id, decided_as"
    };
}

#[async_trait]
impl RequestStore for Postgres {
    async fn insert_request(
        &self,
        request: KeyRequest,
        acting: Acting,
        record: Recorder<KeyRequest>,
    ) -> Result<Written<KeyRequest>> {
        self.write("ask for a key", async move {
            // Alone, for requests are counted.
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, request.org, acting).await?;
            purge(&change, &request, acting.now).await?;
            require_room(&change, &request, acting.now).await?;
            insert(&change, &request).await?;
            commit(change, request, record).await
        })
        .await
    }

    async fn find_request(&self, org: OrgId, id: RequestId) -> Result<Option<KeyRequest>> {
        self.read("find a request", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from key_requests where org = $1 and id = $2"
            );
            let found = session
                .row(sql, &[&org.to_string(), &id.to_string()])
                .await?;
            Ok(found.as_ref().map(request).transpose()?)
        })
        .await
    }

    async fn list_requests(
        &self,
        org: OrgId,
        filter: RequestFilter,
        page: Page<RequestId>,
    ) -> Result<Vec<KeyRequest>> {
        self.read("list requests", async {
            let session = self.sessions.session().await?;
            // `KeyRequest::status` in SQL.
            let sql = concat!(
                "select ",
                columns!(),
                " from key_requests where org = $1 and id < coalesce($2::text, '~') \
                 and case when stage in ('pending', 'approved') and expires_at <= $4 then 'expired' \
                     else stage end = any($3::text[]) \
                 and ($5::text is null or asker = $5) \
                 order by id desc limit $6"
            );
            let statuses = filter.statuses.iter();
            let statuses: Vec<_> = statuses.map(|status| status.as_str()).collect();
            let values: Params<'_> = &[
                &org.to_string(),
                &page.after.map(|id| id.to_string()),
                &statuses,
                &filter.now.millis(),
                &filter.asker,
                &i64::from(page.limit),
            ];
            Ok(row::all(&session.rows(sql, values).await?, request)?)
        })
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
        self.write("decide on a request", async move {
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            let request = require(&change, org, id).await?.after(step, acting.now);
            let request = request.map_err(StoreError::WrongStatus)?;
            update(&change, &request).await?;
            commit(change, request, record).await
        })
        .await
    }

    async fn collect_request(
        &self,
        id: RequestId,
        key: NewKey,
        acting: Acting,
        record: Recorder<Collected>,
    ) -> Result<Written<Collected>> {
        self.write("collect a key", async move {
            // Alone, for it holds keys of two lines: a revocation of both would wait for it, and it
            // for the revocation.
            let _alone = self.many.lock().await;
            let org = key.key.org;
            let change = self.sessions.begin_unfenced().await?;
            let is_first = mints::close_bootstrap(self, &change, key.key.created_at).await?;
            keys::require_actor(&change, org, acting).await?;
            let step = Step::Collect(Collection {
                // The key is as old as its collection.
                at: key.key.created_at,
                key: key.key.id,
            });
            let request = require(&change, org, id).await?.after(step, acting.now);
            let request = request.map_err(StoreError::WrongStatus)?;
            require_approver(&change, &key.key, acting.now).await?;
            mints::mint(&change, &key, acting, is_first).await?;
            update(&change, &request).await?;
            let key = key.key;
            commit(change, Collected { request, key }, record).await
        })
        .await
    }
}

/// Clears away what is kept no longer, and the oldest closed ones of an org that has too many.
async fn purge(change: &Change, new: &KeyRequest, now: Timestamp) -> Outcome<()> {
    let most = i64::from(REQUESTS_PURGED_MAX);
    let sql = "delete from key_requests where id in ( \
                   select id from key_requests where asked_at <= $1 order by asked_at limit $2)";
    let horizon = now.minus(KEPT_FOR).millis();
    change.execute(sql, &[&horizon, &most]).await?;
    let sql = "delete from key_requests where id in ( \
                   select id from key_requests where org = $1 \
                       and (stage not in ('pending', 'approved') or expires_at <= $2) \
                   order by id limit least($3, greatest(0, \
                       (select count(*) from key_requests where org = $1) - $4)))";
    let kept = i64::try_from(REQUESTS_PER_ORG_MAX - 1).unwrap_or(i64::MAX);
    let values: Params<'_> = &[&new.org.to_string(), &now.millis(), &most, &kept];
    change.execute(sql, values).await?;
    Ok(())
}

/// Makes sure that neither the asker nor the org has too many.
async fn require_room(change: &Change, new: &KeyRequest, now: Timestamp) -> Outcome<()> {
    let sql = "select count(*) as everything, \
                   count(*) filter (where stage = 'pending' and expires_at > $2 and not exists ( \
                       select 1 from keys where keys.id = asker and revoked_at is not null)) \
                       as pending, \
                   count(*) filter (where stage = 'pending' and expires_at > $2 and asker = $3) as own \
               from key_requests where org = $1";
    let values: Params<'_> = &[&new.org.to_string(), &now.millis(), &new.asker.to_string()];
    let [all, pending, own] = match change.row(sql, values).await? {
        None => [0; 3],
        Some(row) => {
            let columns = Columns::of("key_requests", &row);
            let count = |name| columns.count(name);
            [count("everything")?, count("pending")?, count("own")?]
        }
    };
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

async fn insert(change: &Change, new: &KeyRequest) -> Outcome<()> {
    let sql = "insert into key_requests \
               (id, org, asker, asked_by, asked_at, justification, name, grant_json, lifetime, \
                metadata, for_key, expires_at, stage) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let values: Params<'_> = &[
        &new.id.to_string(),
        &new.org.to_string(),
        &new.asker.to_string(),
        &new.asked_by.to_string(),
        &new.asked_at.millis(),
        &new.justification,
        &new.wanted.name,
        &new.wanted.grant.to_json(),
        &new.wanted.lifetime.to_string(),
        &labels_to_json(&new.wanted.metadata),
        &new.for_key.map(|id| id.to_string()),
        &new.expires_at.millis(),
        &new.stage.as_str(),
    ];
    change.execute(sql, values).await?;
    Ok(())
}

async fn update(change: &Change, request: &KeyRequest) -> Outcome<()> {
    let sql = "update key_requests set expires_at = $2, stage = $3, decided_by = $4, \
                   decider = $5, decided_at = $6, decision_note = $7, approved_grant = $8, \
                   approved_lifetime = $9, collected_at = $10, key_id = $11, decided_as = $12 \
               where id = $1";
    let decision = request.decision.as_ref();
    let approved = request.approved.as_ref();
    let values: Params<'_> = &[
        &request.id.to_string(),
        &request.expires_at.millis(),
        &request.stage.as_str(),
        &decision.map(|decision| decision.by.to_string()),
        &decision.and_then(|decision| decision.key.map(|id| id.to_string())),
        &decision.map(|decision| decision.at.millis()),
        &decision.and_then(|decision| decision.note.as_deref()),
        &approved.map(|approved| approved.grant.to_json()),
        &approved.map(|approved| approved.lifetime.to_string()),
        &request.collection.map(|made| made.at.millis()),
        &request.collection.map(|made| made.key.to_string()),
        &decision.map(|decision| decision.tier.as_str()),
    ];
    change.execute(sql, values).await?;
    Ok(())
}

/// Makes sure that the key's minter still holds what it approved, with every key above it, until the
/// end of the transaction.
async fn require_approver(change: &Change, key: &OrgKey, now: Timestamp) -> Outcome<()> {
    let sql = concat!(
        "select ",
        key_columns!(),
        " from keys where id = $1 for share"
    );
    let mut line = Vec::with_capacity(key.minter.chain.len());
    for id in &key.minter.chain {
        let found = change.row(sql, &[&id.to_string()]).await?;
        let found = found.ok_or(StoreError::ApprovalVoid(Void::ApproverEnded))?;
        line.push(row::key(&found)?);
    }
    check_approver(&line, &key.grant, now).map_err(|void| StoreError::ApprovalVoid(void).into())
}

/// A request, locked.
async fn require(change: &Change, org: OrgId, id: RequestId) -> Outcome<KeyRequest> {
    let sql = concat!(
        "select ",
        columns!(),
        " from key_requests where org = $1 and id = $2 for update"
    );
    let found = change
        .row(sql, &[&org.to_string(), &id.to_string()])
        .await?;
    Ok(request(&found.ok_or(StoreError::NotFound("request"))?)?)
}

fn request(row: &Row) -> Result<KeyRequest> {
    let columns = Columns::of("key_requests", row);
    let is_there = |name| Ok::<_, StoreError>(columns.get::<Option<&str>>(name)?.is_some());
    let id = |name| is_there(name)?.then(|| columns.parse(name)).transpose();
    Ok(KeyRequest {
        id: columns.parse("id")?,
        org: columns.parse("org")?,
        asker: columns.parse("asker")?,
        asked_by: columns.parse("asked_by")?,
        asked_at: columns.time("asked_at")?,
        justification: columns.get("justification")?,
        wanted: Wanted {
            name: columns.get("name")?,
            grant: grant(&columns, "grant_json")?,
            lifetime: columns.parse("lifetime")?,
            metadata: columns.pairs("metadata")?,
        },
        for_key: id("for_key")?,
        expires_at: columns.time("expires_at")?,
        stage: columns.parse("stage")?,
        decision: match columns.maybe_time("decided_at")? {
            None => None,
            Some(at) => Some(Decision {
                by: columns.parse("decided_by")?,
                key: id("decider")?,
                tier: columns.parse("decided_as")?,
                at,
                note: columns.get("decision_note")?,
            }),
        },
        approved: if is_there("approved_grant")? {
            Some(Approved {
                grant: grant(&columns, "approved_grant")?,
                lifetime: columns.parse("approved_lifetime")?,
            })
        } else {
            None
        },
        collection: match columns.maybe_time("collected_at")? {
            None => None,
            Some(at) => Some(Collection {
                at,
                key: columns.parse("key_id")?,
            }),
        },
    })
}

fn grant(columns: &Columns<'_>, name: &str) -> Result<Grant> {
    let parsed = Grant::from_json(columns.get(name)?);
    parsed.map_err(|error| corrupt(format!("`key_requests.{name}`"), error))
}
