//! Records to a receiver of OTLP logs: what it does not want, and what it cannot take now.

use std::time::Duration;

use claviger_testkit::stand_in::{CollectorStandIn, CollectorState, Refusal};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service, logged, text},
    siem::{SOON, requests, trail},
};

on_each_database!(
    records_arrive_with_the_headers_that_the_receiver_wants,
    record_that_is_not_wanted_is_found_and_passed_over,
    records_that_are_not_wanted_take_no_others_with_them,
    receiver_that_refuses_everything_loses_nothing,
    receiver_that_cannot_take_them_now_gets_them_later,
    receiver_that_asks_for_no_wait_is_given_one,
);

async fn sending(backend: Backend, collector: &CollectorStandIn) -> Service {
    let mut service = Service::stopped(backend);
    let headers = service.data_dir().with_file_name("headers");
    private(
        &headers,
        "# of the collector\nAuthorization: Bearer open-sesame\n",
    );
    service.flags().siem.otlp_logs = Some(format!("{}?tenant=1", collector.url()));
    service.flags().siem.otlp_headers_file = Some(headers.to_str().expect("UTF-8").to_owned());
    service.set_admin_token(ADMIN);
    service.start().await.expect("it starts");
    service
}

/// A file that others cannot read.
fn private(path: &std::path::Path, contents: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, contents).expect("written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("changed");
}

pub(crate) async fn until(
    collector: &CollectorStandIn,
    is_awaited: impl Fn(&CollectorState) -> bool,
) {
    let awaited = timeout(SOON, collector.until(is_awaited)).await;
    assert!(
        awaited.is_ok(),
        "{:#?}",
        collector.with(|state| state.taken.len())
    );
}

/// The records that it has taken.
pub(crate) fn bodies(state: &CollectorState) -> Vec<String> {
    let body = |record: &Value| text(&record["body"]["stringValue"]);
    state.taken.iter().map(body).collect()
}

fn taken(collector: &CollectorStandIn) -> Vec<String> {
    collector.with(|state| bodies(state))
}

async fn records_arrive_with_the_headers_that_the_receiver_wants(backend: Backend) {
    let collector = CollectorStandIn::start().await;
    let mut service = sending(backend, &collector).await;
    requests(&service, 600).await;
    until(&collector, |state| state.taken.len() >= 600).await;
    let whole = trail(&service).await;
    assert_eq!(taken(&collector)[..600], whole[..600]);
    service.stop().await;
    assert_eq!(taken(&collector).len(), 601, "the export too");
    collector.with(|state| {
        assert_eq!(state.headers["authorization"], "Bearer open-sesame");
        assert_eq!(state.headers["content-type"], "application/json");
        let first = &state.sender["resource"]["attributes"][0];
        assert_eq!(first["value"]["stringValue"], "claviger");
        assert_eq!(state.sender["scope"]["name"], "claviger.audit");
    });
    assert!(logged("open-sesame").is_empty());
}

async fn record_that_is_not_wanted_is_found_and_passed_over(backend: Backend) {
    let collector = CollectorStandIn::start().await;
    for (status, left_out, expected) in [(400, None, 11), (413, Some("/left/out"), 10)] {
        collector.with(|state| {
            state.taken.clear();
            state.left_out = left_out.map(str::to_owned);
            state.unwanted = Some(("/not/wanted".to_owned(), status));
        });
        let mut service = sending(backend, &collector).await;
        requests(&service, 5).await;
        for path in ["/not/wanted", "/left/out"] {
            service.ask_as(ADMIN, "GET", path).send().await;
        }
        requests(&service, 5).await;
        until(&collector, |state| state.taken.len() >= expected).await;
        let dropped = format!(
            "claviger_siem_dropped_total{{sink=\"otlp\"}} {}\n",
            12 - expected
        );
        let is_counted = |answer: &Answer| answer.text().contains(&dropped);
        let ask = |service: &Service| service.ask("GET", "/metrics");
        service.until(ask, is_counted).await;
        service.stop().await;
        let paths = taken(&collector);
        assert_eq!(paths.len(), expected, "and no more");
        assert!(!paths.iter().any(|body| body.contains("/not/wanted")));
    }
    assert!(!logged("the receiver does not want these records").is_empty());
}

async fn receiver_that_cannot_take_them_now_gets_them_later(backend: Backend) {
    let collector = CollectorStandIn::start().await;
    let refusal = |status, retry_after| Refusal {
        status,
        retry_after,
    };
    let service = sending(backend, &collector).await;
    let begun = std::time::Instant::now();
    collector.with(|state| {
        // A credential that has expired holds them up, and loses none.
        state.refusals.extend([
            refusal(429, Some(2)),
            refusal(401, None),
            refusal(503, None),
            refusal(500, None),
        ]);
    });
    requests(&service, 30).await;
    until(&collector, |state| state.taken.len() >= 30).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "it waits as long as it is told"
    );
    assert_eq!(taken(&collector)[..30], trail(&service).await[..30]);
    let page = service.ask("GET", "/metrics").send().await.text();
    assert!(
        !page.contains("claviger_siem_dropped_total{sink=\"otlp\"} 1"),
        "{page}"
    );
}

async fn receiver_that_asks_for_no_wait_is_given_one(backend: Backend) {
    let collector = CollectorStandIn::start().await;
    let now = Refusal {
        status: 429,
        retry_after: Some(0),
    };
    collector.with(|state| state.refusals.extend([now.clone(), now.clone(), now]));
    let service = sending(backend, &collector).await;
    let begun = std::time::Instant::now();
    requests(&service, 5).await;
    until(&collector, |state| state.taken.len() >= 5).await;
    let waits = Duration::from_millis(250 + 500 + 1000);
    assert!(begun.elapsed() >= waits, "{:?}", begun.elapsed());
}

/// The metric of what was dropped.
fn dropped(count: usize) -> String {
    format!("claviger_siem_dropped_total{{sink=\"otlp\"}} {count}\n")
}

async fn records_that_are_not_wanted_take_no_others_with_them(backend: Backend) {
    let collector = CollectorStandIn::start().await;
    // It is away while they come, so that they are sent together.
    collector.with(|state| state.unwanted = Some((String::new(), 503)));
    let service = sending(backend, &collector).await;
    for _ in 0..60 {
        let odd = service.ask_as(ADMIN, "GET", "/org/whoami");
        odd.header("user-agent", "unwanted").send().await.ok(200);
        requests(&service, 1).await;
    }
    collector.with(|state| state.unwanted = Some(("unwanted".to_owned(), 400)));
    let whole = trail(&service).await;
    let wanted = whole.iter().filter(|leaf| !leaf.contains("unwanted"));
    let wanted: Vec<String> = wanted.cloned().collect();
    assert_eq!((wanted.len(), whole.len()), (60, 120));
    until(&collector, |state| state.taken.len() >= 60).await;
    assert_eq!(taken(&collector)[..60], wanted);
    let ask = |service: &Service| service.ask("GET", "/metrics");
    let is_counted = |answer: &Answer| answer.text().contains(&dropped(60));
    service.until(ask, is_counted).await;
}

async fn receiver_that_refuses_everything_loses_nothing(backend: Backend) {
    for status in [400, 413, 422] {
        let collector = CollectorStandIn::start().await;
        collector.with(|state| state.unwanted = Some((String::new(), status)));
        let service = sending(backend, &collector).await;
        requests(&service, 40).await;
        // More than one look at which of them it may want.
        until(&collector, |state| state.requests >= 100).await;
        collector.with(|state| state.unwanted = None);
        let mut whole = trail(&service).await;
        until(&collector, |state| state.taken.len() >= whole.len()).await;
        let mut got = taken(&collector);
        // What was refused just before the first was taken comes after it.
        got.sort();
        whole.sort();
        let is_got = |leaf: &String| got.binary_search(leaf).is_ok();
        assert!(whole.iter().all(is_got), "{got:#?}");
        let page = service.ask("GET", "/metrics").send().await.text();
        let is_dropped = page.contains("claviger_siem_dropped_total{sink=\"otlp\"} ");
        assert!(!is_dropped || page.contains(&dropped(0)), "{page}");
    }
}
