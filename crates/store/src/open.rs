//! Opening the store: the only place that tells the two databases apart.

use std::{path::PathBuf, sync::Arc};

use claviger_core::id::OrgId;

use crate::{Result, Store, StoreError, postgres::Postgres, sqlite::Sqlite};

/// How to open the store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// Whether every audit record waits for the disk.
    pub sync_audit: bool,
    /// The id that the org `default` gets if the database is new.
    pub default_org: OrgId,
    /// When the database is opened, for rows that are made then.
    pub now: claviger_core::time::Timestamp,
}

/// Opens the database, brings its schema up to date, and makes sure that no other process serves it.
///
/// # Errors
/// [`StoreError::BadUrl`], [`StoreError::InUse`], [`StoreError::Unavailable`].
pub async fn open(options: OpenOptions) -> Result<Arc<dyn Store>> {
    if let Some(path) = options.url.strip_prefix("sqlite:") {
        return Ok(Arc::new(Sqlite::open(PathBuf::from(path), &options).await?));
    }
    if options.url.starts_with("postgres://") || options.url.starts_with("postgresql://") {
        return Ok(Arc::new(Postgres::open(&options).await?));
    }
    // The address may hold a password: it is not quoted.
    Err(StoreError::BadUrl(
        "the database URL must begin with `sqlite:` or `postgres://`".to_owned(),
    ))
}
