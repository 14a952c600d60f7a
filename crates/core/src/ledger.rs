//! The audit trail: what one record says, byte for byte; records on their way to one commit; which
//! records a query wants, where they are, and what they say; the tree that proves that none was changed.

pub mod anchor;
pub mod batch;
pub mod checkpoint;
pub mod columns;
pub mod entry;
mod fields;
pub mod filter;
pub mod index;
pub mod note;
pub mod record;
pub mod retention;
pub mod search;
mod short;
pub mod tree;
pub mod verify;
pub mod witness;
