//! Records that are dropped before a receiver could take them.

use claviger_core::id::OrgId;
use claviger_server::clock::now;
use claviger_testkit::stand_in::CollectorStandIn;
use serde_json::json;

use crate::{
    ask::Answer,
    retention::{DROPPED, fill, put_policy},
    service::{ADMIN, Backend, Service, logged, text},
    siem_otlp::{bodies, until},
    verify::{derive, store},
};

on_each_database!(receiver_that_was_away_too_long_gets_the_rest_and_the_gap_is_counted);

async fn receiver_that_was_away_too_long_gets_the_rest_and_the_gap_is_counted(backend: Backend) {
    let collector = CollectorStandIn::start().await;
    // It takes nothing yet.
    let away = Some((String::new(), 503));
    collector.with(|state| state.unwanted = away);
    let url = collector.url();
    let mut service = Service::guarded_with(backend, |flags| {
        flags.siem.otlp_logs = Some(url.clone());
    })
    .await;
    let made = service
        .make(ADMIN, "/admin/orgs", json!({"name": "busy"}))
        .await;
    let org: OrgId = text(&made["id"]).parse().expect("an id");
    service.stop().await;
    let opened = store(&service).await;
    fill(&*opened, org).await;
    derive(&*opened).await;
    opened.close().await;
    drop(opened);
    service.start().await.expect("it starts");
    let set = put_policy(&service, org, "", json!({"keep_audit_for": "90d"})).await;
    assert_eq!(set.status, 200, "{}", set.text());
    service.sweep(now()).await;

    // What is left is read and refused, again and again.
    let tried = collector.with(|state| state.requests) + 3;
    until(&collector, |state| state.requests >= tried).await;
    collector.with(|state| state.unwanted = None);
    let of_org = format!("\"org\":\"{org}\"");
    let last = "\"change\":{\"dropped\":";
    let is_last = |body: &String| body.contains(&of_org) && body.contains(last);
    until(&collector, |state| bodies(state).iter().any(is_last)).await;
    let got = collector.with(|state| state.taken.clone());
    let own = format!("{{\"key\":\"claviger.org\",\"value\":{{\"stringValue\":\"{org}\"}}}}");
    let mut got = got.iter().map(ToString::to_string);
    let first = got.find(|one| one.contains(&own)).expect("one");
    let seq = DROPPED + 1;
    let seq = format!("{{\"key\":\"claviger.seq\",\"value\":{{\"intValue\":\"{seq}\"}}}}");
    assert!(first.contains(&seq), "{first}");
    let counted = |count| format!("claviger_siem_dropped_total{{sink=\"otlp\"}} {count}\n");
    let ask = |service: &Service| service.ask("GET", "/metrics");
    let is_counted = |answer: &Answer| !answer.text().contains(&counted(0));
    let metrics = service.until(ask, is_counted).await.text();
    assert!(metrics.contains(&counted(DROPPED)), "{metrics}");
    let told = logged("before they could be sent");
    let told: Vec<_> = told.iter().filter(|line| line.contains(&url)).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
}
