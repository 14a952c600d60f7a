//! `claviger workspaces`.

use claviger_wire::{
    map::TextMap,
    workspaces::{
        DeletedWorkspace, NewWorkspace, NewWorkspaceToken, Workspace, WorkspaceChange,
        WorkspaceToken,
    },
};

use super::keys::{Minted, show_minted};
use crate::{
    args::{
        pair,
        workspaces::{TokensCommand, UpdateArgs, WorkspacesCommand},
    },
    client::Client,
    error::Failure,
    input,
    output::{Output, Table},
    text::{or_dash, pairs},
};

/// Carries out one of the commands.
pub(super) async fn run(
    command: WorkspacesCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        WorkspacesCommand::Create { name, label } => {
            let labels = pair::some_map("--label", &label)?;
            let workspace = client
                .create_workspace(&NewWorkspace { name, labels })
                .await?;
            out.show(&workspace, fields)
        }
        WorkspacesCommand::List => {
            let list = client.list_workspaces().await?;
            out.show(&list, |list| table(&list.workspaces))
        }
        WorkspacesCommand::Show { id } => {
            let workspace = client.get_workspace(&id).await?;
            out.show(&workspace, fields)
        }
        WorkspacesCommand::Update(update) => {
            let workspace = client
                .update_workspace(&update.id, &change(&update)?)
                .await?;
            out.show(&workspace, fields)
        }
        WorkspacesCommand::Delete { id, yes } => {
            let question = format!(
                "delete the workspace {id} with its channels and secrets, and revoke its tokens?"
            );
            input::confirm(out, &question, yes)?;
            let deleted = client.delete_workspace(&id).await?;
            out.show(&deleted, deletion)
        }
        WorkspacesCommand::Tokens(command) => tokens(command, client, out).await,
    }
}

async fn tokens(command: TokensCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        TokensCommand::Mint { workspace, name } => {
            let body = NewWorkspaceToken { name };
            let token = client.mint_workspace_token(&workspace, &body).await?;
            if out.is_json() {
                return out.json(&token);
            }
            let mut table = Table::fields();
            table.field("id", token.id.as_str());
            table.field("prefix", token.prefix.as_str());
            let minted = Minted {
                id: &token.id,
                secret: &token.auth_token,
                warning: &token.warning,
                if_lost: "revoke it",
                example: format!("{}/workspaces/{workspace}/channels", client.url()),
            };
            show_minted(out, &table, &minted)
        }
        TokensCommand::List { workspace } => {
            let list = client.list_workspace_tokens(&workspace).await?;
            out.show(&list, |list| token_table(&list.tokens))
        }
        TokensCommand::Revoke { workspace, id } => {
            let revoked = client.revoke_workspace_token(&workspace, &id).await?;
            out.show(&revoked, |revoked| {
                let mut table = Table::fields();
                table.field("revoked", revoked.revoked.as_str());
                table.field("revoked at", revoked.revoked_at.as_str());
                table
            })
        }
    }
}

fn change(update: &UpdateArgs) -> Result<WorkspaceChange, Failure> {
    let labels = if update.no_labels {
        Some(TextMap::default())
    } else {
        pair::some_map("--label", &update.label)?
    };
    Ok(WorkspaceChange {
        name: update.name.clone(),
        labels,
    })
}

fn fields(workspace: &Workspace) -> Table {
    let mut table = Table::fields();
    table.field("id", workspace.id.as_str());
    table.field("name", workspace.name.as_str());
    table.field("labels", or_dash(Some(&pairs(&workspace.labels))));
    table.field("created by", workspace.created_by.as_str());
    table.field("created at", workspace.created_at.as_str());
    table.field("updated at", workspace.updated_at.as_str());
    table
}

fn table(workspaces: &[Workspace]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "LABELS", "CREATED BY", "CREATED"]);
    for workspace in workspaces {
        table.row([
            workspace.id.as_str().into(),
            workspace.name.as_str().into(),
            or_dash(Some(&pairs(&workspace.labels))).into(),
            workspace.created_by.as_str().into(),
            workspace.created_at.as_str().into(),
        ]);
    }
    table
}

fn token_table(tokens: &[WorkspaceToken]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "PREFIX", "CREATED BY", "CREATED", "LAST USED"]);
    for token in tokens {
        table.row([
            token.id.as_str().into(),
            or_dash(Some(&token.name)).into(),
            token.prefix.as_str().into(),
            token.created_by.as_str().into(),
            token.created_at.as_str().into(),
            or_dash(token.last_used_at.as_deref()).into(),
        ]);
    }
    table
}

fn deletion(deleted: &DeletedWorkspace) -> Table {
    let mut table = Table::fields();
    table.field("deleted", deleted.deleted.as_str());
    table.field("channels", deleted.channels.to_string());
    table.field("secrets", deleted.secrets.to_string());
    table.field("tokens revoked", deleted.tokens_revoked.to_string());
    table
}
