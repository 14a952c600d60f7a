//! Whether the database is behind what was anchored: it has fewer records, or others.

use std::{fmt, sync::Arc};

use claviger_core::{id::OrgId, ledger::tree::Hash, time::Timestamp};
use claviger_store::{Result, Store, StoreError};

use super::{FILE, file::Base};

/// A place knows records that the database does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollback {
    pub(super) org: OrgId,
    /// Where it was anchored.
    pub(super) place: Arc<str>,
    /// How many records, where that is known.
    pub(super) size: Option<u64>,
    /// The root, where that is known.
    pub(super) root: Option<Hash>,
    /// When, where that is known.
    pub(super) at: Option<Timestamp>,
    /// What there is instead.
    pub(super) there: There,
}

/// What the database has of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    /// The org is not there, and never was.
    Nothing,
    /// A tree.
    Tree {
        /// How many records there are.
        size: u64,
        /// Its root.
        root: Hash,
        /// The root of the first of them, as many as were anchored.
        then: Option<Hash>,
    },
    /// Records are missing, or cannot be read.
    Broken {
        /// How many there should be.
        size: u64,
        /// Why.
        reason: String,
    },
}

impl Rollback {
    /// The anchor file has records that the database does not have.
    pub(super) fn of_file(org: OrgId, base: &Base, there: There) -> Self {
        Self {
            org,
            place: FILE.into(),
            size: Some(base.size),
            root: Some(base.root),
            at: Some(base.at),
            there,
        }
    }
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, place, .. } = self;
        match self.size {
            Some(size) => write!(f, "of the audit trail of `{org}` {size} records")?,
            None => write!(f, "of the audit trail of `{org}` more records")?,
        }
        if let Some(root) = self.root {
            write!(f, " with the root {root}")?;
        }
        write!(f, " were anchored ({place})")?;
        if let Some(at) = self.at {
            write!(f, " at {at}")?;
        }
        match &self.there {
            There::Nothing => f.write_str(", and the database has no such org"),
            There::Tree { size, root, then } => match (self.size, then) {
                (Some(anchored), Some(then)) if self.root.is_some() => write!(
                    f,
                    ", and the first {anchored} of the {size} in the database have the root {then}"
                ),
                (Some(anchored), _) if anchored <= *size => write!(
                    f,
                    ", and the first of the {size} in the database are others"
                ),
                _ => write!(f, ", and the database has {size} with the root {root}"),
            },
            There::Broken { size, reason } => {
                write!(
                    f,
                    ", and the {size} in the database cannot be read: {reason}"
                )
            }
        }
    }
}

/// Whether the database has what a file says.
///
/// # Errors
/// When it cannot be asked.
pub(super) async fn compare(
    store: &dyn Store,
    org: OrgId,
    base: &Base,
) -> Result<std::result::Result<(), There>> {
    let there = there(store, org, Some(base.size)).await?;
    Ok(match there {
        _ if base.size == 0 => Ok(()),
        There::Tree {
            then: Some(then), ..
        } if then == base.root => Ok(()),
        other => Err(other),
    })
}

/// What the database has of a trail; the root of its first `size` records too, if it has as many.
///
/// # Errors
/// When it cannot be asked.
pub(super) async fn there(store: &dyn Store, org: OrgId, size: Option<u64>) -> Result<There> {
    let tree = match store.frontier(org).await {
        Ok(tree) => tree,
        Err(StoreError::NotFound(_)) => return Ok(There::Nothing),
        Err(error) => return Err(error),
    };
    let has = tree.size();
    let then = match size.filter(|size| *size <= has) {
        None => None,
        Some(size) => match store.frontier_at(org, size).await {
            Ok(tree) => Some(tree.root()),
            Err(StoreError::Corrupt { reason, .. }) => {
                return Ok(There::Broken { size: has, reason });
            }
            Err(error) => return Err(error),
        },
    };
    Ok(There::Tree {
        size: has,
        root: tree.root(),
        then,
    })
}
