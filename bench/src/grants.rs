//! What a bound grant costs: the same request with keys that may do everything, and with keys that each
//! hold a grant of their own with something in every field.

use claviger_core::{
    endpoint::Endpoint,
    grant::{Grant, RateLimit, Workspaces},
    id::WorkspaceId,
    permission::{Permission, PermissionSet},
    time::Timestamp,
};

use crate::{
    Failure,
    load::{Entrant, KEYS, run},
    memory::Contestant,
    say, seed,
};

/// By how much the CPU time of a request may grow.
const GROWTH_MAX: f64 = 1.10;

/// Runs the comparison and prints it.
pub(crate) fn compare(seconds: f64, rounds: u32) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    let workspace = WorkspaceId::from_u128(7 << 64);
    let bound = bound_to(workspace)?;
    let admin = |_| Grant::admin().to_json();
    let own = |number| of_key(&bound, number).to_json();
    let kinds: [(_, &dyn Fn(u64) -> String); 2] =
        [("preset admin", &admin), ("bound grants", &own)];
    let mut entrants = Vec::new();
    for (name, grant_of) in kinds {
        let data = folder.path().join(name.replace(' ', "-"));
        let file = data.with_extension("db").display().to_string();
        runtime.block_on(seed::fill_with_grants(&data, &file, KEYS, grant_of))?;
        seed::put_workspace(&file, &workspace.to_string())?;
        let server = Contestant::claviger(&data, &format!("sqlite:{file}"), "relaxed")?;
        let path = format!("/workspaces/{workspace}");
        entrants.push(Entrant::asked(name, server, path));
    }
    run(&runtime, &mut entrants, seconds, rounds)?;
    let [admin, bound] = entrants.as_slice() else {
        return Err("there are two contestants".into());
    };
    let ratio = bound.cpu_us() / admin.cpu_us();
    let verdict = if ratio <= GROWTH_MAX { "met" } else { "MISSED" };
    say(&format!(
        "GET /workspaces/{{id}}, {KEYS} keys, relaxed, SQLite, medians of CPU us for a request\n  \
         preset admin {:.1}   bound grants {:.1}   ratio {ratio:.3} (target at most {GROWTH_MAX}: {verdict})",
        admin.cpu_us(),
        bound.cpu_us(),
    ));
    Ok(())
}

/// A grant with something in every field, which reaches this workspace.
fn bound_to(workspace: WorkspaceId) -> Result<Grant, Failure> {
    let endpoints = [
        "GET /workspaces/*/channels",
        "POST /workspaces/*/channels/*/send",
        "GET /workspaces/*",
    ];
    let endpoints = endpoints.iter().map(|text| text.parse::<Endpoint>());
    let ranges = ["10.0.0.0/8", "192.0.2.0/24", "127.0.0.0/8"];
    let ranges = ranges.iter().map(|text| text.parse());
    Ok(Grant {
        permissions: PermissionSet::of(&[
            Permission::WorkspacesRead,
            Permission::ChannelsRead,
            Permission::ChannelsSend,
        ]),
        workspaces: Workspaces::Ids(vec![workspace]),
        endpoints: endpoints.collect::<Result<_, _>>()?,
        not_before: Some(Timestamp::from_millis(1_760_000_000_000)),
        ip_allow: ranges.collect::<Result<_, _>>()?,
        rate_limit: RateLimit::default(),
        ..Grant::admin()
    })
}

/// The same for one key, which reaches a workspace of its own too: no two share one in memory.
fn of_key(bound: &Grant, number: u64) -> Grant {
    let own = WorkspaceId::from_u128((8 << 64) + u128::from(number));
    let Workspaces::Ids(ids) = &bound.workspaces else {
        return bound.clone();
    };
    Grant {
        workspaces: Workspaces::Ids(std::iter::once(own).chain(ids.iter().copied()).collect()),
        ..bound.clone()
    }
}
