//! What it costs to count a request as a use of its key, in process.

use std::{hint::black_box, net::IpAddr, sync::Arc, time::Instant};

use axum::http::Request;
use claviger_core::{
    evidence::Brands,
    grant::Grant,
    id::{KeyId, OrgId, WorkspaceId},
    tier::{Actor, Authority, Principal, Tier},
    token::Brand,
};
use claviger_server::{
    metrics::Metrics,
    trace::{Head, Trace},
    usage::Usage,
};

use crate::say;

/// Keys that are in use at the same time.
const KEYS: u32 = 1000;
/// How often each of them calls.
const CALLS: u32 = 1000;

fn trace(key: u32) -> Trace {
    let (parts, ()) = Request::new(()).into_parts();
    let brands = Brands {
        org_key: Brand::ORG_KEY,
        workspace_token: Brand::WORKSPACE_TOKEN,
    };
    let mut head = Head::new(IpAddr::from([192, 0, 2, 1]), &parts, &brands);
    head.route = "/workspaces/{id}/channels";
    let principal = Principal {
        tier: Tier::OrgKey,
        org: OrgId::from_u128(1),
        actor: Actor::Anonymous,
        // As real ids: what tells keys apart is in the low bits.
        key: Some(KeyId::from_u128(u128::from(key).wrapping_mul(0x9e37_79b9))),
        minter: None,
        own_workspace: None,
        replaced_until: None,
        impersonator: None,
        session: None,
        is_break_glass: false,
        authority: Authority::of(vec![Arc::new(Grant::admin())]),
    };
    let workspace = WorkspaceId::from_u128(u128::from(key % 7));
    Trace::new(head, Arc::new(principal), Some(workspace))
}

/// Measures and prints.
pub(crate) fn run() {
    let (usage, metrics) = (Usage::default(), Metrics::default());
    let traces: Vec<Trace> = (0..KEYS).map(trace).collect();
    let round = || {
        for trace in &traces {
            usage.note(black_box(trace), 200, &metrics);
        }
    };
    // The first begins every count, and is not measured.
    round();
    let started = Instant::now();
    (0..CALLS).for_each(|_| round());
    let calls = f64::from(KEYS) * f64::from(CALLS);
    let nanoseconds = started.elapsed().as_secs_f64() * 1e9 / calls;
    say(&format!("in process, {KEYS} keys in use"));
    say(&format!(
        "  one request counted as a use of its key   {nanoseconds:8.0} ns"
    ));
    say("");
}
