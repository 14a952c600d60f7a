//! Anchors in a file: written, mended, and compared with the database, which may have been set back.

use std::{fs, path::PathBuf};

use claviger_server::ServeError;
use serde_json::{Value, json};

use crate::{
    log::{Outsider, note},
    service::{ADMIN, Backend, Backup, Service, logged, text},
};

on_each_database!(
    file_gets_a_line_where_a_trail_has_grown_and_only_there,
    restored_backup_is_refused_until_it_is_accepted,
    rewritten_records_are_refused_until_they_are_accepted,
    records_that_change_meanwhile_stop_the_service,
    deleted_org_is_no_rollback_and_a_missing_one_is,
    cut_and_forged_lines_count_for_nothing_and_lose_no_other,
    file_that_cannot_be_written_keeps_from_starting_but_not_from_serving,
);

/// Where the file is.
pub(crate) fn file(service: &Service) -> PathBuf {
    service.data_dir().with_file_name("anchors.jsonl")
}

/// A server with an anchor file, and turns that no test waits for.
async fn anchored(backend: Backend) -> Service {
    let mut service = Service::stopped(backend);
    service.set_admin_token(ADMIN);
    let file = file(&service).to_str().expect("UTF-8").to_owned();
    service.flags().anchors.file = Some(file);
    service.flags().anchors.every = Some("1d".to_owned());
    service.start().await.expect("the server starts");
    service
}

pub(crate) async fn requests(service: &Service, count: usize) {
    for _ in 0..count {
        service.get(ADMIN, "/org/whoami").await;
    }
}

pub(crate) fn lines(service: &Service) -> Vec<Value> {
    let text = fs::read_to_string(file(service)).expect("the file");
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON Lines")
}

/// The records about anchors, oldest first: path, code and change.
pub(crate) async fn told(service: &Service) -> Vec<Value> {
    let records = service.audit(ADMIN, "").await;
    let own = records
        .iter()
        .rev()
        .filter(|record| record["kind"] == "anchor");
    own.map(|record| json!([record["path"], record["code"], record["change"]]))
        .collect()
}

/// The sentence with which a start is refused.
pub(crate) async fn refused(service: &mut Service) -> String {
    match service.start().await {
        Err(ServeError::RolledBack(sentence)) => {
            assert!(sentence.contains("--accept-rollback"), "{sentence}");
            sentence
        }
        Err(other) => panic!("{other:?}"),
        Ok(()) => panic!("it must not start"),
    }
}

/// A backup of what is there after so many requests. The service goes on.
pub(crate) async fn backup_after(service: &mut Service, count: usize) -> Backup {
    requests(service, count).await;
    service.stop().await;
    let backup = service.backup();
    service.start().await.expect("nothing is missing");
    backup
}

/// Starts although the database is behind, and is as it was for the next start.
pub(crate) async fn accepted(service: &mut Service) {
    service.flags().accepts_rollback = true;
    service.start().await.expect("accepted");
    service.flags().accepts_rollback = false;
}

async fn file_gets_a_line_where_a_trail_has_grown_and_only_there(backend: Backend) {
    let mut service = anchored(backend).await;
    service.anchor().await;
    assert_eq!(lines(&service), Vec::<Value>::new(), "there is nothing yet");
    requests(&service, 3).await;
    service.anchor().await;
    let one = lines(&service);
    assert_eq!(one.len(), 1);
    let outsider = Outsider::of(&service, ADMIN).await;
    let signed = outsider.open(&text(&one[0]["note"]));
    assert_eq!(signed.size(), 3);
    assert_eq!(
        signed.origin(),
        format!("claviger/{}", text(&one[0]["org"]))
    );
    let at: Result<claviger_core::time::Timestamp, _> = text(&one[0]["at"]).parse();
    at.expect("a time");
    let root = signed.root().to_string();
    let change = json!({"anchored": {"size": 3, "root": root, "where": ["file"]}});
    assert_eq!(told(&service).await, [json!(["", null, change])]);
    service.anchor().await;
    let two = lines(&service);
    assert_eq!((two.len(), &two[0]), (2, &one[0]), "there were requests");
    service.anchor().await;
    assert_eq!(lines(&service), two, "its own record is no reason");
    service.restart().await;
    service.anchor().await;
    assert_eq!(lines(&service), two, "nor is a start");
    requests(&service, 1).await;
    service.stop().await;
    assert_eq!(lines(&service).len(), 3, "what is new at the end");
    service.start().await.expect("it is what was anchored");
    note(&service, ADMIN).await;
}

async fn restored_backup_is_refused_until_it_is_accepted(backend: Backend) {
    let mut service = anchored(backend).await;
    let backup = backup_after(&mut service, 5).await;
    requests(&service, 10).await;
    service.stop().await;
    let before = lines(&service);
    assert_eq!(before.len(), 2);
    service.restore(&backup);
    let sentence = refused(&mut service).await;
    let (org, at) = (text(&before[1]["org"]), text(&before[1]["at"]));
    for part in [
        org.as_str(),
        at.as_str(),
        " 16 records ",
        "the database has 6 ",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    assert_eq!(refused(&mut service).await, sentence, "nothing was changed");
    accepted(&mut service).await;
    let after = lines(&service);
    assert_eq!((after.len(), &after[..2]), (3, &before[..]));
    let outsider = Outsider::of(&service, ADMIN).await;
    let old = outsider.open(&text(&before[1]["note"]));
    let given_up = json!({"size": 16, "root": old.root().to_string()});
    assert_eq!(after[2]["accepted_rollback"], given_up);
    let new = outsider.open(&text(&after[2]["note"]));
    let record = told(&service).await.pop().expect("a record");
    assert_eq!(record[0], "claviger serve --accept-rollback");
    let told = &record[2]["accepted_rollback"];
    assert_eq!(told["from"]["size"], 16);
    assert_eq!(told["from"]["at"], before[1]["at"]);
    assert_eq!(told["to"]["size"], 6);
    assert_eq!((&told["where"], new.size()), (&json!("file"), 7));
    // From here on the new history is what counts.
    service.restart().await;
    requests(&service, 1).await;
    service.anchor().await;
    service.stop().await;
    let whole = lines(&service);
    assert_eq!(whole[..3], after[..]);
    accepted(&mut service).await;
    assert_eq!(lines(&service), whole, "there was no need");
    assert!(!logged("--accept-rollback was given").is_empty());
    service.stop().await;
    service.restore(&backup);
    refused(&mut service).await;
}

async fn rewritten_records_are_refused_until_they_are_accepted(backend: Backend) {
    let mut service = anchored(backend).await;
    requests(&service, 5).await;
    note(&service, ADMIN).await;
    service.stop().await;
    service.rewrite_records("\"status\":200", "\"status\":404");
    let sentence = refused(&mut service).await;
    assert!(
        sentence.contains("in the database have the root"),
        "{sentence}"
    );
    accepted(&mut service).await;
    let outsider = Outsider::of(&service, ADMIN).await;
    let signed = outsider.open(&note(&service, ADMIN).await);
    let proof = format!("/org/audit/proof?seq=1&size={}", signed.size());
    service.get(ADMIN, &proof).await;
    service.restart().await;
    service.anchor().await;
    service.restart().await;
    requests(&service, 1).await;
}

async fn records_that_change_meanwhile_stop_the_service(backend: Backend) {
    let mut service = anchored(backend).await;
    requests(&service, 5).await;
    service.anchor().await;
    requests(&service, 1).await;
    service.rewrite_records("\"status\":200", "\"status\":404");
    let before = lines(&service);
    service.anchor().await;
    assert_eq!(lines(&service), before);
    for path in [
        "/org/whoami",
        "/canvas",
        "/nowhere",
        "/org/audit/checkpoint",
    ] {
        let answer = service.ask_as(ADMIN, "GET", path).send().await;
        answer.problem(503, "rolled_back");
    }
    let post = service.ask_as(ADMIN, "POST", "/org/tokens");
    let post = post.json(&json!({"name": "x"})).send().await;
    post.problem(503, "rolled_back");
    let ready = service.ask("GET", "/readyz").send().await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("behind what was anchored"));
    let healthy = service.ask("GET", "/healthz").send().await;
    assert_eq!(healthy.status, 200);
    service.anchor().await;
    let org = text(&before[0]["org"]);
    let said = logged("nothing is served any more");
    let said: Vec<_> = said.iter().filter(|line| line.contains(&org)).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    service.stop().await;
    refused(&mut service).await;
}

async fn deleted_org_is_no_rollback_and_a_missing_one_is(backend: Backend) {
    let mut service = anchored(backend).await;
    let backup = backup_after(&mut service, 1).await;
    let made = service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let org = text(&made["id"]);
    let ask = service.ask_as(ADMIN, "GET", "/org/whoami");
    ask.header("x-org-id", &org).send().await.ok(200);
    service.anchor().await;
    let of_org = |line: &Value| line["org"] == json!(org);
    assert!(lines(&service).iter().any(of_org));
    let path = format!("/admin/orgs/{org}");
    let deleted = service.ask_as(ADMIN, "DELETE", &path).send().await;
    deleted.ok(200);
    service.restart().await;
    service.stop().await;
    service.restore(&backup);
    let sentence = refused(&mut service).await;
    assert!(sentence.contains(&org), "{sentence}");
    assert!(
        sentence.contains("the database has no such org"),
        "{sentence}"
    );
    accepted(&mut service).await;
    let told = told(&service).await;
    let of_org = |record: &&Value| record[2]["accepted_rollback"]["org"] == json!(org);
    assert_eq!(told.iter().filter(of_org).count(), 1);
    service.restart().await;
}

async fn cut_and_forged_lines_count_for_nothing_and_lose_no_other(backend: Backend) {
    let mut service = anchored(backend).await;
    let backup = backup_after(&mut service, 4).await;
    requests(&service, 4).await;
    service.stop().await;
    let whole = fs::read_to_string(file(&service)).expect("the file");
    let (first, second) = whole.split_once('\n').expect("two lines");
    // A crash in the middle of a line, and one before its line break.
    for cut in [&second[..second.len() / 2], second.trim_end()] {
        fs::write(file(&service), format!("{first}\n{cut}")).expect("cut");
        service.start().await.expect("mended");
        requests(&service, 1).await;
        service.stop().await;
        let after = fs::read_to_string(file(&service)).expect("the file");
        let begin = format!("{first}\n{cut}\n{{\"org\"");
        assert!(
            after.starts_with(&begin) && after.ends_with("}\n"),
            "{after}"
        );
    }
    assert!(!logged("line of the anchor file was not written to its end").is_empty());
    // One that says more than there is, and that nobody signed; and what is no line at all.
    let mut forged: Value = serde_json::from_str(first).expect("JSON");
    let note = text(&forged["note"]).replacen("\n4\n", "\n4000\n", 1);
    forged["note"] = json!(note);
    let bad = format!("{whole}{forged}\nnonsense\n{{}}\n");
    fs::write(file(&service), &bad).expect("written");
    service.start().await.expect("they count for nothing");
    let path = file(&service).display().to_string();
    let named = logged("line of the anchor file counts for nothing");
    let named: Vec<_> = named.iter().filter(|line| line.contains(&path)).collect();
    assert_eq!(named.len(), 3, "{named:?}");
    assert!(named.iter().any(|line| line.contains("does not verify")));
    service.stop().await;
    service.restore(&backup);
    refused(&mut service).await;
}

async fn file_that_cannot_be_written_keeps_from_starting_but_not_from_serving(backend: Backend) {
    let mut service = anchored(backend).await;
    let good = service.flags().anchors.file.clone();
    service.stop().await;
    service.flags().anchors.file = Some("/nowhere/at/all/anchors.jsonl".to_owned());
    let error = service.start().await.expect_err("it must not start");
    assert!(matches!(error, ServeError::AnchorFile { .. }), "{error:?}");
    service.flags().anchors.file = good;
    service.start().await.expect("with the right one");
    let made = service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let org = text(&made["id"]);
    let ask = service.ask_as(ADMIN, "GET", "/org/whoami");
    ask.header("x-org-id", &org).send().await.ok(200);
    service.anchor().await;
    let before = lines(&service);
    assert_eq!(before.len(), 2);
    fs::remove_file(file(&service)).expect("removed");
    fs::create_dir(file(&service)).expect("in its place");
    requests(&service, 1).await;
    service.anchor().await;
    let ready = service.ask("GET", "/readyz").send().await.ok(200);
    let warnings = ready["warnings"].as_array().expect("warnings");
    assert!(text(&warnings[0]).ends_with(": file"), "{ready}");
    let told = told(&service).await;
    let failed = told.iter().filter(|record| record[1] == "not_anchored");
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0][2]["not_anchored"]["where"], "file");
    fs::remove_dir(file(&service)).expect("removed");
    service.anchor().await;
    let after = lines(&service);
    // It is begun anew, and no org is without an anchor.
    let of_org = before.iter().filter(|line| line["org"] == json!(org));
    assert_eq!(after[..1], of_org.cloned().collect::<Vec<_>>());
    assert_eq!(after.len(), 2);
    let ready = service.ask("GET", "/readyz").send().await.ok(200);
    assert_eq!(ready, json!({"status": "ready"}));
}
