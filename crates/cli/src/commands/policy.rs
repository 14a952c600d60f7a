//! `claviger policy`.

use std::{io::Read as _, path::Path};

use claviger_wire::policy::{BlockedKey, Policy, PolicyEffect};

use crate::{
    args::policy::PolicyCommand,
    client::Client,
    error::Failure,
    input,
    output::{Output, Table},
};

/// The largest policy that is read, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// Carries out one of the commands.
pub(super) async fn run(
    command: PolicyCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        PolicyCommand::Show => {
            let policy = client.get_policy().await?;
            out.show(&policy, fields)
        }
        PolicyCommand::Set { file, dry_run, yes } => {
            let policy = read(&file)?;
            if !dry_run && !yes {
                ask_first(&policy, client, out).await?;
            }
            let effect = client.put_policy(&policy, dry_run).await?;
            out.show(&effect, effects)?;
            out.note(&summary(&effect));
            Ok(())
        }
    }
}

/// Says which keys the policy would block or cut, and asks, if there are any.
async fn ask_first(policy: &Policy, client: &Client, out: &Output) -> Result<(), Failure> {
    let effect = client.put_policy(policy, true).await?;
    let harmed = [
        effect.blocked_count,
        effect.below_count,
        effect.cut_count,
        effect.outside_count,
        effect.suspended_count,
    ];
    if harmed.iter().sum::<usize>() == 0 && effect.dropped_count == 0 {
        return Ok(());
    }
    out.beside(&effects(&effect));
    out.note(&summary(&effect));
    input::confirm(out, "set this policy all the same?", false)
}

/// What a policy does, in a line.
fn summary(effect: &PolicyEffect) -> String {
    let verb = if effect.dry_run { "would be" } else { "are" };
    let dropped = match effect.dropped_count {
        0 => String::new(),
        count => format!("; {count} audit records lose their bodies within ten minutes, for good"),
    };
    format!(
        "of {} living keys {} {verb} blocked and {} stopped with them, {} cut, {} last used from elsewhere, {} to be suspended{dropped}",
        effect.living_count,
        effect.blocked_count,
        effect.below_count,
        effect.cut_count,
        effect.outside_count,
        effect.suspended_count
    )
}

fn read(file: &Path) -> Result<Policy, Failure> {
    let name = file.display();
    let failed = |error: std::io::Error| Failure::Local(format!("cannot read {name}: {error}"));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        let mut input = std::io::stdin().take(BYTES_MAX);
        input.read_to_string(&mut text).map_err(failed)?;
    } else {
        let input = std::fs::File::open(file).map_err(failed)?;
        input
            .take(BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
    }
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{name} is not a policy: {error}")))
}

fn fields(policy: &Policy) -> Table {
    let mut table = Table::fields();
    let list = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(", "));
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let yes = |is: Option<bool>| is.filter(|is| *is).map(|_| "yes".to_owned());
    for (name, value) in [
        ("permissions", list(&policy.permissions)),
        (
            "presets",
            list(&policy.presets).or(policy.permissions.as_ref().map(|_| "none".to_owned())),
        ),
        ("addresses", list(&policy.ip_allow)),
        ("longest life", policy.lifetime_max.clone()),
        // A longest life asks for an end as well.
        (
            "expiry required",
            yes(policy
                .require_expiry
                .or(policy.lifetime_max.as_ref().map(|_| true))),
        ),
        ("required metadata", list(&policy.required_metadata)),
        ("who may mint", list(&policy.minters)),
        ("living keys", number(policy.keys_max)),
        ("keys above a key", number(policy.depth_max)),
        ("suspend when idle", policy.suspend_idle_after.clone()),
        ("suspend overdue", yes(policy.suspend_overdue)),
        ("suspend on signals", list(&policy.suspend_on)),
    ] {
        table.field(name, value.as_deref().unwrap_or("any"));
    }
    let keep = policy.keep_audit_for.as_deref();
    table.field("keep audit records for", keep.unwrap_or("ever"));
    table
}

fn effects(effect: &PolicyEffect) -> Table {
    let mut table = Table::new(&["ID", "NAME", "PREFIX", "WHAT", "WHY"]);
    let mut row = |key: &BlockedKey, what: &str| {
        table.row([
            key.id.as_str().into(),
            key.name.as_str().into(),
            key.prefix.as_str().into(),
            what.into(),
            key.reason.as_str().into(),
        ]);
    };
    for (keys, what) in [
        (&effect.blocked, "blocked"),
        (&effect.below, "stopped"),
        (&effect.cut, "cut"),
        (&effect.outside, "elsewhere"),
        (&effect.suspended, "suspended"),
    ] {
        keys.iter().for_each(|key| row(key, what));
    }
    table
}
