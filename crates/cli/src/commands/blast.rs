//! `claviger keys blast-radius`.

use claviger_wire::blast::{BlastRadius, Reach, Reveal, UserAgentUse};

use super::{advice, audit, keys::tone, whoami::push_grant};
use crate::{
    client::Client,
    error::Failure,
    output::{Cell, Output, Table, Tone},
    text::or_dash,
};

/// Shows what a leaked key could have reached, and what was done with it.
pub(super) async fn radius(
    id: &str,
    since: Option<String>,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let query = since.map(|since| ("since", since)).into_iter().collect();
    let radius = client.blast_radius(id, &query).await?;
    if out.is_json() {
        return out.json(&radius);
    }
    out.table(&fields(&radius))?;
    for (title, table) in [
        ("WITHIN REACH", reach(&radius.reach)),
        ("MINTED BELOW IT", descendants(&radius)),
        ("SECRETS SHOWN TO IT", reveals(&radius.reveals)),
        ("WHAT IT DID", advice::endpoints(&radius.endpoints)),
        ("FROM WHERE", advice::addresses(&radius.addresses)),
        ("WITH WHAT", agents(&radius.user_agents)),
        ("REFUSED", audit::table(&radius.refused)),
        ("DONE TO IT", audit::table(&radius.changes)),
    ] {
        if out.is_terminal() {
            out.line(&format!("\n{title}"))?;
        }
        out.table(&table)?;
    }
    Ok(())
}

fn fields(radius: &BlastRadius) -> Table {
    let mut table = Table::fields();
    let (key, reach) = (&radius.key, &radius.reach);
    table.field("id", key.id.as_str());
    table.field("name", key.name.as_str());
    table.field("prefix", key.prefix.as_str());
    table.field(
        "status",
        Cell::toned(key.status.as_str(), tone(&key.status)),
    );
    let accepted = match &radius.refused_because {
        None => Cell::toned("yes", Tone::Bad),
        Some(why) => Cell::toned(format!("no: {why}"), Tone::Good),
    };
    table.field("accepted now", accepted);
    table.field("since", radius.since.as_str());
    table.field("until", radius.until.as_str());
    table.field("minted by", key.created_by.as_str());
    push_grant(&mut table, &radius.grant);
    table.field("in effect", or_dash(Some(&reach.permissions.join(","))));
    if reach.reveals_secrets {
        let warning = "it reads the values of secrets";
        table.field("warning", Cell::toned(warning, Tone::Warning));
    }
    if reach.mints_keys {
        table.field("warning", Cell::toned("it mints keys", Tone::Warning));
    }
    table.field("workspaces", reach.workspaces.to_string());
    table.field("channels", reach.channels.to_string());
    table.field("secrets", reach.secrets.to_string());
    table.field("calls", radius.calls.to_string());
    table.field("refusals", radius.refusals.to_string());
    if let Some(since) = &radius.records_since {
        let note = format!("records of before {since} were dropped, as the policy asks");
        table.field("warning", Cell::toned(note, Tone::Warning));
    }
    for (is_cut, what) in [
        (reach.truncated, "of what is within reach"),
        (radius.descendants_truncated, "of what it minted"),
        (radius.user_agents_since.is_some(), "of its user agents"),
        (radius.reveals_since.is_some(), "of the secrets shown to it"),
        (radius.refused_truncated, "of what it was refused"),
        (radius.changes_truncated, "of what was done to it"),
    ] {
        if is_cut {
            table.field("note", format!("only a part is shown {what}"));
        }
    }
    table
}

fn reach(reach: &Reach) -> Table {
    let mut table = Table::new(&["WORKSPACE", "NAME", "CHANNELS", "SECRETS"]);
    for one in &reach.newest {
        table.row([
            one.id.as_str().into(),
            one.name.as_str().into(),
            or_dash(Some(&one.channels.join(","))).into(),
            or_dash(Some(&one.secrets.join(","))).into(),
        ]);
    }
    table
}

fn descendants(radius: &BlastRadius) -> Table {
    let mut table = Table::new(&["ID", "NAME", "PREFIX", "STATUS", "CREATED", "LAST USED"]);
    for key in &radius.descendants {
        table.row([
            key.id.as_str().into(),
            key.name.as_str().into(),
            key.prefix.as_str().into(),
            Cell::toned(key.status.as_str(), tone(&key.status)),
            key.created_at.as_str().into(),
            or_dash(key.last_used_at.as_deref()).into(),
        ]);
    }
    table
}

fn reveals(reveals: &[Reveal]) -> Table {
    let mut table = Table::new(&["WORKSPACE", "FIRST", "LAST", "TIMES", "CHANGE THESE"]);
    for one in reveals {
        table.row([
            one.workspace.as_str().into(),
            one.first_at.as_str().into(),
            one.last_at.as_str().into(),
            one.calls.to_string().into(),
            Cell::toned(or_dash(Some(&one.unchanged.join(","))), Tone::Warning),
        ]);
    }
    table
}

fn agents(agents: &[UserAgentUse]) -> Table {
    let mut table = Table::new(&["USER AGENT", "FIRST SEEN", "LAST SEEN", "CALLS"]);
    for one in agents {
        table.row([
            or_dash(one.user_agent.as_deref()).into(),
            one.first_at.as_str().into(),
            one.last_at.as_str().into(),
            one.calls.to_string().into(),
        ]);
    }
    table
}
