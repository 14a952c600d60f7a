//! What the service does. Every operation takes the permit of its own action; none knows HTTP.

pub mod advice;
pub mod audit;
pub mod blast;
pub mod channels;
pub mod found;
pub mod keys;
pub mod lines;
pub mod log;
pub mod mints;
pub mod orgs;
pub mod people;
pub mod policies;
pub mod requests;
pub(crate) mod retention;
pub mod rotations;
pub mod secrets;
pub mod sign_ins;
pub mod sso;
pub mod tail;
pub mod usage;
pub mod verify;
pub mod workspace_tokens;
pub mod workspaces;

use std::sync::Arc;

use claviger_core::tier::{Actor, Principal};
use claviger_store::{Acting, StoreError};

use crate::{app::App, clock, failure::Failure};

/// On whose behalf a change is made, to be checked again in its transaction: the key that was
/// presented, or the one that made the presented workspace token.
#[must_use]
pub fn acting(principal: &Principal) -> Acting {
    let maker = || principal.minter.as_ref()?.chain.first().copied();
    Acting {
        session: principal.session,
        key: principal.key.or_else(maker),
        prefix: match &principal.actor {
            Actor::OrgKey(prefix) => Some(*prefix),
            _ => None,
        },
        now: clock::now(),
    }
}

/// Passes the failure of a change that narrows authority on. When it is not known whether the
/// change happened, the index is made to agree with the store once that answers.
fn narrowing_failed(app: &Arc<App>, error: StoreError) -> Failure {
    if let StoreError::Unavailable { .. } = error {
        app.reconcile();
    }
    error.into()
}
