//! The deprecated tokens of workspaces that are still accepted.

use std::collections::{HashMap, hash_map::Entry};

use claviger_core::{
    action::ReadKeys,
    grant::Workspaces,
    id::{WorkspaceId, WorkspaceTokenId},
    key::KeyState,
    time::Timestamp,
};

use super::{Page, When};
use crate::{failure::Failure, gate::Call, web::who};

/// A token that is accepted.
#[derive(Debug)]
pub(super) struct Living {
    id: WorkspaceTokenId,
    workspace: WorkspaceId,
    prefix: String,
    name: String,
    created_by: String,
    last_used: Option<Timestamp>,
}

/// A token as a row.
#[derive(Debug)]
pub(super) struct TokenRow {
    pub(super) id: String,
    pub(super) workspace: String,
    pub(super) workspace_name: String,
    pub(super) prefix: String,
    pub(super) name: String,
    pub(super) created_by: String,
    pub(super) last_used: Option<When>,
}

/// The tokens of the org, those used last first. They are in memory.
pub(super) fn living(call: &Call<ReadKeys>) -> Vec<Living> {
    let (app, org) = (&call.app, call.org());
    let mut found = Vec::new();
    app.workspace_tokens.for_each(|token| {
        if let Workspaces::Ids(ids) = &token.grant.workspaces
            && let Some(workspace) = ids.first()
            && token.org == org
            && token.state == KeyState::Live
        {
            found.push(Living {
                id: token.id,
                workspace: *workspace,
                prefix: token.prefix.to_string(),
                name: token.name.to_string(),
                created_by: who::maker(app, org, &token.minter),
                last_used: None,
            });
        }
    });
    for token in &mut found {
        let slot = app.workspace_tokens.find_by_id(token.id);
        token.last_used = slot.and_then(|slot| slot.last_used());
    }
    found.sort_by(|one, other| {
        other
            .last_used
            .cmp(&one.last_used)
            .then(other.id.cmp(&one.id))
    });
    found
}

/// Where a part of the list that begins after this one begins; where it is gone, at the beginning.
pub(super) fn begin_after(living: &[Living], after: Option<WorkspaceTokenId>) -> usize {
    let place = living.iter().position(|token| Some(token.id) == after);
    place.map_or(0, |place| place + 1)
}

/// Those of a part of them, with the names of their workspaces.
///
/// # Errors
/// 503.
pub(super) async fn rows(
    call: &Call<ReadKeys>,
    living: &[Living],
    page: &Page,
) -> Result<Vec<TokenRow>, Failure> {
    let mut names = HashMap::new();
    let mut rows = Vec::new();
    for token in living {
        if let Entry::Vacant(unknown) = names.entry(token.workspace) {
            let found = call
                .app
                .store
                .find_workspace(call.org(), token.workspace)
                .await?;
            unknown.insert(found.map(|workspace| workspace.name));
        }
        let name = names.get(&token.workspace).cloned().flatten();
        rows.push(TokenRow {
            id: token.id.to_string(),
            workspace_name: name.unwrap_or_else(|| token.workspace.to_string()),
            workspace: token.workspace.to_string(),
            prefix: token.prefix.clone(),
            name: token.name.clone(),
            created_by: token.created_by.clone(),
            last_used: token.last_used.map(|at| page.when(at)),
        });
    }
    Ok(rows)
}
