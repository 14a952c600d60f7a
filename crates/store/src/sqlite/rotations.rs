//! Replaced secrets of keys.

use claviger_core::{
    id::{KeyId, OrgId},
    key::{OldSecret, OrgKey, Overlap, OwnSecret, Use},
    time::Timestamp,
    token::Prefix,
};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, keys, row,
    row::{IdText, digest, parsed, time},
};
use crate::{Acting, NewSecretOfKey, Rotated, RotationEnd, StoreError, millis};

/// The columns of [`old_secret`].
const OLD_SECRET: &str = "key_id, prefix, replaced_at, ends_at, digest, overlap, overlap_span, \
     used_at, used_from, since";

/// Puts a new secret in the place of the key's own.
pub(super) fn rotate(
    sql: &Connection,
    org: OrgId,
    id: KeyId,
    new: &NewSecretOfKey,
    acting: Acting,
) -> Outcome<Rotated> {
    let mut key = keys::require_living(sql, org, id)?;
    require_own_secret(sql, acting)?;
    if last(sql, id)?.is_some_and(|(old, _)| old.ends_at > new.at) {
        return Err(StoreError::Exists("rotation").into());
    }
    let old = OldSecret {
        key: id,
        prefix: key.prefix,
        since: key.secret.since,
        replaced_at: new.at,
        ends_at: new.ends_at,
        overlap: new.overlap,
        last_use: key.secret.last_use,
    };
    let old_digest = own_digest(sql, id)?;
    require_unused(sql, new.prefix.as_str())?;
    keep(sql, &old, old_digest)?;
    key.prefix = new.prefix;
    key.secret = OwnSecret {
        since: new.at,
        last_use: None,
    };
    set_own(sql, &key, new.digest)?;
    Ok(Rotated {
        key,
        digest: new.digest,
        old,
        old_digest,
    })
}

/// Ends the overlap that lasts at this instant.
pub(super) fn end(
    sql: &Connection,
    org: OrgId,
    id: KeyId,
    end: RotationEnd,
    acting: Acting,
) -> Outcome<Rotated> {
    let now = acting.now;
    let mut key = keys::require_living(sql, org, id)?;
    if end == RotationEnd::Cancel {
        require_own_secret(sql, acting)?;
    }
    let lasting = last(sql, id)?.filter(|(old, _)| old.ends_at > now);
    let (mut old, mut old_digest) = lasting.ok_or(StoreError::NotFound("rotation"))?;
    let mut digest = own_digest(sql, id)?;
    let forget = "delete from old_secrets where prefix = ?1";
    row::run(sql, forget, params![old.prefix.as_str()])?;
    if end == RotationEnd::Cancel {
        std::mem::swap(&mut key.prefix, &mut old.prefix);
        std::mem::swap(&mut digest, &mut old_digest);
        std::mem::swap(&mut key.secret.last_use, &mut old.last_use);
        std::mem::swap(&mut key.secret.since, &mut old.since);
        set_own(sql, &key, digest)?;
    }
    old.ends_at = now;
    old.overlap = Overlap::Fixed;
    keep(sql, &old, old_digest)?;
    Ok(Rotated {
        key,
        digest,
        old,
        old_digest,
    })
}

/// A key gives out new secrets only with the one that is its own now: a replaced secret, held perhaps
/// by somebody else, must neither bring itself back nor get another.
fn require_own_secret(sql: &Connection, acting: Acting) -> Outcome<()> {
    let (Some(id), Some(prefix)) = (acting.key, acting.prefix) else {
        return Ok(());
    };
    let query = "select 1 from keys where id = ?1 and prefix = ?2";
    match row::first(sql, query, params![IdText::of(id), prefix.as_str()], |_| {
        Ok(())
    })? {
        Some(()) => Ok(()),
        None => Err(StoreError::SecretReplaced.into()),
    }
}

/// No secret that was replaced had this prefix: a prefix names one secret for ever.
pub(super) fn require_unused(sql: &Connection, prefix: &str) -> Outcome<()> {
    let query = "select 1 from old_secrets where prefix = ?1";
    match row::first(sql, query, params![prefix], |_| Ok(()))? {
        Some(()) => Err(StoreError::PrefixTaken.into()),
        None => Ok(()),
    }
}

/// The clock of an overlap that waits for the new secret's first use has started.
pub(super) fn start_overlap(
    sql: &Connection,
    (old, replaced_at): (Prefix, Timestamp),
    ends_at: Timestamp,
) -> Outcome<()> {
    let statement = "update old_secrets set overlap = 'fixed', ends_at = min(ends_at, ?2)
         where prefix = ?1 and replaced_at = ?3 and overlap <> 'fixed'";
    let bound = params![old.as_str(), ends_at.millis(), replaced_at.millis()];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Those that are accepted after this instant.
pub(super) fn load(sql: &Connection, after: Timestamp) -> Outcome<Vec<(OldSecret, [u8; 32])>> {
    let query = format!("select {OLD_SECRET} from old_secrets where ends_at > ?1");
    row::all(sql, &query, params![after.millis()], old_secret)
}

fn last(sql: &Connection, id: KeyId) -> Outcome<Option<(OldSecret, [u8; 32])>> {
    let query = format!(
        "select {OLD_SECRET} from old_secrets
         where key_id = ?1 order by replaced_at desc, ends_at desc limit 1"
    );
    row::first(sql, &query, params![IdText::of(id)], old_secret)
}

fn old_secret(row: &Row<'_>) -> Outcome<(OldSecret, [u8; 32])> {
    let span = row::span(row, 6)?.unwrap_or_default();
    let old = OldSecret {
        key: parsed(row, 0)?,
        prefix: parsed(row, 1)?,
        replaced_at: time(row, 2)?,
        ends_at: time(row, 3)?,
        overlap: crate::overlap_of(row::text(row, 5)?, span),
        last_use: row::last_use(row, 7)?,
        since: time(row, 9)?,
    };
    Ok((old, digest(row, 4)?))
}

fn own_digest(sql: &Connection, id: KeyId) -> Outcome<[u8; 32]> {
    let query = "select digest from keys where id = ?1";
    let found = row::first(sql, query, params![IdText::of(id)], |row| digest(row, 0))?;
    found.ok_or_else(|| StoreError::NotFound("key").into())
}

fn set_own(sql: &Connection, key: &OrgKey, digest: [u8; 32]) -> Outcome<()> {
    let statement = "update keys set prefix = ?2, digest = ?3, secret_since = ?4,
         secret_used_at = ?5, secret_used_from = ?6, rotation_due_at = ?7 where id = ?1";
    let (used, from) = use_values(key.secret.last_use);
    let bound = params![
        IdText::of(key.id),
        key.prefix.as_str(),
        digest,
        key.secret.since.millis(),
        used,
        from,
        key.rotation_due_at().map(Timestamp::millis),
    ];
    match row::run(sql, statement, bound) {
        Err(fault)
            if ["keys.prefix", "keys.digest"]
                .iter()
                .any(|column| row::is_taken(&fault, column)) =>
        {
            Err(StoreError::PrefixTaken.into())
        }
        Err(fault) => Err(fault),
        Ok(_) => Ok(()),
    }
}

fn keep(sql: &Connection, old: &OldSecret, digest: [u8; 32]) -> Outcome<()> {
    let statement = "insert into old_secrets
         (prefix, key_id, digest, replaced_at, ends_at, overlap, overlap_span, used_at, used_from,
          since)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let (overlap, span) = crate::overlap_words(old.overlap);
    let (used, from) = use_values(old.last_use);
    let bound = params![
        old.prefix.as_str(),
        IdText::of(old.key),
        digest,
        old.replaced_at.millis(),
        old.ends_at.millis(),
        overlap,
        millis(span),
        used,
        from,
        old.since.millis(),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// A use as its two columns hold it.
fn use_values(last: Option<Use>) -> (Option<i64>, Option<String>) {
    let from = last.and_then(|last| last.from);
    (
        last.map(|last| last.at.millis()),
        from.map(|from| from.to_string()),
    )
}
