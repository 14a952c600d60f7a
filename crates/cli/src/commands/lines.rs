//! `claviger keys lineage`, and suspensions of many keys at once.

use claviger_wire::lines::{Lineage, Relative, Selected, SelectionRequest, Stopped};

use super::keys::tone;
use crate::{
    args::{keys::SuspensionArgs, pair},
    client::Client,
    error::Failure,
    input,
    output::{Cell, Output, Table},
    text::or_dash,
};

/// Shows where a key comes from, and what descends from it.
pub(super) async fn lineage(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let lineage = client.lineage(id).await?;
    out.show(&lineage, tree)
}

/// The line as a tree: each generation is set in by two places.
fn tree(lineage: &Lineage) -> Table {
    let mut table = Table::new(&["KEY", "ID", "PREFIX", "STATUS", "LAST USED", "CREATED BY"]);
    let mut row = |depth: usize, name: String, key: &Relative| {
        table.row([
            format!("{}{name}", "  ".repeat(depth)).as_str().into(),
            key.id.as_str().into(),
            key.prefix.as_str().into(),
            Cell::toned(key.status.as_str(), tone(&key.status)),
            or_dash(key.last_used_at.as_deref()).into(),
            key.created_by.as_str().into(),
        ]);
    };
    for (depth, key) in lineage.ancestors.iter().rev().enumerate() {
        row(depth, key.name.clone(), key);
    }
    let depth = lineage.ancestors.len();
    row(depth, format!("> {}", lineage.key.name), &lineage.key);
    let mut waiting = vec![(depth + 1, lineage.key.id.as_str())];
    // Depth first, so that each key stands below its parent.
    while let Some((depth, parent)) = waiting.pop() {
        let is_child = |key: &&Relative| key.parent_id.as_deref() == Some(parent);
        if let Some(key) = lineage.descendants.iter().find(|key| key.id == parent) {
            row(depth - 1, key.name.clone(), key);
        }
        let children = lineage.descendants.iter().filter(is_child).rev();
        waiting.extend(children.map(|key| (depth + 1, key.id.as_str())));
    }
    table
}

/// Suspends or resumes many keys at once.
pub(super) async fn turn_many(
    what: &str,
    args: SuspensionArgs,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let is_asked = !args.dry_run && !args.yes;
    let body = SelectionRequest {
        under: args.under,
        created_by: args.created_by,
        metadata: pair::some_map("--tag", &args.tag)?,
        minted_since: args.minted_since,
        suspended_since: args.suspended_since,
        suspended_by: args.suspended_by,
        reason: args.reason,
        dry_run: args.dry_run.then_some(true),
    };
    if is_asked {
        let question = format!("{what} every key that fits?");
        if what == "suspend" {
            let look = SelectionRequest {
                dry_run: Some(true),
                ..body.clone()
            };
            let looked = client.suspend_or_resume_keys(what, &look).await?;
            out.beside(&table(&looked));
            out.note(&format!(
                "{} keys, and {} below them",
                looked.count, looked.below_count
            ));
        }
        input::confirm(out, &question, false)?;
    }
    let selected = client.suspend_or_resume_keys(what, &body).await?;
    show_turn(what, &selected, out)
}

/// What stopped or goes on, or would.
pub(super) fn show_turn(what: &str, selected: &Selected, out: &Output) -> Result<(), Failure> {
    out.show(selected, table)?;
    let done = match (selected.dry_run, what) {
        (true, _) => "would be suspended",
        (false, "suspend") => "suspended",
        (false, _) => "resumed",
    };
    out.note(&format!("{} {done}", selected.count));
    if selected.below_count > 0 {
        let verb = if selected.dry_run {
            "would stop"
        } else {
            "stop"
        };
        out.note(&format!(
            "{} more {verb} with a key above them",
            selected.below_count
        ));
    }
    if !selected.spared.is_empty() {
        out.note(&format!(
            "left as they are, for you act with them: {}",
            selected.spared.join(", ")
        ));
    }
    Ok(())
}

fn table(selected: &Selected) -> Table {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "PREFIX",
        "STOPS",
        "LAST USED",
        "LAST 2 H",
        "CREATED BY",
    ]);
    let mut row = |key: &Stopped, how: &str| {
        let calls = key.calls_last_hour.map(|calls| calls.to_string());
        table.row([
            key.id.as_str().into(),
            key.name.as_str().into(),
            key.prefix.as_str().into(),
            how.into(),
            or_dash(key.last_used_at.as_deref()).into(),
            or_dash(calls.as_deref()).into(),
            key.created_by.as_str().into(),
        ]);
    };
    selected.keys.iter().for_each(|key| row(key, "itself"));
    selected
        .below
        .iter()
        .for_each(|key| row(key, "with a key above"));
    table
}
