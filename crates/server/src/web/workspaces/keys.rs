//! The keys that reach a workspace: found in memory, so that no list of keys is read for it.

use std::collections::BinaryHeap;

use askama::Template;
use claviger_core::{
    action::ReadKeys,
    grant::{WorkspaceFacts, Workspaces},
    id::{KeyId, OrgId},
    key::{KeyCredential, KeyStatus},
};
use claviger_store::Workspace;
use http::StatusCode;

use super::frame::{self, Frame, Part};
use crate::{
    app::App,
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::keys::last_used,
    web::{html::html, layout::Page, parts::Pager, time::When, who},
};

/// How many keys a page shows.
const ROWS: usize = 50;

/// The keys.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/keys.html")]
struct KeysPage {
    page: Page,
    workspace: Frame,
    rows: Vec<Row>,
    reach: Reach,
    pager: Pager,
    may_mint: bool,
}

/// A key as a row.
#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    prefix: String,
    /// How it reaches the workspace.
    by: &'static str,
    permissions: Vec<String>,
    created_by: String,
    is_suspended: bool,
    last_used: Option<When>,
}

/// Which keys reach a workspace.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Those that reach every workspace.
    all: u64,
    /// Those that name it.
    named: u64,
    /// Those that name it and no other.
    pub(super) bound_here_alone: u64,
    /// Those whose labels it carries.
    by_labels: u64,
    /// The newest of them after a place, at most one more than a page shows.
    newest: Vec<KeyId>,
}

impl Reach {
    /// Looks at every key of the org that is in memory.
    pub(super) fn of(app: &App, workspace: &Workspace) -> Self {
        Self::after(app, workspace, None)
    }

    fn after(app: &App, workspace: &Workspace, after: Option<KeyId>) -> Self {
        let now = clock::now();
        let mut reach = Self::default();
        // The smallest id stands on top, so that it gives way to a newer one.
        let mut newest = BinaryHeap::new();
        let facts = WorkspaceFacts {
            id: workspace.id,
            labels: Some(&workspace.labels),
        };
        app.keys.for_each(|key| {
            if key.org != workspace.org
                || !is_live(key, now)
                || !key.grant.workspaces.reaches(facts)
            {
                return;
            }
            reach.count(&key.grant.workspaces);
            if after.is_none_or(|after| key.id < after) {
                newest.push(std::cmp::Reverse(key.id));
                if newest.len() > ROWS + 1 {
                    newest.pop();
                }
            }
        });
        let sorted = newest.into_sorted_vec().into_iter();
        reach.newest = sorted.map(|std::cmp::Reverse(id)| id).collect();
        reach
    }

    fn count(&mut self, binding: &Workspaces) {
        match binding {
            Workspaces::All => self.all += 1,
            Workspaces::Ids(ids) => {
                self.named += 1;
                self.bound_here_alone += u64::from(ids.len() == 1);
            }
            Workspaces::Labels(_) => self.by_labels += 1,
        }
    }

    const fn total(&self) -> u64 {
        self.all + self.named + self.by_labels
    }
}

/// A key that works, or will as soon as its time comes or somebody resumes it.
fn is_live(key: &KeyCredential, now: claviger_core::time::Timestamp) -> bool {
    let is_live = matches!(
        key.status(now),
        KeyStatus::Active | KeyStatus::NotYetValid | KeyStatus::Suspended
    );
    is_live && !key.is_replaced
}

/// How many live keys of an org select workspaces by their labels.
pub(super) fn selecting_by_labels(app: &App, org: OrgId) -> u64 {
    let now = clock::now();
    let mut count = 0;
    app.keys.for_each(|key| {
        let selects = matches!(key.grant.workspaces, Workspaces::Labels(_));
        count += u64::from(selects && key.org == org && is_live(key, now));
    });
    count
}

/// `GET /canvas/workspaces/{id}/keys`.
///
/// # Errors
/// 404, 503.
pub(super) async fn list(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    use claviger_core::action::MintKey;
    let query = call.query(&["cursor", "done"])?;
    let after = query.parse::<KeyId>("cursor", "the place where a list goes on")?;
    let found = frame::found(&call).await?;
    let mut reach = Reach::after(&call.app, &found, after);
    let (page, workspace) = frame::of(&call, Part::Keys, query.get("done")).await?;
    let is_more = reach.newest.len() > ROWS;
    reach.newest.truncate(ROWS);
    let rows: Vec<Row> = reach
        .newest
        .iter()
        .filter_map(|id| row(&call.app, &page, *id))
        .collect();
    let path = Part::Keys.href(found.id);
    let last = reach.newest.last().filter(|_| is_more);
    let keys = KeysPage {
        pager: Pager {
            shown: u64::try_from(rows.len()).unwrap_or(u64::MAX),
            total: Some(reach.total()),
            next: last.map(|last| format!("{path}?cursor={last}")),
            first: after.map(|_| path),
        },
        may_mint: call.may::<MintKey>(None).await?,
        page,
        workspace,
        rows,
        reach,
    };
    Ok(html(StatusCode::OK, &keys))
}

fn row(app: &App, page: &Page, id: KeyId) -> Option<Row> {
    let slot = app.keys.find_by_id(id)?;
    let key = &slot.credential;
    Some(Row {
        id: id.to_string(),
        name: key.name.to_string(),
        prefix: key.prefix.to_string(),
        by: match key.grant.workspaces {
            Workspaces::All => "every workspace",
            Workspaces::Ids(_) => "names it",
            Workspaces::Labels(_) => "by its labels",
        },
        permissions: key.grant.permissions.patterns(),
        created_by: who::maker(app, key.org, &key.minter),
        is_suspended: key.status(page.now) == KeyStatus::Suspended,
        last_used: last_used(app, &slot).map(|at| page.when(at)),
    })
}
