//! Records to a SIEM, from a server that is killed before and after they were taken.

use std::{collections::HashSet, time::Duration};

use claviger_testkit::stand_in::{CollectorStandIn, CollectorState, Refusal};
use serde_json::Value;
use tokio::time::timeout;

use crate::{bed::Bed, cli::Cli, server::Server};

const SOON: Duration = Duration::from_secs(60);

/// The records that it has taken, each the first time.
fn taken(state: &CollectorState) -> Vec<String> {
    let mut seen = HashSet::new();
    let bodies = state.taken.iter().filter_map(|record| {
        let body = record.pointer("/body/stringValue").and_then(Value::as_str);
        body.map(str::to_owned)
    });
    bodies.filter(|body| seen.insert(body.clone())).collect()
}

/// What was answered reaches the receiver, although the server is killed (SIGKILL) while it is away, and again once
/// it has taken some.
pub(crate) fn killed(bed: &Bed) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let collector = runtime.block_on(CollectorStandIn::start());
    let wait = |is_awaited: &dyn Fn(&CollectorState) -> bool| {
        let awaited = runtime.block_on(async { timeout(SOON, collector.until(is_awaited)).await });
        assert!(
            awaited.is_ok(),
            "{:?}",
            collector.with(|state| taken(state))
        );
    };
    let refusal = Refusal {
        status: 503,
        retry_after: None,
    };
    collector.with(|state| state.refusals = vec![refusal; 1000].into());
    let (url, flag) = (collector.url(), "--otlp-logs");
    let server = Server::start(bed.serve(&[flag, &url]));
    let nobody = Cli::new(bed, &server, "");
    let token = nobody.mint("first");
    for _ in 0..3 {
        nobody.with(&token).text(&["whoami"], "");
    }
    wait(&|state| state.requests > 0);
    drop(server);
    collector.with(|state| state.refusals.clear());
    for _ in 0..2 {
        let server = Server::start(bed.serve(&[flag, &url]));
        let cli = Cli::new(bed, &server, &token);
        cli.text(&["whoami"], "");
        let trail = cli.text(&["audit", "export"], "");
        let whole: Vec<&str> = trail.lines().collect();
        assert!(whole.len() >= 5, "{trail}");
        wait(&|state| taken(state).len() >= whole.len());
        let got = collector.with(|state| taken(state));
        assert_eq!(got[..whole.len()], whole);
        drop(server);
    }
}
