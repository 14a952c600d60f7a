//! `claviger keys usage`, `advice`, `narrow` and `report`: what keys were used for, and what would be
//! enough.

use claviger_wire::{
    advice::{KeyAdvice, OrgAdvice},
    keys::Grant,
    usage::{AddressUse, EndpointUse, KeyUsage},
};

use super::{keys, whoami::push_grant};
use crate::{
    args::advice::{AdviceArgs, NarrowArgs, ReportArgs, UsageArgs},
    client::{Client, Query},
    error::Failure,
    input,
    output::{Cell, Output, Table, Tone},
    text::or_dash,
};

/// Names and values of a query, without those that are absent.
fn query<const N: usize>(named: [(&'static str, Option<String>); N]) -> Query {
    let named = named.into_iter();
    named
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// `claviger keys usage`.
pub(super) async fn usage(args: UsageArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let asked = [
        ("since", args.since),
        ("until", args.until),
        ("by", args.by),
    ];
    let usage = client.key_usage(&args.id, &query(asked)).await?;
    if out.is_json() {
        return out.json(&usage);
    }
    out.table(&usage_fields(&usage))?;
    for table in [endpoints(&usage.endpoints), addresses(&usage.addresses)] {
        if out.is_terminal() {
            out.line("")?;
        }
        out.table(&table)?;
    }
    Ok(())
}

/// `claviger keys advice`.
pub(super) async fn advice(args: AdviceArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let advice = ask(&args, client).await?;
    out.show(&advice, advice_fields)?;
    if advice.apply.is_some() && !out.is_json() {
        out.note(&format!("to apply it: claviger keys narrow {}", args.id));
    }
    Ok(())
}

/// `claviger keys narrow`.
pub(super) async fn narrow(args: NarrowArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let advice = ask(&args.advice, client).await?;
    let table = advice_fields(&advice);
    // With `--json`, standard output is the narrowed key and nothing else.
    if out.is_terminal() && !out.is_json() {
        out.table(&table)?;
    } else {
        out.beside(&table);
    }
    let Some(apply) = advice.apply else {
        return Err(Failure::Local(
            "nothing was changed: there is nothing to narrow, and the notes say why".to_owned(),
        ));
    };
    let question = format!("narrow {} to this?", args.advice.id);
    input::confirm(out, &question, args.yes)?;
    let key = client.update_key(&args.advice.id, &apply.body).await?;
    out.show(&key, keys::fields)
}

/// `claviger keys report`.
pub(super) async fn report(args: ReportArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let asked = [("unused_for", args.unused_for), ("idle_for", args.idle_for)];
    let report = client.org_advice(query(asked), args.limit).await?;
    out.show(&report, findings)?;
    if report.next_cursor.is_some() {
        out.note("there are more; give a larger --limit, or none");
    }
    Ok(())
}

async fn ask(args: &AdviceArgs, client: &Client) -> Result<KeyAdvice, Failure> {
    let yes = |is_wanted: bool| is_wanted.then(|| "true".to_owned());
    let asked = [
        ("window", args.window.clone()),
        ("endpoints", yes(args.endpoints)),
        ("addresses", yes(args.addresses)),
    ];
    client.key_advice(&args.id, &query(asked)).await
}

fn usage_fields(usage: &KeyUsage) -> Table {
    let mut table = Table::fields();
    table.field("since", usage.since.as_str());
    table.field("until", usage.until.as_str());
    table.field("calls", usage.calls.to_string());
    table.field("refusals", usage.refusals.to_string());
    table.field("last used at", or_dash(usage.last_used_at.as_deref()));
    table.field("endpoints", usage.distinct.endpoints.to_string());
    table.field("workspaces", usage.distinct.workspaces.to_string());
    table.field("addresses", usage.distinct.addresses.to_string());
    for one in &usage.by {
        let refused = match one.refusals {
            0 => String::new(),
            count => format!(", {count} refused"),
        };
        table.field(&one.from, format!("{} calls{refused}", one.calls));
    }
    table
}

pub(super) fn endpoints(endpoints: &[EndpointUse]) -> Table {
    let mut table = Table::new(&["METHOD", "ROUTE", "WORKSPACE", "CALLS", "REFUSALS"]);
    for one in endpoints {
        let refusals = match one.refusals {
            0 => Cell::from("0"),
            count => Cell::toned(count.to_string(), Tone::Warning),
        };
        table.row([
            one.method.as_str().into(),
            or_dash(Some(&one.route)).into(),
            or_dash(one.workspace.as_deref()).into(),
            one.calls.to_string().into(),
            refusals,
        ]);
    }
    table
}

pub(super) fn addresses(addresses: &[AddressUse]) -> Table {
    let mut table = Table::new(&["ADDRESS", "FIRST SEEN", "LAST SEEN", "CALLS"]);
    for one in addresses {
        table.row([
            one.address.as_str().into(),
            one.first_at.as_str().into(),
            one.last_at.as_str().into(),
            one.calls.to_string().into(),
        ]);
    }
    table
}

fn advice_fields(advice: &KeyAdvice) -> Table {
    let mut table = Table::fields();
    table.field("since", advice.window.since.as_str());
    table.field("judged since", advice.window.judged_since.as_str());
    table.field("calls", advice.calls.to_string());
    let used = &advice.used;
    table.field("used", or_dash(Some(&used.permissions.join(","))));
    table.field(
        "unused",
        or_dash(Some(&advice.unused_permissions.join(","))),
    );
    for warning in &advice.warnings {
        table.field("warning", Cell::toned(warning.as_str(), Tone::Warning));
    }
    match &advice.suggestion {
        Some(grant) => push_suggestion(&mut table, grant),
        None => table.field("suggestion", "-"),
    }
    for sentence in &advice.risk_removed {
        table.field("less risk", Cell::toned(sentence.as_str(), Tone::Good));
    }
    let refused = &advice.would_have_refused;
    if refused.calls > 0 {
        let calls = format!("{} calls before the window", refused.calls);
        table.field("would have refused", Cell::toned(calls, Tone::Bad));
        for one in &refused.examples {
            let workspace = one.workspace.as_deref().unwrap_or_default();
            let said = format!("{} {} {workspace}", one.method, one.route);
            table.field("for example", said.trim_end());
        }
    }
    for note in &advice.notes {
        table.field("note", note.as_str());
    }
    table
}

fn push_suggestion(table: &mut Table, grant: &Grant) {
    table.field("suggestion", "the grant below");
    push_grant(table, grant);
}

fn findings(report: &OrgAdvice) -> Table {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "PREFIX",
        "CREATED BY",
        "LAST USED",
        "REASONS",
        "WHAT TO DO",
    ]);
    for one in &report.findings {
        let codes: Vec<_> = one.reasons.iter().map(|r| r.code.as_str()).collect();
        let remedies: Vec<_> = one.reasons.iter().map(|r| r.remedy.as_str()).collect();
        table.row([
            one.id.as_str().into(),
            one.name.as_str().into(),
            one.prefix.as_str().into(),
            one.created_by.as_str().into(),
            or_dash(one.last_used_at.as_deref()).into(),
            Cell::toned(codes.join(","), Tone::Warning),
            remedies.join("; ").into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::query;
    use crate::args::{Cli, Command, keys::KeysCommand};

    #[test]
    fn what_is_not_written_is_not_asked() {
        let asked = query([("since", None), ("by", Some("day".to_owned()))]);
        assert_eq!(asked, [("by", "day".to_owned())]);
    }

    #[test]
    fn narrowing_takes_what_advice_takes_and_a_yes() {
        let words = "claviger keys narrow tok_1 --window 7d --endpoints --addresses --yes";
        let cli = Cli::try_parse_from(words.split(' ')).expect("a command line");
        let Some(Command::Keys(KeysCommand::Narrow(args))) = cli.command else {
            panic!("not narrow")
        };
        let advice = args.advice;
        assert!(args.yes && advice.endpoints && advice.addresses);
        assert_eq!(advice.window.as_deref(), Some("7d"));
    }
}
