//! What a change takes and gives: the maker of its record, and the receipt of it.

use std::sync::Arc;

use claviger_core::ledger::entry::Entry;

use crate::{LoadedKey, Revoked, Sealed, SealedRow, StoreError};

/// The outcome of an operation on the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Makes the audit record of a change from what the change came to. Called inside the transaction,
/// once, after the change and before the commit; the record is written in the same transaction.
/// Where a change is several things at once, it makes a record of each.
pub type Recorder<T, R = Entry> = Box<dyn FnOnce(&T) -> R + Send>;

/// Seals a value for the version that the transaction gives it.
pub type Sealer = Box<dyn FnOnce(u64) -> Sealed + Send>;

/// Takes every loaded key. May be called from several threads at once.
pub type KeySink = Arc<dyn for<'a> Fn(LoadedKey<'a>) + Send + Sync>;

/// Gives each sealed row its new sealed form, or says why it cannot.
pub type Resealer = Box<dyn FnMut(SealedRow) -> std::result::Result<Vec<u8>, String> + Send>;

/// Proof that an audit record was committed together with a change. Only the store makes one.
#[derive(Debug)]
#[must_use = "the gate needs the receipt, or it records the request again"]
pub struct Receipt(pub(crate) ());

/// What a change came to, and the receipt of its audit record.
#[derive(Debug)]
pub struct Written<T> {
    /// What it came to.
    pub value: T,
    /// Proof that it is recorded.
    pub receipt: Receipt,
}

/// What [`crate::LineStore::revoke_key`] came to.
#[derive(Debug)]
pub enum Revocations {
    /// The key was revoked now, with its living descendants.
    Now(Written<Revoked>),
    /// It had been revoked before; nothing was changed and nothing recorded.
    Before(Revoked),
}
