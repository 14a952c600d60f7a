//! What the service does. Every operation takes the permit of its own action; none knows HTTP.

pub mod channels;
pub mod keys;
pub mod orgs;
pub mod secrets;
pub mod workspace_tokens;
pub mod workspaces;

use std::sync::Arc;

use claviger_store::StoreError;

use crate::{app::App, failure::Failure};

/// Passes the failure of a change that narrows authority on. When it is not known whether the
/// change happened, the index is made to agree with the store once that answers.
fn narrowing_failed(app: &Arc<App>, error: StoreError) -> Failure {
    if let StoreError::Unavailable { .. } = error {
        app.reconcile();
    }
    error.into()
}
