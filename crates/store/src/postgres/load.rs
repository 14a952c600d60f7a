//! All keys at once, for the index: a binary copy, which costs the server and us the least.

use std::{pin::pin, time::Duration};

use claviger_core::{key::KeyState, time::Timestamp};
use futures_util::{FutureExt as _, StreamExt as _};

use super::{
    Postgres,
    fault::Outcome,
    row::{self, corrupt},
    session::within,
};
use crate::{KeySink, LoadedKey, Result, StoreError};

/// How long all keys may take to load, and how long the next one.
pub(super) const LOAD_MAX: Duration = Duration::from_secs(600);
const LOAD_STEP_MAX: Duration = Duration::from_secs(10);

/// What a binary copy begins with: the signature, no flags, no extension (the manual of
/// PostgreSQL, `COPY`, "Binary Format").
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How many columns a row of the copy has. At the end stands a row of -1 columns.
const COLUMNS: i16 = 14;
const END: i16 = -1;

/// Gives every key to the sink, but those that died before.
pub(super) async fn keys(store: &Postgres, dead_since: Timestamp, sink: KeySink) -> Outcome<u64> {
    let change = store.sessions.begin_unfenced().await?;
    change
        .batch("set local statement_timeout = '10min'")
        .await?;
    // A copy takes no parameters; a number cannot be anything but a number.
    let sql = format!(
        "copy (select id, org, digest, prefix, name, created_by, root, chain, grant_json, \
         expires_at, suspended_at is not null, revoked_at is not null, secret_used_at, \
         nullif(last_used_at, secret_used_at) from keys \
         where revoked_at is null or revoked_at > {}) to stdout (format binary)",
        dead_since.millis()
    );
    let mut rows = pin!(within(LOAD_STEP_MAX, change.copy_out(&sql)).await?);
    let mut count = 0;
    let mut is_ended = false;
    loop {
        // Most rows are there already, and need no timer.
        let next = match rows.next().now_or_never() {
            Some(next) => next,
            None => within(LOAD_STEP_MAX, async { Ok(rows.next().await) }).await?,
        };
        let Some(bytes) = next.transpose()? else {
            break;
        };
        let bytes: &[u8] = &bytes;
        let mut fields = Fields(bytes.strip_prefix(HEADER).unwrap_or(bytes));
        if fields.0.is_empty() {
            continue;
        }
        match fields.int().ok_or_else(broken)? {
            COLUMNS => sink(loaded(&mut fields)?),
            END => {
                is_ended = true;
                continue;
            }
            _ => return Err(broken().into()),
        }
        count += 1;
    }
    if !is_ended {
        return Err(broken().into());
    }
    change.settle();
    change.commit().await?;
    Ok(count)
}

/// A key from a row of the copy.
fn loaded<'a>(fields: &mut Fields<'a>) -> Result<LoadedKey<'a>> {
    let id = fields.text("id")?;
    let org = fields.text("org")?;
    let digest = fields.bytes("digest")?;
    let prefix = fields.text("prefix")?;
    let (name, created_by) = (fields.text("name")?, fields.text("created_by")?);
    let (root, chain) = (fields.text("root")?, fields.text("chain")?);
    let grant = fields.text("grant_json")?;
    let expires_at = fields.time("expires_at")?;
    let is_suspended = fields.bytes("suspended_at")? == [1];
    let is_revoked = fields.bytes("revoked_at")? == [1];
    Ok(LoadedKey {
        id: id.parse().map_err(|error| corrupt("`keys.id`", error))?,
        org: org.parse().map_err(|error| corrupt("`keys.org`", error))?,
        digest: digest
            .try_into()
            .map_err(|error| corrupt("`keys.digest`", error))?,
        prefix: prefix
            .parse()
            .map_err(|error| corrupt("`keys.prefix`", error))?,
        name,
        created_by,
        root,
        chain,
        grant,
        expires_at,
        state: match (is_revoked, is_suspended) {
            (true, _) => KeyState::Revoked,
            (false, true) => KeyState::Suspended,
            (false, false) => KeyState::Live,
        },
        last_used_at: fields.time("secret_used_at")?,
        otherwise_used_at: fields.time("last_used_at")?,
    })
}

fn broken() -> StoreError {
    corrupt(
        "the copy of `keys`",
        "it does not have the format of a copy",
    )
}

/// The rest of a row: fields, each a length (-1 for null) and so many bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The number of columns.
    fn int(&mut self) -> Option<i16> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*head))
    }

    fn next(&mut self) -> Result<Option<&'a [u8]>> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(broken)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*head)) else {
            self.0 = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(Some(field))
    }

    fn bytes(&mut self, column: &str) -> Result<&'a [u8]> {
        self.next()?
            .ok_or_else(|| corrupt(format!("`keys.{column}`"), "it is null"))
    }

    fn text(&mut self, column: &str) -> Result<&'a str> {
        let bytes = self.bytes(column)?;
        std::str::from_utf8(bytes).map_err(|error| corrupt(format!("`keys.{column}`"), error))
    }

    fn time(&mut self, column: &str) -> Result<Option<Timestamp>> {
        let Some(bytes) = self.next()? else {
            return Ok(None);
        };
        let millis = bytes.try_into().map(i64::from_be_bytes);
        let millis = millis.map_err(|error| corrupt(format!("`keys.{column}`"), error))?;
        let at = row::instant(millis);
        at.map(Some)
            .ok_or_else(|| corrupt(format!("`keys.{column}`"), "it is no time"))
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn a_row_that_is_cut_short_is_refused() {
        let row = [0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255];
        let mut fields = Fields(&row);
        assert_eq!(fields.text("name").ok(), Some("ab"));
        assert!(matches!(fields.next(), Ok(None)));
        assert!(fields.next().is_err());
        assert!(Fields(&row[..5]).next().is_err());
    }
}
