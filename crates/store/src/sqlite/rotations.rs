//! Replaced secrets of keys.

use claviger_core::{
    id::{KeyId, OrgId},
    key::OldSecret,
    time::Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, keys, row,
    row::{IdText, digest, parsed, time},
};
use crate::{Acting, NewSecretOfKey, Rotated, RotationEnd, StoreError};

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
        replaced_at: new.at,
        ends_at: new.ends_at,
    };
    let old_digest = own_digest(sql, id)?;
    require_unused(sql, new.prefix.as_str())?;
    keep(sql, &old, old_digest)?;
    key.prefix = new.prefix;
    set_own(sql, id, new.prefix.as_str(), new.digest)?;
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
        set_own(sql, id, key.prefix.as_str(), digest)?;
    }
    old.ends_at = now;
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

/// Those that are accepted after this instant.
pub(super) fn load(sql: &Connection, after: Timestamp) -> Outcome<Vec<(OldSecret, [u8; 32])>> {
    let query = "select key_id, prefix, replaced_at,
                ends_at, digest
         from old_secrets where ends_at > ?1";
    row::all(sql, query, params![after.millis()], old_secret)
}

fn last(sql: &Connection, id: KeyId) -> Outcome<Option<(OldSecret, [u8; 32])>> {
    let query = "select key_id, prefix, replaced_at, ends_at, digest from old_secrets
         where key_id = ?1 order by replaced_at desc, ends_at desc limit 1";
    row::first(sql, query, params![IdText::of(id)], old_secret)
}

fn old_secret(row: &Row<'_>) -> Outcome<(OldSecret, [u8; 32])> {
    let old = OldSecret {
        key: parsed(row, 0)?,
        prefix: parsed(row, 1)?,
        replaced_at: time(row, 2)?,
        ends_at: time(row, 3)?,
    };
    Ok((old, digest(row, 4)?))
}

fn own_digest(sql: &Connection, id: KeyId) -> Outcome<[u8; 32]> {
    let query = "select digest from keys where id = ?1";
    let found = row::first(sql, query, params![IdText::of(id)], |row| digest(row, 0))?;
    found.ok_or_else(|| StoreError::NotFound("key").into())
}

fn set_own(sql: &Connection, id: KeyId, prefix: &str, digest: [u8; 32]) -> Outcome<()> {
    let statement = "update keys set prefix = ?2, digest = ?3 where id = ?1";
    match row::run(sql, statement, params![IdText::of(id), prefix, digest]) {
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
    let statement = "insert into old_secrets (prefix, key_id, digest, replaced_at, ends_at)
         values (?1, ?2, ?3, ?4, ?5)";
    let bound = params![
        old.prefix.as_str(),
        IdText::of(old.key),
        digest,
        old.replaced_at.millis(),
        old.ends_at.millis(),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}
