//! What stands around every page of one workspace: its name, its labels, the way to its parts.

use claviger_core::{
    action::{
        Action, ChangeWorkspace, DeleteWorkspace, ListSecrets, ManageWorkspaceTokens, ReadChannels,
        ReadKeys, ReadWorkspace,
    },
    id::WorkspaceId,
};
use claviger_store::Workspace;

use super::{PATH, flash};
use crate::{
    failure::Failure,
    gate::Call,
    web::{
        layout::{Nav, Page},
        page,
        parts::Tab,
        time::When,
        who,
    },
};

/// A part of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Channels,
    Secrets,
    Keys,
    Tokens,
    Settings,
}

impl Part {
    const fn label(self) -> &'static str {
        match self {
            Self::Channels => "Channels",
            Self::Secrets => "Secrets",
            Self::Keys => "Keys",
            Self::Tokens => "Tokens",
            Self::Settings => "Settings",
        }
    }

    /// Its page.
    pub(super) fn href(self, workspace: WorkspaceId) -> String {
        let end = match self {
            Self::Channels => "",
            Self::Secrets => "/secrets",
            Self::Keys => "/keys",
            Self::Tokens => "/tokens",
            Self::Settings => "/settings",
        };
        format!("{PATH}/{workspace}{end}")
    }
}

/// A workspace as the head of its pages shows it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Its id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Its labels, as `name=value`.
    pub(super) labels: Vec<String>,
    /// When it was made.
    pub(super) created: When,
    /// Who made it.
    pub(super) created_by: String,
    /// Its parts, those that the reader may see.
    pub(super) tabs: Vec<Tab>,
}

/// The workspace of a call. Whoever may not read it is told nothing of it, whatever the page is about.
pub(super) async fn found<A: Action>(call: &Call<A>) -> Result<Workspace, Failure> {
    let id = call.workspace()?;
    call.ask::<ReadWorkspace>(Some(id)).await?;
    let found = call.app.store.find_workspace(call.org(), id).await?;
    found.ok_or(Failure::NotFound("workspace"))
}

/// The page of a part of the workspace of a call.
pub(super) async fn of<A: Action>(
    call: &Call<A>,
    part: Part,
    done: Option<&str>,
) -> Result<(Page, Frame), Failure> {
    let workspace = found(call).await?;
    let mut page = page::of(call, &workspace.name, Nav::Workspaces).below("Workspaces", PATH);
    page.flash = flash(done);
    let id = Some(workspace.id);
    let may = [
        (Part::Channels, call.may::<ReadChannels>(id).await?),
        (Part::Secrets, call.may::<ListSecrets>(id).await?),
        (Part::Keys, call.may::<ReadKeys>(id).await?),
        (Part::Tokens, call.may::<ManageWorkspaceTokens>(id).await?),
        (
            Part::Settings,
            call.may::<ChangeWorkspace>(id).await? || call.may::<DeleteWorkspace>(id).await?,
        ),
    ];
    // The first is the page of the workspace itself, whatever the reader may see there.
    let shown = may
        .into_iter()
        .filter(|(other, may)| *may || *other == Part::Channels);
    let tabs = shown.map(|(other, _)| Tab {
        label: other.label().to_owned(),
        href: other.href(workspace.id),
        count: None,
        is_current: other == part,
    });
    let names = who::key_names(call, [&workspace.created_by]).await?;
    let labels = workspace.labels.iter();
    let frame = Frame {
        id: workspace.id.to_string(),
        labels: labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        created: page.when(workspace.created_at),
        created_by: who::words(&call.app, workspace.org, &workspace.created_by, &names),
        tabs: tabs.collect(),
        name: workspace.name,
    };
    Ok((page, frame))
}

/// The page of something below a part of a workspace: a form, or a question.
pub(super) fn below<A: Action>(call: &Call<A>, workspace: &Workspace, part: Part) -> Page {
    let page = page::of(call, "", Nav::Workspaces)
        .below("Workspaces", PATH)
        .below(&workspace.name, Part::Channels.href(workspace.id));
    match part {
        Part::Channels => page,
        other => page.below(other.label(), other.href(workspace.id)),
    }
}
