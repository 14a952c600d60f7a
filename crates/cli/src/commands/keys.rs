//! `claviger keys`.

use claviger_wire::keys::{
    Delegation, Key, KeyChange, LabelSelector, MintRequest, MintedKey, RateLimit, Revocation,
    RotationRequest, SuspensionRequest, Workspaces,
};

use super::{advice, whoami::push_grant};
use crate::{
    args::{
        keys::{
            DelegationArgs, KeysCommand, ListArgs, MintArgs, RevokeArgs, RotateArgs,
            SuspensionArgs, UpdateArgs,
        },
        pair::{self, Pair},
    },
    client::{Client, Query},
    error::Failure,
    input,
    output::{Cell, Output, Table, Tone},
    text::{or_dash, pairs, shell_quoted, workspaces},
};

/// Stands for every status.
const EVERY_STATUS: &str = "all";

/// Carries out one of the commands.
pub(super) async fn run(
    command: KeysCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        KeysCommand::Mint(args) => mint(*args, client, out).await,
        KeysCommand::List(args) => list(args, client, out).await,
        KeysCommand::Show { id } => {
            let key = client.get_key(&id).await?;
            out.show(&key, fields)
        }
        KeysCommand::Update(args) => {
            let id = args.id.clone();
            let key = client.update_key(&id, &change(*args)?).await?;
            out.show(&key, fields)
        }
        KeysCommand::Rotate(args) => rotate(args, client, out).await,
        KeysCommand::Suspend(args) => turn("suspend", args, client, out).await,
        KeysCommand::Resume(args) => turn("resume", args, client, out).await,
        KeysCommand::Revoke(args) => revoke(args, client, out).await,
        KeysCommand::Lineage { id } => super::lines::lineage(&id, client, out).await,
        KeysCommand::Usage(args) => advice::usage(args, client, out).await,
        KeysCommand::BlastRadius { id, since } => {
            super::blast::radius(&id, since, client, out).await
        }
        KeysCommand::Advice(args) => advice::advice(args, client, out).await,
        KeysCommand::Narrow(args) => advice::narrow(args, client, out).await,
        KeysCommand::Report(args) => advice::report(args, client, out).await,
    }
}

async fn mint(args: MintArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let idempotency_key = args.idempotency_key.clone();
    let body = request(args)?;
    let key = client.mint_key(&body, idempotency_key.as_deref()).await?;
    if out.is_json() {
        return out.json(&key);
    }
    let minted = Minted {
        id: &key.id,
        secret: &key.auth_token,
        warning: &key.warning,
        if_lost: "revoke it",
        example: format!("{}/org/whoami", client.url()),
    };
    show_minted(out, &minted_fields(&key), &minted)?;
    if !client.has_token() {
        out.note("to use it with this program: export CLAVIGER_TOKEN=<the secret>");
    }
    Ok(())
}

async fn rotate(args: RotateArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    for (is_asked, how) in [(args.finish, "finish"), (args.cancel, "cancel")] {
        if is_asked {
            let key = client.end_rotation(&args.id, how).await?;
            return out.show(&key, fields);
        }
    }
    let body = RotationRequest {
        overlap: args.overlap,
        on_first_use: args.on_first_use.then_some(true),
        when_quiet: args.when_quiet,
    };
    let key = client.rotate_key(&args.id, &body).await?;
    if out.is_json() {
        return out.json(&key);
    }
    let mut table = Table::fields();
    table.field("id", key.id.as_str());
    table.field("prefix", key.prefix.as_str());
    table.field("previous prefix", key.previous_prefix.as_str());
    table.field("overlap until", key.overlap_until.as_str());
    let seen = or_dash(key.previous_last_used_at.as_deref());
    table.field("previous last used", seen);
    let minted = Minted {
        id: &key.id,
        secret: &key.auth_token,
        warning: &key.warning,
        if_lost: "rotate it again after `claviger keys rotate ID --cancel`",
        example: format!("{}/org/whoami", client.url()),
    };
    show_minted(out, &table, &minted)
}

async fn turn(
    what: &str,
    args: SuspensionArgs,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let Some(id) = &args.id else {
        return super::lines::turn_many(what, args, client, out).await;
    };
    let body = SuspensionRequest {
        reason: args.reason,
        dry_run: args.dry_run.then_some(true),
    };
    if args.dry_run {
        let would = client.suspend_or_resume_key(id, what, &body).await?;
        return super::lines::show_turn(what, &would, out);
    }
    let key: Key = client.suspend_or_resume_key(id, what, &body).await?;
    out.show(&key, fields)
}

/// The workspaces that were named, by labels or by ids.
pub(super) fn bound(labels: &[Pair], ids: Vec<String>) -> Result<Option<Workspaces>, Failure> {
    match pair::some_map("--label", labels)? {
        Some(labels) => Ok(Some(Workspaces::Selector(LabelSelector { labels }))),
        None => binding(ids),
    }
}

pub(super) fn some(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}

pub(super) fn delegation(args: DelegationArgs) -> Option<Delegation> {
    let delegation = Delegation {
        depth: args.delegate_depth,
        keys: args.delegate_keys,
        lifetime: args.delegate_lifetime,
    };
    let is_given = delegation.depth.is_some() || delegation.keys.is_some();
    (is_given || delegation.lifetime.is_some()).then_some(delegation)
}

pub(super) fn rate_limit(per_minute: Option<u32>, per_day: Option<u32>) -> Option<RateLimit> {
    (per_minute.is_some() || per_day.is_some()).then_some(RateLimit {
        per_minute,
        per_day,
    })
}

/// The body of a change.
fn change(args: UpdateArgs) -> Result<KeyChange, Failure> {
    Ok(KeyChange {
        name: args.name,
        metadata: pair::some_map("--metadata", &args.metadata)?,
        preset: args.preset,
        permissions: some(args.permission),
        workspaces: bound(&args.label, args.workspace)?,
        endpoints: some(args.endpoint),
        not_before: args.not_before,
        ip_allow: some(args.ip_allow),
        rate_limit: rate_limit(args.per_minute, args.per_day),
        delegation: delegation(args.delegation),
        rotate_every: args.rotate_every,
        expires_in: args.expires_in,
        expires_at: args.expires_at,
    })
}

/// The body of a mint. What was not written stays out of it, and so is inherited.
fn request(args: MintArgs) -> Result<MintRequest, Failure> {
    Ok(MintRequest {
        name: args.name,
        preset: args.preset,
        permissions: some(args.permission),
        workspaces: bound(&args.label, args.workspace)?,
        endpoints: some(args.endpoint),
        expires_in: args.expires_in,
        expires_at: args.expires_at,
        not_before: args.not_before,
        ip_allow: some(args.ip_allow),
        rate_limit: rate_limit(args.per_minute, args.per_day),
        delegation: delegation(args.delegation),
        rotate_every: args.rotate_every,
        metadata: pair::some_map("--metadata", &args.metadata)?,
    })
}

fn binding(ids: Vec<String>) -> Result<Option<Workspaces>, Failure> {
    match ids.as_slice() {
        [] => Ok(None),
        [one] if one == "*" => Ok(Some(Workspaces::Word("*".to_owned()))),
        several if several.iter().any(|id| id == "*") => Err(Failure::Usage(
            "--workspace '*' is every workspace: name no other".to_owned(),
        )),
        _ => Ok(Some(Workspaces::Ids(ids))),
    }
}

/// A secret that was just minted.
pub(super) struct Minted<'a> {
    /// The id of what was minted.
    pub(super) id: &'a str,
    /// The secret.
    pub(super) secret: &'a str,
    /// What the server says about it.
    pub(super) warning: &'a str,
    /// What to do when it cannot be shown.
    pub(super) if_lost: &'static str,
    /// An address to try it on.
    pub(super) example: String,
}

/// Shows a secret for the only time: in a pipe alone on standard output, so that
/// `KEY=$(claviger keys mint ci)` works; to a person with all that belongs to it.
pub(super) fn show_minted(out: &Output, table: &Table, minted: &Minted<'_>) -> Result<(), Failure> {
    let written = if out.is_terminal() {
        out.table(table)
            .and_then(|()| out.line(&format!("\n{}\n", minted.secret)))
    } else {
        out.beside(table);
        out.line(minted.secret)
    };
    if let Err(failure) = written {
        return Err(Failure::Local(format!(
            "the secret of {} could not be shown ({failure}): {}",
            minted.id, minted.if_lost
        )));
    }
    out.warning(minted.warning);
    if out.is_terminal() {
        let header = shell_quoted(&format!("Authorization: Bearer {}", minted.secret));
        out.line(&format!(
            "\ncurl -H {header} {}",
            shell_quoted(&minted.example)
        ))?;
    }
    Ok(())
}

async fn list(args: ListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.limit;
    let list = client.list_keys(query(args), limit).await?;
    out.show(&list, |list| table(&list.tokens))?;
    if list.next_cursor.is_some() {
        out.note("there are more; give a larger --limit, or none");
    }
    Ok(())
}

fn query(args: ListArgs) -> Query {
    let status = if args.all {
        Some(EVERY_STATUS.to_owned())
    } else {
        Some(args.status.join(",")).filter(|status| !status.is_empty())
    };
    let named = [
        ("status", status),
        ("q", args.q),
        ("created_by", args.created_by),
        ("workspace", args.workspace),
        ("expiring", args.expiring),
    ];
    named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

async fn revoke(args: RevokeArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let question = if args.keep_descendants {
        format!("revoke {} for good, and keep what it minted?", args.id)
    } else {
        format!("revoke {} and every key that it minted, for good?", args.id)
    };
    input::confirm(out, &question, args.yes)?;
    let cascades = !args.keep_descendants;
    let revocation = client.revoke_key(&args.id, args.reason, cascades).await?;
    out.show(&revocation, revocation_fields)
}

pub(super) fn tone(status: &str) -> Tone {
    match status {
        "active" => Tone::Good,
        "not_yet_valid" | "suspended" => Tone::Warning,
        "expired" | "revoked" => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn table(keys: &[Key]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "PREFIX",
        "STATUS",
        "CREATED BY",
        "CREATED",
        "LAST USED",
        "EXPIRES",
        "WORKSPACES",
    ]);
    for key in keys {
        table.row([
            key.id.as_str().into(),
            key.name.as_str().into(),
            key.prefix.as_str().into(),
            Cell::toned(key.status.as_str(), tone(&key.status)),
            key.created_by.as_str().into(),
            key.created_at.as_str().into(),
            or_dash(key.last_used_at.as_deref()).into(),
            or_dash(key.expires_at.as_deref()).into(),
            workspaces(&key.grant.workspaces).into(),
        ]);
    }
    table
}

/// One key, field by field.
pub(super) fn fields(key: &Key) -> Table {
    let mut table = Table::fields();
    table.field("id", key.id.as_str());
    table.field("name", key.name.as_str());
    table.field("prefix", key.prefix.as_str());
    table.field(
        "status",
        Cell::toned(key.status.as_str(), tone(&key.status)),
    );
    table.field("created by", key.created_by.as_str());
    table.field("parent", or_dash(key.parent_id.as_deref()));
    table.field("created at", key.created_at.as_str());
    table.field("last used at", or_dash(key.last_used_at.as_deref()));
    table.field("last used from", or_dash(key.last_used_from.as_deref()));
    table.field("expires at", or_dash(key.expires_at.as_deref()));
    push_grant(&mut table, &key.grant);
    table.field("metadata", or_dash(Some(&pairs(&key.metadata))));
    if let Some(blocked) = &key.blocked {
        table.field("blocked", Cell::toned(blocked.as_str(), Tone::Bad));
    }
    if let Some(due) = &key.rotation_due_at {
        table.field("rotate every", or_dash(key.rotate_every.as_deref()));
        table.field("rotation due at", due.as_str());
    }
    if let (Some(own), Some(old)) = (&key.current, &key.previous) {
        table.field("current last used", or_dash(own.last_used_at.as_deref()));
        table.field("previous prefix", old.prefix.as_str());
        table.field("previous last used", or_dash(old.last_used_at.as_deref()));
        table.field("previous last from", or_dash(old.last_used_from.as_deref()));
        table.field("overlap until", old.overlap_until.as_str());
        if let Some(after) = &old.after {
            table.field("overlap ends", format!("{after} {}", old.ends).as_str());
        }
    }
    if key.suspended_at.is_some() {
        table.field("suspended at", or_dash(key.suspended_at.as_deref()));
        table.field("suspended by", or_dash(key.suspended_by.as_deref()));
        table.field(
            "suspended because",
            or_dash(key.suspended_reason.as_deref()),
        );
    }
    if key.revoked_at.is_some() {
        table.field("revoked at", or_dash(key.revoked_at.as_deref()));
        table.field("revoked by", or_dash(key.revoked_by.as_deref()));
        table.field("reason", or_dash(key.revoked_reason.as_deref()));
    }
    table
}

pub(super) fn minted_fields(key: &MintedKey) -> Table {
    let mut table = Table::fields();
    table.field("id", key.id.as_str());
    table.field("name", key.name.as_str());
    table.field("prefix", key.prefix.as_str());
    table.field("created by", key.created_by.as_str());
    table.field("expires at", or_dash(key.expires_at.as_deref()));
    push_grant(&mut table, &key.grant);
    table
}

fn revocation_fields(revocation: &Revocation) -> Table {
    let mut table = Table::fields();
    table.field("revoked", revocation.revoked.as_str());
    table.field("revoked at", revocation.revoked_at.as_str());
    table.field("effective at", revocation.effective_at.as_str());
    table.field("prefixes", or_dash(Some(&revocation.prefixes.join(","))));
    table.field(
        "descendants",
        or_dash(Some(&revocation.descendants.join(","))),
    );
    if !revocation.kept.is_empty() {
        table.field("kept", revocation.kept.join(",").as_str());
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use claviger_wire::keys::Workspaces;

    use super::{binding, query, request};
    use crate::args::{Cli, Command, keys::KeysCommand};

    fn keys(words: &[&str]) -> KeysCommand {
        let words = [&["claviger", "keys"], words].concat();
        match Cli::try_parse_from(words).expect("a command line").command {
            Some(Command::Keys(command)) => command,
            other => panic!("{other:?}"),
        }
    }

    fn body(words: &[&str]) -> String {
        let KeysCommand::Mint(args) = keys(words) else {
            panic!("not mint")
        };
        serde_json::to_string(&request(*args).expect("a request")).expect("JSON")
    }

    #[test]
    fn what_is_not_written_is_not_sent() {
        assert_eq!(body(&["mint", "ci"]), r#"{"name":"ci"}"#);
    }

    #[test]
    fn what_is_written_is_sent() {
        let sent = body(&[
            "mint",
            "ci",
            "--permission",
            "secrets:read",
            "--permission",
            "channels:*",
            "--label",
            "agent=x",
            "--endpoint",
            "GET /a",
            "--expires-in",
            "30d",
            "--ip-allow",
            "10.0.0.0/8",
            "--metadata",
            "team=a=b",
        ]);
        let expected = concat!(
            r#"{"name":"ci","permissions":["secrets:read","channels:*"],"#,
            r#""workspaces":{"labels":{"agent":"x"}},"endpoints":["GET /a"],"expires_in":"30d","#,
            r#""ip_allow":["10.0.0.0/8"],"metadata":{"team":"a=b"}}"#
        );
        assert_eq!(sent, expected);
    }

    #[test]
    fn the_star_stands_alone() {
        let star = "*".to_owned();
        assert_eq!(
            binding(vec![star.clone()]).ok(),
            Some(Some(Workspaces::Word(star.clone())))
        );
        assert!(binding(vec![star, "ws_1".to_owned()]).is_err());
    }

    #[test]
    fn filters_become_a_query() {
        let asked = |words: &[&str]| {
            let KeysCommand::List(args) = keys(words) else {
                panic!("not list")
            };
            query(args)
        };
        assert_eq!(asked(&["list"]), []);
        let expected = [
            ("status", "active,revoked".to_owned()),
            ("q", "ci".to_owned()),
        ];
        assert_eq!(
            asked(&[
                "list", "--status", "active", "--status", "revoked", "--q", "ci"
            ]),
            expected
        );
        assert_eq!(asked(&["list", "--all"]), [("status", "all".to_owned())]);
    }
}
