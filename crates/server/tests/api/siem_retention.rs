//! Records that are dropped before a receiver could take them.

use claviger_core::id::OrgId;
use claviger_server::clock::now;
use serde_json::json;

use crate::{
    retention::{DROPPED, fill, put_policy},
    service::{ADMIN, Backend, Service, text},
    siem::Receiver,
    verify::{derive, store},
};

on_each_database!(receiver_that_was_away_too_long_gets_the_rest_and_the_gap_is_counted);

async fn receiver_that_was_away_too_long_gets_the_rest_and_the_gap_is_counted(backend: Backend) {
    let mut receiver = Receiver::away();
    let url = receiver.url();
    let mut service =
        Service::guarded_with(backend, |flags| flags.siem.syslog = Some(url.clone())).await;
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

    receiver.come().await;
    let of_org = format!("org=\"{org}\"");
    let last = "\"change\":{\"dropped\":";
    receiver
        .until(|got| {
            got.iter()
                .any(|one| one.contains(&of_org) && one.contains(last))
        })
        .await;
    let got = receiver.got();
    let first = got.iter().find(|one| one.contains(&of_org)).expect("one");
    let seq = format!(" seq=\"{}\"", DROPPED + 1);
    assert!(first.contains(&seq), "{first}");
    let metrics = service.ask("GET", "/metrics").send().await.text();
    let line = format!("claviger_siem_dropped_total{{sink=\"syslog\"}} {DROPPED}");
    assert!(metrics.contains(&line), "{metrics}");
}
