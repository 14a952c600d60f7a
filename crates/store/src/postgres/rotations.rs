//! Replaced secrets of keys.

use claviger_core::{
    id::{KeyId, OrgId},
    key::{OldSecret, OrgKey, Overlap, OwnSecret, Use},
    time::Timestamp,
    token::Prefix,
};
use tokio_postgres::Row;

use super::{
    Postgres,
    fault::Outcome,
    keys,
    row::{self, Columns},
    session::{Change, Params},
};
use crate::{Acting, NewSecretOfKey, Result, Rotated, RotationEnd, StoreError, millis};

/// The columns of [`old_secret`].
macro_rules! old_columns {
    () => {
        "key_id, prefix, replaced_at, ends_at, digest, overlap, overlap_span, used_at, used_from, since"
    };
}

/// Puts a new secret in the place of the key's own.
pub(super) async fn rotate(
    change: &Change,
    org: OrgId,
    id: KeyId,
    (new, acting): (&NewSecretOfKey, Acting),
) -> Outcome<Rotated> {
    let (mut key, old_digest) = keys::require_living(change, org, id).await?;
    require_own_secret(change, acting).await?;
    let before = last(change, id).await?;
    if before.is_some_and(|(old, _)| old.ends_at > new.at) {
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
    let prefix = new.prefix.as_str();
    require_unused(change, prefix).await?;
    // Asked for before it is set: an error would end the transaction, and its words are no contract.
    let sql = "select 1 from keys where prefix = $1 or digest = $2";
    if change
        .row(sql, &[&prefix, &&new.digest[..]])
        .await?
        .is_some()
    {
        return Err(StoreError::PrefixTaken.into());
    }
    keep(change, &old, old_digest).await?;
    key.prefix = new.prefix;
    key.secret = OwnSecret {
        since: new.at,
        last_use: None,
    };
    set_own(change, &key, new.digest).await?;
    Ok(Rotated {
        key,
        digest: new.digest,
        old,
        old_digest,
    })
}

/// Ends the overlap that lasts at this instant.
pub(super) async fn end(
    change: &Change,
    org: OrgId,
    id: KeyId,
    (end, acting): (RotationEnd, Acting),
) -> Outcome<Rotated> {
    let now = acting.now;
    let (mut key, mut digest) = keys::require_living(change, org, id).await?;
    if end == RotationEnd::Cancel {
        require_own_secret(change, acting).await?;
    }
    let lasting = last(change, id).await?.filter(|(old, _)| old.ends_at > now);
    let (mut old, mut old_digest) = lasting.ok_or(StoreError::NotFound("rotation"))?;
    let forget = "delete from old_secrets where prefix = $1";
    change.execute(forget, &[&old.prefix.as_str()]).await?;
    if end == RotationEnd::Cancel {
        std::mem::swap(&mut key.prefix, &mut old.prefix);
        std::mem::swap(&mut digest, &mut old_digest);
        std::mem::swap(&mut key.secret.last_use, &mut old.last_use);
        std::mem::swap(&mut key.secret.since, &mut old.since);
        set_own(change, &key, digest).await?;
    }
    old.ends_at = now;
    old.overlap = Overlap::Fixed;
    keep(change, &old, old_digest).await?;
    Ok(Rotated {
        key,
        digest,
        old,
        old_digest,
    })
}

/// A key gives out new secrets only with the one that is its own now: a replaced secret, held perhaps
/// by somebody else, must neither bring itself back nor get another.
async fn require_own_secret(change: &Change, acting: Acting) -> Outcome<()> {
    let (Some(id), Some(prefix)) = (acting.key, acting.prefix) else {
        return Ok(());
    };
    let sql = "select 1 from keys where id = $1 and prefix = $2";
    match change
        .row(sql, &[&id.to_string(), &prefix.as_str()])
        .await?
    {
        Some(_) => Ok(()),
        None => Err(StoreError::SecretReplaced.into()),
    }
}

/// No secret that was replaced had this prefix: a prefix names one secret for ever.
pub(super) async fn require_unused(change: &Change, prefix: &str) -> Outcome<()> {
    let sql = "select 1 from old_secrets where prefix = $1";
    match change.row(sql, &[&prefix]).await? {
        Some(_) => Err(StoreError::PrefixTaken.into()),
        None => Ok(()),
    }
}

/// The clock of an overlap that waits for the new secret's first use has started.
pub(super) async fn start_overlap(
    change: &Change,
    (old, replaced_at): (Prefix, Timestamp),
    ends_at: Timestamp,
) -> Outcome<()> {
    let sql = "update old_secrets set overlap = 'fixed', ends_at = least(ends_at, $2) \
               where prefix = $1 and replaced_at = $3 and overlap <> 'fixed'";
    let values: Params<'_> = &[&old.as_str(), &ends_at.millis(), &replaced_at.millis()];
    change.execute(sql, values).await?;
    Ok(())
}

/// Those that are accepted after this instant.
pub(super) async fn load(
    store: &Postgres,
    after: Timestamp,
) -> Outcome<Vec<(OldSecret, [u8; 32])>> {
    let session = store.sessions.session().await?;
    let sql = concat!(
        "select ",
        old_columns!(),
        " from old_secrets where ends_at > $1"
    );
    let rows = session.rows(sql, &[&after.millis()]).await?;
    Ok(row::all(&rows, old_secret)?)
}

async fn last(change: &Change, id: KeyId) -> Outcome<Option<(OldSecret, [u8; 32])>> {
    let sql = concat!(
        "select ",
        old_columns!(),
        " from old_secrets where key_id = $1 order by replaced_at desc, ends_at desc limit 1"
    );
    let found = change.row(sql, &[&id.to_string()]).await?;
    Ok(found.as_ref().map(old_secret).transpose()?)
}

fn old_secret(row: &Row) -> Result<(OldSecret, [u8; 32])> {
    let columns = Columns::of("old_secrets", row);
    let span = columns.span("overlap_span")?.unwrap_or_default();
    let old = OldSecret {
        key: columns.parse("key_id")?,
        prefix: columns.parse("prefix")?,
        replaced_at: columns.time("replaced_at")?,
        ends_at: columns.time("ends_at")?,
        overlap: crate::overlap_of(columns.get("overlap")?, span),
        last_use: columns.last_use("used_at", "used_from")?,
        since: columns.time("since")?,
    };
    Ok((old, columns.digest("digest")?))
}

async fn set_own(change: &Change, key: &OrgKey, digest: [u8; 32]) -> Outcome<()> {
    let sql = "update keys set prefix = $2, digest = $3, secret_since = $4, secret_used_at = $5, \
               secret_used_from = $6, rotation_due_at = $7 where id = $1";
    let (used, from) = use_values(key.secret.last_use);
    let values: Params<'_> = &[
        &key.id.to_string(),
        &key.prefix.as_str(),
        &&digest[..],
        &key.secret.since.millis(),
        &used,
        &from,
        &key.rotation_due_at().map(Timestamp::millis),
    ];
    change.execute(sql, values).await?;
    Ok(())
}

async fn keep(change: &Change, old: &OldSecret, digest: [u8; 32]) -> Outcome<()> {
    let sql = "insert into old_secrets (prefix, key_id, digest, replaced_at, ends_at, overlap, \
               overlap_span, used_at, used_from, since) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let (overlap, span) = crate::overlap_words(old.overlap);
    let (used, from) = use_values(old.last_use);
    let values: Params<'_> = &[
        &old.prefix.as_str(),
        &old.key.to_string(),
        &&digest[..],
        &old.replaced_at.millis(),
        &old.ends_at.millis(),
        &overlap,
        &millis(span),
        &used,
        &from,
        &old.since.millis(),
    ];
    change.execute(sql, values).await?;
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
