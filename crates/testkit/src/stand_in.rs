//! Identity providers, and those who take checkpoints or logs, for the tests: stand-ins that follow what is
//! documented, and misbehave when they are told to.

mod anchors;
mod collector;
mod oidc;
mod signer;
mod site;
mod witness;
mod workos;

pub use anchors::{AnchorStandIn, AnchorState, Behaviour};
pub use collector::{CollectorStandIn, CollectorState, Refusal};
pub use oidc::{OidcStandIn, OidcState};
pub use signer::{Kind, Signer};
pub use witness::{WitnessStandIn, WitnessState};
pub use workos::{Hold, WorkosStandIn, WorkosState, WorkosUser};
