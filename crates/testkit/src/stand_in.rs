//! Identity providers for the tests: stand-ins that follow what is documented, and misbehave when
//! they are told to.

mod oidc;
mod signer;
mod site;
mod workos;

pub use oidc::{OidcStandIn, OidcState};
pub use signer::{Kind, Signer};
pub use workos::{Hold, WorkosStandIn, WorkosState, WorkosUser};
