//! All keys at once, for the index: in two halves, one a thread.

use std::path::Path;

use claviger_core::{key::KeyState, time::Timestamp};
use rusqlite::{Connection, params};

use super::{Outcome, connect_reader, row, unavailable};
use crate::{KeySink, LoadedKey};

/// Reads the table in two halves at once: reading and what the sink does cost about the same as
/// decoding, and a start waits for it.
pub(super) fn keys(
    sql: &Connection,
    path: &Path,
    dead_since: Timestamp,
    sink: &KeySink,
) -> Outcome<u64> {
    let query = "select coalesce((select min(rowid) from keys), 0),
         coalesce((select max(rowid) from keys), 0)";
    let bounds = row::first(sql, query, [], |row| {
        Ok((row::number(row, 0)?, row::number(row, 1)?))
    });
    let (lowest, highest) = bounds?.unwrap_or_default();
    let middle = lowest.midpoint(highest);
    std::thread::scope(|scope| {
        let upper =
            scope.spawn(|| load_part(&connect_reader(path)?, (middle, i64::MAX), dead_since, sink));
        let lower = load_part(sql, (i64::MIN, middle), dead_since, sink);
        let Ok(upper) = upper.join() else {
            return Err(unavailable("load the keys", "a loading thread panicked").into());
        };
        Ok(lower? + upper?)
    })
}

fn load_part(
    sql: &Connection,
    (after, until): (i64, i64),
    dead_since: Timestamp,
    sink: &KeySink,
) -> Outcome<u64> {
    let mut statement = sql.prepare_cached(
        "select id, org, digest, prefix, name, created_by, root, chain, grant_json, expires_at,
                suspended_at is not null, revoked_at is not null, secret_used_at,
                nullif(last_used_at, secret_used_at)
         from keys where rowid > ?1 and rowid <= ?2 and (revoked_at is null or revoked_at > ?3)",
    )?;
    let mut rows = statement.query(params![after, until, dead_since.millis()])?;
    let mut loaded = 0;
    while let Some(row) = rows.next()? {
        let state = match (row::number(row, 11)?, row::number(row, 10)?) {
            (0, 0) => KeyState::Live,
            (0, _) => KeyState::Suspended,
            (_, _) => KeyState::Revoked,
        };
        sink(LoadedKey {
            id: row::parsed(row, 0)?,
            org: row::parsed(row, 1)?,
            digest: row::digest(row, 2)?,
            prefix: row::parsed(row, 3)?,
            name: row::text(row, 4)?,
            created_by: row::text(row, 5)?,
            root: row::text(row, 6)?,
            chain: row::text(row, 7)?,
            grant: row::text(row, 8)?,
            expires_at: row::maybe_time(row, 9)?,
            state,
            last_used_at: row::maybe_time(row, 12)?,
            otherwise_used_at: row::maybe_time(row, 13)?,
        });
        loaded += 1;
    }
    Ok(loaded)
}
