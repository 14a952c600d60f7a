//! `claviger orgs`.

use claviger_wire::orgs::{DeletedOrg, NewOrg, Org};

use crate::{
    args::orgs::OrgsCommand,
    client::Client,
    error::Failure,
    input,
    output::{Output, Table},
};

/// Carries out one of the commands.
pub(super) async fn run(
    command: OrgsCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        OrgsCommand::Create { name } => {
            let org = client.create_org(&NewOrg { name }).await?;
            out.show(&org, |org| table(std::slice::from_ref(org)))
        }
        OrgsCommand::List => {
            let list = client.list_orgs().await?;
            out.show(&list, |list| table(&list.orgs))
        }
        OrgsCommand::Delete { id, yes } => {
            let question = format!(
                "delete the org {id}, all its workspaces and secrets, and revoke all its keys?"
            );
            input::confirm(out, &question, yes)?;
            let deleted = client.delete_org(&id).await?;
            out.show(&deleted, deletion)
        }
    }
}

fn table(orgs: &[Org]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "CREATED"]);
    for org in orgs {
        table.row([
            org.id.as_str().into(),
            org.name.as_str().into(),
            org.created_at.as_str().into(),
        ]);
    }
    table
}

fn deletion(deleted: &DeletedOrg) -> Table {
    let mut table = Table::fields();
    table.field("deleted", deleted.deleted.as_str());
    table.field("keys revoked", deleted.keys_revoked.to_string());
    table.field(
        "workspace tokens revoked",
        deleted.workspace_tokens_revoked.to_string(),
    );
    table
}
