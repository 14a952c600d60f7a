//! The list of workspaces, and a new one.

use askama::Template;
use claviger_core::{
    action::{CreateWorkspace, ListWorkspaces},
    id::WorkspaceId,
};
use claviger_store::{Page as Part, Workspace};
use claviger_wire::workspaces::NewWorkspace;
use http::StatusCode;

use super::{PATH, about_labels, flash, read_labels};
use crate::{
    api::workspaces as api,
    failure::Failure,
    gate::{Call, Reply},
    ops::workspaces,
    web::{
        fault::Fault,
        html::{html, refused},
        layout::{Nav, Page},
        page,
        parts::Pager,
        time::When,
        who,
    },
};

/// How many workspaces a page shows.
const ROWS: u32 = 50;
/// How many of them are fetched at a time for a search.
const SEARCH_PART: u32 = 200;
/// How many of these parts one search looks at; it goes on from there on the next page.
const SEARCH_PARTS_MAX: usize = 10;

/// The list.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/list.html")]
struct ListPage {
    page: Page,
    rows: Vec<Row>,
    q: String,
    pager: Pager,
    may_create: bool,
}

/// A workspace as a row.
#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    labels: Vec<String>,
    created: When,
    created_by: String,
}

/// The form of a new workspace.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/new.html")]
struct NewPage {
    page: Page,
    name: String,
    labels: String,
    may_label: bool,
    fault: Fault,
}

/// `GET /canvas/workspaces`.
///
/// # Errors
/// 400 for a query that cannot be used, 503.
pub(super) async fn page(call: Call<ListWorkspaces>) -> Result<Reply, Failure> {
    let query = call.query(&["q", "cursor", "done"])?;
    let after = query.parse::<WorkspaceId>("cursor", "the place where a list goes on")?;
    let q = query.get("q").unwrap_or_default().trim().to_owned();
    let (found, next) = search(&call, &q, after).await?;
    let mut page = page::of(&call, Nav::Workspaces.label(), Nav::Workspaces);
    page.flash = flash(query.get("done"));
    let makers = found.iter().map(|workspace| &workspace.created_by);
    let names = who::key_names(&call, makers).await?;
    let row = |workspace: &Workspace| {
        let labels = workspace.labels.iter();
        Row {
            id: workspace.id.to_string(),
            name: workspace.name.clone(),
            labels: labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            created: page.when(workspace.created_at),
            created_by: who::words(&call.app, workspace.org, &workspace.created_by, &names),
        }
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    let shown = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let is_whole = after.is_none() && next.is_none();
    let list = ListPage {
        pager: Pager {
            shown,
            total: is_whole.then_some(shown),
            first: after.map(|_| href(&q, None)),
            next: next.map(|next| href(&q, Some(next))),
        },
        may_create: call.may::<CreateWorkspace>(None).await?,
        page,
        rows,
        q,
    };
    Ok(html(StatusCode::OK, &list))
}

/// The workspaces whose name, id or labels hold every word, and where the list goes on.
async fn search(
    call: &Call<ListWorkspaces>,
    q: &str,
    mut after: Option<WorkspaceId>,
) -> Result<(Vec<Workspace>, Option<WorkspaceId>), Failure> {
    let words: Vec<String> = q.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() {
        let part = Part { after, limit: ROWS };
        return workspaces::list(&call.app, &call.permit, part).await;
    }
    let fits = |workspace: &Workspace| {
        let mut text = format!("{} {}", workspace.name.to_lowercase(), workspace.id);
        for (name, value) in &workspace.labels {
            text.push_str(&format!(" {name}={value}").to_lowercase());
        }
        words.iter().all(|word| text.contains(word))
    };
    let most = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for _ in 0..SEARCH_PARTS_MAX {
        let limit = SEARCH_PART;
        let part = Part { after, limit };
        let (part, next) = workspaces::list(&call.app, &call.permit, part).await?;
        for workspace in part {
            let id = workspace.id;
            if fits(&workspace) {
                found.push(workspace);
            }
            if found.len() == most {
                return Ok((found, Some(id)));
            }
        }
        after = next;
        if next.is_none() {
            break;
        }
    }
    Ok((found, after))
}

fn href(q: &str, after: Option<WorkspaceId>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if !q.is_empty() {
        query.append_pair("q", q);
    }
    if let Some(after) = after {
        query.append_pair("cursor", &after.to_string());
    }
    match query.finish() {
        query if query.is_empty() => PATH.to_owned(),
        query => format!("{PATH}?{query}"),
    }
}

fn form_page(call: &Call<CreateWorkspace>, typed: (String, String), fault: Fault) -> NewPage {
    let (name, labels) = typed;
    NewPage {
        page: page::of(call, "New workspace", Nav::Workspaces).below("Workspaces", PATH),
        name,
        labels,
        may_label: may_label(call),
        fault,
    }
}

/// Labels decide what other keys reach: not everybody may give them.
fn may_label(call: &Call<CreateWorkspace>) -> bool {
    use claviger_core::permission::Permission;
    call.permit.is_unbound() || call.permit.has(Permission::OrgAdmin)
}

/// `GET /canvas/workspaces/new`.
///
/// # Errors
/// None of its own.
pub(super) async fn new(call: Call<CreateWorkspace>) -> Result<Reply, Failure> {
    let empty = (String::new(), String::new());
    let page = form_page(&call, empty, Fault::default());
    Ok(html(StatusCode::OK, &page))
}

/// `POST /canvas/workspaces`.
///
/// # Errors
/// As [`workspaces::create`]; what is wrong with the form is said on it.
pub(super) async fn create(mut call: Call<CreateWorkspace>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let name = form.get("name").unwrap_or_default().to_owned();
    let labels = form.exact("labels").unwrap_or_default();
    let typed = (name.clone(), labels.clone());
    let asked = match read_labels(&labels) {
        Ok(labels) => NewWorkspace {
            name,
            labels: Some(labels),
        },
        Err(fault) => {
            let failure = fault.failure();
            return Err(refused(failure, &form_page(&call, typed, fault)));
        }
    };
    match api::make(&call, asked, StatusCode::SEE_OTHER).await {
        Ok(made) => {
            let path = format!("{PATH}/{}?done=created", made.value.id);
            Ok(Reply::see_other(&path).written(made.receipt))
        }
        Err(failure) => Err(match Fault::of(&failure) {
            Some(fault) => refused(failure, &form_page(&call, typed, about_labels(fault))),
            None => failure,
        }),
    }
}
