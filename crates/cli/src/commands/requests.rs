//! `claviger requests`.

use claviger_wire::{
    keys::Workspaces,
    requests::{ApprovalRequest, DenialRequest, KeyAsk, KeyRequest, WantedKey},
};

use super::{
    keys::{Minted, bound, delegation, minted_fields, rate_limit, show_minted, some},
    whoami::{push_grant, push_grant_of},
};
use crate::{
    args::{
        pair,
        requests::{ApproveArgs, AskArgs, GrantFlags, ListArgs, RequestsCommand},
    },
    client::{Client, Query},
    error::Failure,
    output::{Cell, Output, Table, Tone},
    text::{or_dash, pairs},
};

/// Carries out one of the commands.
pub(super) async fn run(
    command: RequestsCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        RequestsCommand::Ask(args) => ask(*args, client, out).await,
        RequestsCommand::List(args) => list(args, client, out).await,
        RequestsCommand::Show { id } => out.show(&client.get_request(&id).await?, fields),
        RequestsCommand::Approve(args) => {
            let id = args.id.clone();
            let request = client.approve_request(&id, &approval(*args)?).await?;
            out.show(&request, fields)
        }
        RequestsCommand::Deny { id, note } => {
            let request = client.deny_request(&id, &DenialRequest { note }).await?;
            out.show(&request, fields)
        }
        RequestsCommand::Withdraw { id } => out.show(&client.withdraw_request(&id).await?, fields),
        RequestsCommand::Collect { id } => collect(&id, client, out).await,
    }
}

async fn ask(args: AskArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let request = client.ask_for_key(&question(args)?).await?;
    if out.is_json() || out.is_terminal() {
        return out.show(&request, fields);
    }
    out.beside(&fields(&request));
    out.line(&request.id)
}

async fn collect(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let key = client.collect_key(id).await?;
    if out.is_json() {
        return out.json(&key);
    }
    let minted = Minted {
        id: &key.id,
        secret: &key.auth_token,
        warning: &key.warning,
        if_lost: "revoke it, and ask for another",
        example: format!("{}/org/whoami", client.url()),
    };
    show_minted(out, &minted_fields(&key), &minted)
}

async fn list(args: ListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let status = Some(args.status.join(",")).filter(|status| !status.is_empty());
    let query: Query = status
        .map(|status| ("status", status))
        .into_iter()
        .collect();
    let list = client.list_requests(query, args.limit).await?;
    out.show(&list, |list| table(&list.requests))?;
    if list.next_cursor.is_some() {
        out.note("there are more; give a larger --limit, or none");
    }
    Ok(())
}

fn binding(grant: &GrantFlags) -> Result<Option<Workspaces>, Failure> {
    bound(&grant.label, grant.workspace.clone())
}

/// The body of a question. What was not written stays out of it, and so is inherited.
fn question(args: AskArgs) -> Result<KeyAsk, Failure> {
    let workspaces = binding(&args.grant)?;
    let grant = args.grant;
    Ok(KeyAsk {
        name: args.name,
        justification: args.why,
        for_key: args.for_key,
        preset: grant.preset,
        permissions: some(grant.permission),
        workspaces,
        endpoints: some(grant.endpoint),
        expires_in: grant.expires_in,
        expires_at: grant.expires_at,
        not_before: grant.not_before,
        ip_allow: some(grant.ip_allow),
        rate_limit: rate_limit(grant.per_minute, grant.per_day),
        delegation: delegation(grant.delegation),
        metadata: pair::some_map("--metadata", &args.metadata)?,
    })
}

/// The body of an approval. What was not written stays as it was asked for.
fn approval(args: ApproveArgs) -> Result<ApprovalRequest, Failure> {
    let workspaces = binding(&args.grant)?;
    let grant = args.grant;
    Ok(ApprovalRequest {
        preset: grant.preset,
        permissions: some(grant.permission),
        workspaces,
        endpoints: some(grant.endpoint),
        not_before: grant.not_before,
        ip_allow: some(grant.ip_allow),
        rate_limit: rate_limit(grant.per_minute, grant.per_day),
        delegation: delegation(grant.delegation),
        expires_in: grant.expires_in,
        expires_at: grant.expires_at,
        note: args.note,
    })
}

fn tone(status: &str) -> Tone {
    match status {
        "approved" | "collected" => Tone::Good,
        "pending" => Tone::Warning,
        "denied" | "expired" => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn table(requests: &[KeyRequest]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "STATUS",
        "NAME",
        "ASKED BY",
        "ASKED",
        "EXPIRES",
        "PERMISSIONS",
        "JUSTIFICATION",
    ]);
    for request in requests {
        table.row([
            request.id.as_str().into(),
            Cell::toned(request.status.as_str(), tone(&request.status)),
            request.wanted.name.as_str().into(),
            request.asked_by.as_str().into(),
            request.asked_at.as_str().into(),
            request.expires_at.as_str().into(),
            or_dash(Some(&request.wanted.grant.permissions.join(","))).into(),
            request.justification.as_str().into(),
        ]);
    }
    table
}

fn fields(request: &KeyRequest) -> Table {
    let mut table = Table::fields();
    table.field("id", request.id.as_str());
    table.field(
        "status",
        Cell::toned(request.status.as_str(), tone(&request.status)),
    );
    table.field("asked by", request.asked_by.as_str());
    table.field("asked at", request.asked_at.as_str());
    table.field("justification", request.justification.as_str());
    if let Some(key) = &request.for_key {
        table.field("for", key.as_str());
    }
    push_wanted(&mut table, &request.wanted);
    table.field("expires at", request.expires_at.as_str());
    if let Some(by) = &request.decided_by {
        table.field("decided by", by.as_str());
        table.field("decided at", or_dash(request.decided_at.as_deref()));
        table.field("note", or_dash(request.decision_note.as_deref()));
    }
    if let Some(approved) = &request.approved {
        let life = approved
            .expires_in
            .as_ref()
            .or(approved.expires_at.as_ref());
        table.field("approved life", or_dash(life.map(String::as_str)));
        push_grant_of("approved ", &mut table, &approved.grant);
    }
    if let Some(key) = &request.token_id {
        table.field("collected at", or_dash(request.collected_at.as_deref()));
        table.field("key", key.as_str());
    }
    table
}

fn push_wanted(table: &mut Table, wanted: &WantedKey) {
    let life = wanted.expires_in.as_ref().or(wanted.expires_at.as_ref());
    table.field("name", wanted.name.as_str());
    table.field("life", or_dash(life.map(String::as_str)));
    push_grant(table, &wanted.grant);
    table.field("metadata", or_dash(Some(&pairs(&wanted.metadata))));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{approval, question};
    use crate::args::{Cli, Command, requests::RequestsCommand};

    fn requests(words: &[&str]) -> RequestsCommand {
        let words = [&["claviger", "requests"], words].concat();
        match Cli::try_parse_from(words).expect("a command line").command {
            Some(Command::Requests(command)) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_is_sent_and_nothing_else() {
        let words = [
            "ask",
            "writer",
            "--why",
            "a report",
            "--for",
            "tok_1",
            "--preset",
            "editor",
            "--expires-in",
            "7d",
            "--metadata",
            "team=a",
        ];
        let RequestsCommand::Ask(args) = requests(&words) else {
            panic!("not ask")
        };
        let sent = serde_json::to_string(&question(*args).expect("a question")).expect("JSON");
        let expected = concat!(
            r#"{"name":"writer","justification":"a report","for":"tok_1","preset":"editor","#,
            r#""expires_in":"7d","metadata":{"team":"a"}}"#
        );
        assert_eq!(sent, expected);
    }

    #[test]
    fn what_is_approved_without_words_is_what_was_asked() {
        let sent = |words: &[&str]| {
            let RequestsCommand::Approve(args) = requests(words) else {
                panic!("not approve")
            };
            serde_json::to_string(&approval(*args).expect("an approval")).expect("JSON")
        };
        assert_eq!(sent(&["approve", "req_1"]), "{}");
        assert_eq!(
            sent(&[
                "approve",
                "req_1",
                "--label",
                "a=b",
                "--per-day",
                "9",
                "--note",
                "n"
            ]),
            r#"{"workspaces":{"labels":{"a":"b"}},"rate_limit":{"per_day":9},"note":"n"}"#
        );
    }
}
