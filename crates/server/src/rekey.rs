//! `claviger secrets rekey`: everything that is sealed gets a new master key. The server is stopped
//! meanwhile: the lock on the database makes sure of it.

use std::path::{Path, PathBuf};

use claviger_core::{ledger::entry::Draft, tier::Actor};
use claviger_store::{Resealer, SealedRow, Store, Written};

use crate::{
    ServeError,
    app::{make_data_dir, open_store},
    clock,
    config::Config,
    entropy, private_file,
    seal::{self, Place, Sealer},
};

/// Where the new master key waits until the database has been changed.
pub(crate) fn next_path(path: &Path) -> PathBuf {
    private_file::with_suffix(path, ".next")
}

/// Puts the new master key in the place of the old one, in one step.
pub(crate) fn promote(path: &Path) -> Result<(), ServeError> {
    let renamed = std::fs::rename(next_path(path), path);
    renamed
        .and_then(|()| private_file::sync_directory(path))
        .map_err(|source| {
            seal::SealError::File {
                doing: "replace",
                path: path.display().to_string(),
                source,
            }
            .into()
        })
}

/// Reads or makes the master key, and makes sure that it is the one of this database.
///
/// An interrupted `secrets rekey` may have left the new key beside the old: the database says
/// which of the two counts.
pub(crate) async fn open_master_key(
    config: &Config,
    store: &dyn Store,
) -> Result<Sealer, ServeError> {
    let path = &config.master_key_file;
    let kept = store.deployment().await?.master_key_check;
    let may_make = !config.is_master_key_given && kept.is_none();
    let sealer = Sealer::new(&*seal::load_master_key(path, may_make)?)?;
    if store.keep_master_key_check(sealer.check()).await? == sealer.check() {
        return Ok(sealer);
    }
    let next = next_path(path);
    if next.exists() {
        let sealer = Sealer::new(&*seal::load_master_key(&next, false)?)?;
        if kept == Some(sealer.check()) {
            promote(path)?;
            return Ok(sealer);
        }
    }
    Err(ServeError::OtherMasterKey(path.display().to_string()))
}

/// Seals everything anew. Gives the number of sealed values.
///
/// The new key is written first, then the database is changed in one transaction, then the key
/// takes its place: whatever is interrupted, one of the two files opens the database, and the next
/// start finds out which.
///
/// # Errors
/// [`ServeError`]; then everything is as it was.
pub async fn rekey(config: Config, new_key_file: Option<PathBuf>) -> Result<u64, ServeError> {
    make_data_dir(&config)?;
    let store = open_store(&config).await?;
    let old = open_master_key(&config, &*store).await?;
    let path = &config.master_key_file;
    let next = next_path(path);
    std::fs::remove_file(&next).unwrap_or_default();
    match &new_key_file {
        None => drop(seal::make_master_key(&next)?),
        Some(given) => {
            seal::load_master_key(given, false)?;
            copy_private(given, &next).map_err(|source| seal::SealError::File {
                doing: "copy",
                path: next.display().to_string(),
                source,
            })?;
        }
    }
    let new = Sealer::new(&*seal::load_master_key(&next, false)?)?;
    let check = new.check();
    let org = store.deployment().await?.default_org;
    let reseal: Resealer = Box::new(move |row| reseal(&old, &new, &row));
    let record = Box::new(move |count: &u64| record(org, *count));
    let outcome = store.rekey(check, reseal, record).await;
    let count = match outcome {
        Ok(Written { value, receipt }) => {
            drop(receipt);
            value
        }
        Err(error) => {
            store.close().await;
            return Err(error.into());
        }
    };
    promote(path)?;
    store.close().await;
    Ok(count)
}

fn copy_private(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let text = zeroize::Zeroizing::new(std::fs::read(from)?);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    file.write_all(&text)?;
    file.sync_all()?;
    private_file::sync_directory(to)
}

fn reseal(old: &Sealer, new: &Sealer, row: &SealedRow) -> Result<Vec<u8>, String> {
    let (place, sealed) = match row {
        SealedRow::Secret {
            org,
            workspace,
            name,
            version,
            sealed,
        } => (
            Place::Secret {
                org: *org,
                workspace: *workspace,
                name,
                version: *version,
            },
            sealed,
        ),
        SealedRow::Channel {
            org,
            workspace,
            id,
            sealed,
        } => (
            Place::Channel {
                org: *org,
                workspace: *workspace,
                id: *id,
            },
            sealed,
        ),
    };
    let plain = old
        .open(place, sealed)
        .map_err(|error| format!("{place:?}: {error}"))?;
    new.seal(place, &plain).map_err(|error| error.to_string())
}

fn record(org: claviger_core::id::OrgId, count: u64) -> claviger_core::ledger::entry::Entry {
    let change = serde_json::json!({"rekeyed": {"sealed_values": count}}).to_string();
    let (id, at) = (entropy::new_id(), clock::now());
    Draft {
        path: "claviger secrets rekey",
        change: Some(&change),
        ..Draft::of_operation(id, entropy::bits(), at, org, &Actor::AdminToken)
    }
    .write()
}
