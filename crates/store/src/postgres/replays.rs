//! Idempotency keys: what makes a repeated mint recognisable.

use std::time::Duration;

use claviger_core::{key::OrgKey, time::Timestamp};

use super::{
    fault::{Fault, Outcome},
    row::Columns,
    session::Change,
};
use crate::{Idempotency, StoreError};

/// How long an idempotency key is remembered, and how many forgotten ones go at once.
const REPLAY_SPAN: Duration = Duration::from_hours(24);
const REPLAYS_PURGED_MAX: i64 = 100;

/// Whose idempotency key it is: a key by its id, for its label changes with its secret.
fn replay_actor(key: &OrgKey) -> String {
    let parent = key.parent().map(|id| id.to_string());
    parent.unwrap_or_else(|| key.minter.created_by.to_string())
}

/// Makes sure that the idempotency key was not used within a day.
pub(super) async fn require_first(
    change: &Change,
    key: &OrgKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    let sql = "select key_id, request from mint_replays \
               where org = $1 and actor = $2 and idempotency_key = $3 and created_at > $4";
    let (org, actor) = (key.org.to_string(), replay_actor(key));
    let since = now.minus(REPLAY_SPAN).millis();
    match change
        .row(sql, &[&org, &actor, &idempotency.key, &since])
        .await?
    {
        None => Ok(()),
        Some(row) => {
            let columns = Columns::of("mint_replays", &row);
            let is_same_request = columns.get::<&[u8]>("request")? == idempotency.request;
            let key = columns.parse("key_id")?;
            Err(StoreError::Replayed {
                key,
                is_same_request,
            }
            .into())
        }
    }
}

/// Keeps the idempotency key, and forgets some that are old.
pub(super) async fn keep(
    change: &Change,
    key: &OrgKey,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Outcome<()> {
    let (org, actor) = (key.org.to_string(), replay_actor(key));
    let since = now.minus(REPLAY_SPAN).millis();
    let sql = "insert into mint_replays (org, actor, idempotency_key, request, key_id, created_at) \
               values ($1, $2, $3, $4, $5, $6) \
               on conflict (org, actor, idempotency_key) do update set request = excluded.request, \
               key_id = excluded.key_id, created_at = excluded.created_at \
               where mint_replays.created_at <= $7";
    let (request, id) = (&idempotency.request[..], key.id.to_string());
    let count = change
        .execute(
            sql,
            &[
                &org,
                &actor,
                &idempotency.key,
                &request,
                &id,
                &now.millis(),
                &since,
            ],
        )
        .await?;
    if count == 0 {
        // Somebody was faster, and has committed: now that one can be read.
        require_first(change, key, idempotency, now).await?;
        return Err(Fault::down("the idempotency key is in use"));
    }
    let sql = "delete from mint_replays where (org, actor, idempotency_key) in ( \
                   select org, actor, idempotency_key from mint_replays where created_at <= $1 \
                   order by created_at limit $2 for update skip locked)";
    change.execute(sql, &[&since, &REPLAYS_PURGED_MAX]).await?;
    Ok(())
}
