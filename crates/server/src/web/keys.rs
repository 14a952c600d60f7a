//! The pages about keys.

pub(super) mod blast;
pub(super) mod edit;
mod effective;
mod events;
pub(super) mod index;
pub(super) mod key;
pub mod list;
pub(super) mod mint;
pub(super) mod rotate;
mod sheet;
mod shelf;
mod status;
pub(super) mod stop;
mod typed;
pub(super) mod words;
