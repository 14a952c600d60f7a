//! All keys at once, for the index: a binary copy, which costs the server and us the least.

use std::{pin::pin, time::Duration};

use claviger_core::{key::KeyState, time::Timestamp};
use futures_util::StreamExt as _;
use tokio_postgres::{
    binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream},
    types::{FromSql, Type},
};

use super::{
    Postgres,
    fault::Outcome,
    row::{self, corrupt},
    session::within,
};
use crate::{KeySink, LoadedKey, Result};

/// How long all keys may take to load, and how long the next one.
pub(super) const LOAD_MAX: Duration = Duration::from_secs(600);
const LOAD_STEP_MAX: Duration = Duration::from_secs(10);

/// The columns that [`loaded`] reads, in its order.
const LOADED: &[Type] = &[
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::BOOL,
    Type::BOOL,
    Type::INT8,
];

/// Gives every key to the sink, but those that died before.
pub(super) async fn keys(store: &Postgres, dead_since: Timestamp, sink: KeySink) -> Outcome<u64> {
    let change = store.sessions.begin_unfenced().await?;
    change
        .batch("set local statement_timeout = '10min'")
        .await?;
    // A copy takes no parameters; a number cannot be anything but a number.
    let sql = format!(
        "copy (select id, org, digest, prefix, name, created_by, root, chain, grant_json, \
             expires_at, suspended_at is not null, revoked_at is not null, last_used_at from keys \
             where revoked_at is null or revoked_at > {}) to stdout (format binary)",
        dead_since.millis()
    );
    let copy = within(LOAD_STEP_MAX, change.copy_out(&sql)).await?;
    let mut rows = pin!(BinaryCopyOutStream::new(copy, LOADED));
    let mut count = 0;
    while let Some(row) = within(LOAD_STEP_MAX, async { Ok(rows.next().await) }).await? {
        sink(loaded(&row?)?);
        count += 1;
    }
    change.settle();
    change.commit().await?;
    Ok(count)
}

/// A key from a row of the copy.
fn loaded(row: &BinaryCopyOutRow) -> Result<LoadedKey<'_>> {
    fn get<'a, T: FromSql<'a>>(row: &'a BinaryCopyOutRow, at: usize) -> Result<T> {
        row.try_get(at)
            .map_err(|error| corrupt("a row of `keys`", error))
    }
    let bad = |column: &str| corrupt(format!("`keys.{column}`"), "it is not what we write there");
    let time = |at, column| match get::<Option<i64>>(row, at)? {
        Some(millis) => row::instant(millis).map(Some).ok_or_else(|| bad(column)),
        None => Ok(None),
    };
    let digest: &[u8] = get(row, 2)?;
    Ok(LoadedKey {
        id: get::<&str>(row, 0)?
            .parse()
            .map_err(|error| corrupt("`keys.id`", error))?,
        org: get::<&str>(row, 1)?
            .parse()
            .map_err(|error| corrupt("`keys.org`", error))?,
        digest: digest
            .try_into()
            .map_err(|error| corrupt("`keys.digest`", error))?,
        prefix: get::<&str>(row, 3)?
            .parse()
            .map_err(|error| corrupt("`keys.prefix`", error))?,
        name: get(row, 4)?,
        created_by: get(row, 5)?,
        root: get(row, 6)?,
        chain: get(row, 7)?,
        grant: get(row, 8)?,
        expires_at: time(9, "expires_at")?,
        state: match (get(row, 11)?, get(row, 10)?) {
            (true, _) => KeyState::Revoked,
            (false, true) => KeyState::Suspended,
            (false, false) => KeyState::Live,
        },
        last_used_at: time(12, "last_used_at")?,
    })
}
