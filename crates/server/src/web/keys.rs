//! The pages about keys.

mod effective;
mod events;
pub(super) mod index;
pub(super) mod key;
pub mod list;
pub(super) mod mint;
mod sheet;
mod shelf;
mod status;
pub(super) mod stop;
mod typed;
mod words;
