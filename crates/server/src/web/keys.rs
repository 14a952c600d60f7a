//! The pages about keys.

pub(super) mod index;
pub mod list;
pub(super) mod mint;
mod sheet;
mod shelf;
mod status;
mod typed;
mod words;
