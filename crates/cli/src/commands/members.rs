//! `claviger members`.

use claviger_wire::people::{EndedSessions, Member, MemberTurn, RemovedMember, Session};

use crate::{
    args::members::MembersCommand,
    client::Client,
    error::Failure,
    input,
    output::{Output, Table},
    text::or_dash,
};

/// Carries out one of the commands.
pub(super) async fn run(
    command: MembersCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        MembersCommand::List => {
            let list = client.list_members().await?;
            out.show(&list, |list| table(&list.members))
        }
        MembersCommand::Show { id } => {
            let member = client.get_member(&id).await?;
            out.show(&member, fields)
        }
        MembersCommand::Suspend { id, reason } => {
            let turn = MemberTurn { reason };
            let member = client.turn_member(&id, "suspend", &turn).await?;
            out.show(&member, fields)
        }
        MembersCommand::Restore { id, reason } => {
            let turn = MemberTurn { reason };
            let member = client.turn_member(&id, "restore", &turn).await?;
            out.show(&member, fields)
        }
        MembersCommand::Remove {
            id,
            hand_over_to,
            reason,
            yes,
        } => {
            let keys = client.get_member(&id).await?.keys;
            let question = match &hand_over_to {
                Some(heir) => format!("remove {id}, and hand {keys} keys over to {heir}?"),
                None => format!("remove {id}, and revoke {keys} keys?"),
            };
            input::confirm(out, &question, yes)?;
            let removed = client
                .remove_member(&id, hand_over_to.as_ref(), reason.as_deref())
                .await?;
            out.show(&removed, removal)
        }
        MembersCommand::Sessions { id } => {
            let list = client.member_sessions(&id).await?;
            out.show(&list, |list| sessions(&list.sessions))
        }
        MembersCommand::SignOut { id } => {
            let ended = client.end_member_sessions(&id).await?;
            out.show(&ended, ends)
        }
    }
}

fn table(members: &[Member]) -> Table {
    let mut table = Table::new(&["ID", "E-MAIL", "ROLE", "STATE", "KEYS", "LAST SEEN"]);
    for member in members {
        table.row([
            member.id.as_str().into(),
            or_dash(member.email.as_deref()).into(),
            member.role.as_str().into(),
            member.state.as_str().into(),
            member.keys.to_string().into(),
            member.last_seen_at.as_str().into(),
        ]);
    }
    table
}

fn fields(member: &Member) -> Table {
    let mut table = Table::fields();
    table.field("id", member.id.as_str());
    table.field("e-mail", or_dash(member.email.as_deref()));
    table.field("name", or_dash(member.name.as_deref()));
    table.field("role", member.role.as_str());
    table.field("permissions", member.permissions.join(","));
    table.field("state", member.state.as_str());
    table.field("reason", or_dash(member.reason.as_deref()));
    table.field("keys", member.keys.to_string());
    table.field("sessions", member.sessions.to_string());
    table.field("last seen", member.last_seen_at.as_str());
    table
}

fn removal(removed: &RemovedMember) -> Table {
    let mut table = Table::fields();
    table.field("removed", removed.removed.as_str());
    table.field("removed at", removed.removed_at.as_str());
    table.field("keys revoked", removed.revoked_prefixes.len().to_string());
    table.field("keys handed over", removed.handed_over.len().to_string());
    table.field("to", or_dash(removed.hand_over_to.as_deref()));
    table.field(
        "workspace tokens revoked",
        removed.workspace_tokens_revoked.to_string(),
    );
    table
}

fn sessions(sessions: &[Session]) -> Table {
    let mut table = Table::new(&["ID", "METHOD", "BEGAN", "LAST USED", "FROM"]);
    for session in sessions {
        table.row([
            session.id.as_str().into(),
            session.method.as_str().into(),
            session.created_at.as_str().into(),
            session.last_used_at.as_str().into(),
            or_dash(session.client.as_deref()).into(),
        ]);
    }
    table
}

fn ends(ended: &EndedSessions) -> Table {
    let mut table = Table::fields();
    table.field("sessions ended", ended.ended.len().to_string());
    table
}
