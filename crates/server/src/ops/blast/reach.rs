//! What a key could have reached.

use claviger_core::{
    grant::{Grant, WorkspaceFacts, Workspaces},
    id::{OrgId, WorkspaceId},
    permission::{Permission, PermissionSet},
};
use claviger_store::{ContentName, Contents, Line, Page, Workspace};

use crate::{app::App, failure::Failure};

/// How many workspaces of the org are looked at, and how many at a time.
const WORKSPACES_MAX: usize = 5000;
const WORKSPACES_PAGE: u32 = 1000;
/// Of how many workspaces it is told what lies in them, and how many names of each kind that are.
const NAMED_MAX: usize = 50;
pub(super) const NAMES_MAX: u32 = 2000;
/// What a key reaches by its own grant, those above it, and the policy, as they are now; whether or
/// not it is accepted.
#[derive(Debug, Default)]
pub struct Reach {
    /// The permissions.
    pub permissions: PermissionSet,
    /// How many workspaces, channels and secrets.
    pub counts: (usize, u64, u64),
    /// The newest of the workspaces.
    pub workspaces: Vec<Workspace>,
    /// What lies in those.
    pub contents: Contents,
    /// Whether the org has more workspaces than were looked at, or they hold more than is named.
    pub is_cut: bool,
}

impl Reach {
    /// Whether it reads the values of secrets.
    #[must_use]
    pub fn reveals(&self) -> bool {
        self.permissions.has(Permission::SecretsReveal)
    }

    /// Whether it mints keys.
    #[must_use]
    pub fn mints(&self) -> bool {
        self.permissions.has(Permission::TokensMint)
    }
}

/// What lies within all of these.
pub(super) async fn reach(app: &App, org: OrgId, line: &Line) -> Result<Reach, Failure> {
    let layers: Vec<&Grant> = std::iter::once(&line.key)
        .chain(&line.above)
        .map(|key| &key.grant)
        .collect();
    let ceiling = app.policies.of(org).and_then(|policy| policy.ceiling());
    let granted = layers.iter().copied().chain(ceiling.as_deref());
    let permissions = granted.map(|grant| grant.permissions);
    let mut reach = Reach {
        permissions: permissions.fold(PermissionSet::ALL, PermissionSet::intersection),
        ..Reach::default()
    };
    let is_bound = layers
        .iter()
        .any(|grant| grant.workspaces != Workspaces::All);
    let (mut after, mut looked_at) = (None, 0);
    loop {
        let page = Page {
            after,
            limit: WORKSPACES_PAGE,
        };
        let mut found = app.store.list_workspaces(org, page).await?;
        looked_at += found.len();
        let is_last = u32::try_from(found.len()).is_ok_and(|count| count < WORKSPACES_PAGE);
        after = found.last().map(|workspace| workspace.id);
        if is_bound {
            found.retain(|workspace| {
                let facts = WorkspaceFacts {
                    id: workspace.id,
                    labels: Some(&workspace.labels),
                };
                layers.iter().all(|grant| grant.workspaces.reaches(facts))
            });
        }
        let ids: Vec<WorkspaceId> = found.iter().map(|workspace| workspace.id).collect();
        for one in app.store.count_contents(org, &ids).await? {
            reach.counts.0 += 1;
            reach.counts.1 += one.channels;
            reach.counts.2 += one.secrets;
        }
        let room = NAMED_MAX - reach.workspaces.len();
        reach.workspaces.extend(found.into_iter().take(room));
        reach.is_cut = !is_last;
        if is_last || looked_at >= WORKSPACES_MAX {
            break;
        }
    }
    let named: Vec<WorkspaceId> = reach.workspaces.iter().map(|one| one.id).collect();
    reach.contents = app.store.name_contents(org, &named, NAMES_MAX).await?;
    let is_full =
        |names: &[ContentName]| u32::try_from(names.len()).is_ok_and(|count| count >= NAMES_MAX);
    reach.is_cut |= reach.counts.0 > named.len()
        || is_full(&reach.contents.channels)
        || is_full(&reach.contents.secrets);
    Ok(reach)
}
