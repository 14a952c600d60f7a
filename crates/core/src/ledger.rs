//! The audit trail: what one record says, byte for byte.

pub mod entry;
