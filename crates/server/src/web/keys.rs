//! The pages about keys.

pub mod list;
