//! The name and the labels of a workspace, and its end.

use askama::Template;
use claviger_core::{
    action::{Action, ChangeWorkspace, DeleteWorkspace, ReadWorkspace},
    permission::Permission,
};
use claviger_store::Workspace;
use claviger_wire::workspaces::WorkspaceChange;
use http::StatusCode;

use super::{
    PATH, about_labels,
    frame::{self, Frame, Part},
    keys::{self, Reach},
    labels_text, read_labels,
};
use crate::{
    api::workspaces as api,
    failure::Failure,
    gate::{Call, Reply},
    web::{
        fault::Fault,
        html::{html, refused},
        layout::Page,
    },
};

/// Name and labels.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/settings.html")]
struct SettingsPage {
    page: Page,
    workspace: Frame,
    name: String,
    labels: String,
    may_change: bool,
    may_label: bool,
    may_delete: bool,
    /// How many live keys of the org select workspaces by their labels, in words; empty for none.
    selecting: String,
    fault: Fault,
}

/// The question before a deletion.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/delete.html")]
struct DeletePage {
    page: Page,
    id: String,
    name: String,
    typed: String,
    /// Keys that name this workspace and no other: they reach nothing afterwards.
    bound: u64,
    channels: String,
    secrets: String,
    tokens: String,
    fault: Fault,
}

/// `GET /canvas/workspaces/{id}/settings`.
///
/// # Errors
/// 404, 503.
pub(super) async fn page(call: Call<ReadWorkspace>) -> Result<Reply, Failure> {
    let query = call.query(&["done"])?;
    let workspace = frame::found(&call).await?;
    let typed = (workspace.name.clone(), labels_text(&workspace.labels));
    let page = form_page(&call, typed, (query.get("done"), Fault::default())).await?;
    Ok(html(StatusCode::OK, &page))
}

async fn form_page<A: Action>(
    call: &Call<A>,
    (name, labels): (String, String),
    (done, fault): (Option<&str>, Fault),
) -> Result<SettingsPage, Failure> {
    let id = Some(call.workspace()?);
    let (page, workspace) = frame::of(call, Part::Settings, done).await?;
    let change = call.ask::<ChangeWorkspace>(id).await;
    Ok(SettingsPage {
        page,
        workspace,
        name,
        labels,
        may_label: change
            .as_ref()
            .is_ok_and(|permit| permit.is_unbound() || permit.has(Permission::OrgAdmin)),
        may_change: change.is_ok(),
        may_delete: call.may::<DeleteWorkspace>(id).await?,
        selecting: match keys::selecting_by_labels(&call.app, call.org()) {
            0 => String::new(),
            1 => "1 key of the org selects workspaces".to_owned(),
            count => format!("{count} keys of the org select workspaces"),
        },
        fault,
    })
}

/// `POST /canvas/workspaces/{id}/settings`.
///
/// # Errors
/// As the change through the API; what is wrong with the form is said on it.
pub(super) async fn change(mut call: Call<ChangeWorkspace>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let before = frame::found(&call).await?;
    let name = form.get("name").unwrap_or_default().to_owned();
    let labels = form.exact("labels");
    let typed = (name.clone(), labels.clone().unwrap_or_default());
    let asked = match labels.as_deref().map(read_labels).transpose() {
        // Labels that stay need no right to change them.
        Ok(labels) => WorkspaceChange {
            name: Some(name),
            labels: labels.filter(|labels| labels.0 != before.labels),
        },
        Err(fault) => {
            let failure = fault.failure();
            let page = form_page(&call, typed, (None, fault)).await?;
            return Err(refused(failure, &page));
        }
    };
    match api::apply(&call, asked, StatusCode::SEE_OTHER).await {
        Ok(changed) => {
            let path = format!("{PATH}/{}/settings?done=saved", changed.value.id);
            Ok(Reply::see_other(&path).written(changed.receipt))
        }
        Err(failure) => match Fault::of(&failure) {
            Some(fault) => {
                let page = form_page(&call, typed, (None, about_labels(fault))).await?;
                Err(refused(failure, &page))
            }
            None => Err(failure),
        },
    }
}

/// `GET /canvas/workspaces/{id}/delete`.
///
/// # Errors
/// 404, 503.
pub(super) async fn confirm_deletion(call: Call<DeleteWorkspace>) -> Result<Reply, Failure> {
    let workspace = frame::found(&call).await?;
    let page = delete_page(&call, workspace, (String::new(), Fault::default())).await?;
    Ok(html(StatusCode::OK, &page))
}

/// How many of a thing are counted before it is `more than`.
const COUNTED: u32 = 200;

/// A number of things in words, as far as it was counted.
fn count_words(count: usize, one: &str) -> String {
    let most = usize::try_from(COUNTED).unwrap_or(usize::MAX);
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        count if count >= most => format!("{count} {one}s or more"),
        count => format!("{count} {one}s"),
    }
}

async fn delete_page(
    call: &Call<DeleteWorkspace>,
    workspace: Workspace,
    (typed, fault): (String, Fault),
) -> Result<DeletePage, Failure> {
    let (org, id, store) = (workspace.org, workspace.id, &call.app.store);
    let channels = store.list_channels(org, id, first(COUNTED)).await?.len();
    let secrets = store.list_secrets(org, id, first(COUNTED)).await?.len();
    let tokens = store.list_workspace_tokens(org, id, first(COUNTED)).await?;
    let reach = Reach::of(&call.app, &workspace);
    let mut page = frame::below(call, &workspace, Part::Settings);
    page.title = "Delete the workspace".to_owned();
    Ok(DeletePage {
        page,
        id: id.to_string(),
        typed,
        bound: reach.bound_here_alone,
        channels: count_words(channels, "channel"),
        secrets: count_words(secrets, "secret"),
        tokens: count_words(tokens.len(), "deprecated token"),
        name: workspace.name,
        fault,
    })
}

const fn first<C>(limit: u32) -> claviger_store::Page<C> {
    claviger_store::Page { after: None, limit }
}

/// `POST /canvas/workspaces/{id}/delete`.
///
/// # Errors
/// 422 unless the name was typed; 404, 503.
pub(super) async fn delete(mut call: Call<DeleteWorkspace>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let workspace = frame::found(&call).await?;
    let typed = form.get("name").unwrap_or_default().to_owned();
    if typed != workspace.name {
        let fault = Fault::at_field("name", "Type the name of the workspace exactly as it is.");
        let failure = fault.failure();
        let page = delete_page(&call, workspace, (typed, fault)).await?;
        return Err(refused(failure, &page));
    }
    let deleted = api::drop_whole(&call, StatusCode::SEE_OTHER).await?;
    let path = format!("{PATH}?done=workspace_deleted");
    Ok(Reply::see_other(&path).written(deleted.receipt))
}
