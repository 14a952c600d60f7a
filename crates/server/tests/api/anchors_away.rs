//! Anchors over the network: a webhook, and a witness.

use claviger_core::ledger::{
    checkpoint::Checkpoint,
    note::{Note, VerifierKey},
};
use claviger_server::log_key::verifies;
use claviger_testkit::stand_in::{AnchorStandIn, Behaviour, WitnessStandIn};
use serde_json::{Value, json};

use crate::{
    anchors::{accepted, backup_after, file, lines, refused, requests, told},
    log::Outsider,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    webhook_takes_what_the_file_takes,
    webhook_that_fails_is_told_of_and_asked_again,
    webhook_that_knows_more_stops_the_service_until_that_is_accepted,
    witness_signs_what_grew_and_its_signature_is_kept,
    witness_that_knows_another_size_is_asked_again_at_once,
    witness_that_does_not_sign_well_is_told_of,
    witness_that_knows_more_keeps_from_starting_until_that_is_accepted,
    witness_of_another_history_stops_the_service,
);

async fn with_webhook(backend: Backend, hook: &AnchorStandIn) -> Service {
    let mut service = Service::stopped(backend);
    service.set_admin_token(ADMIN);
    service.flags().anchors.webhook = Some(hook.url());
    service.flags().anchors.every = Some("1d".to_owned());
    let secret = service.data_dir().with_file_name("webhook-secret");
    std::fs::write(&secret, "open-sesame\n").expect("written");
    let secret = secret.to_str().expect("UTF-8").to_owned();
    service.add_setting("anchor-webhook-secret-file", &secret);
    service.set_admin_token(ADMIN);
    service.start().await.expect("the server starts");
    service
}

async fn warnings(service: &Service) -> Vec<String> {
    let ready = service.ask("GET", "/readyz").send().await.ok(200);
    let warnings = ready["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().map(text).collect()
}

async fn webhook_takes_what_the_file_takes(backend: Backend) {
    let hook = AnchorStandIn::start().await;
    let mut service = with_webhook(backend, &hook).await;
    service.stop().await;
    let path = file(&service).to_str().expect("UTF-8").to_owned();
    service.flags().anchors.file = Some(path);
    service.start().await.expect("with both");
    requests(&service, 2).await;
    service.anchor().await;
    let received = hook.with(|state| std::mem::take(&mut state.received));
    assert_eq!(received, lines(&service));
    assert_eq!(received.len(), 1);
    let authorization = hook.with(|state| state.authorization.clone());
    assert_eq!(authorization.as_deref(), Some("Bearer open-sesame"));
    let told = told(&service).await;
    assert_eq!(told[0][2]["anchored"]["where"], json!(["file", "webhook"]));
    assert!(warnings(&service).await.is_empty());
}

async fn webhook_that_fails_is_told_of_and_asked_again(backend: Backend) {
    let hook = AnchorStandIn::start().await;
    let service = with_webhook(backend, &hook).await;
    requests(&service, 2).await;
    hook.with(|state| state.behaviour = Behaviour::Status(500));
    service.anchor().await;
    let warned = warnings(&service).await;
    assert!(
        warned.len() == 1 && warned[0].ends_with(": webhook"),
        "{warned:?}"
    );
    let record = told(&service).await.pop().expect("a record");
    assert_eq!(record[1], "not_anchored");
    assert_eq!(
        record[2]["not_anchored"]["reason"],
        "the answer is 500 Internal Server Error"
    );
    hook.with(|state| state.behaviour = Behaviour::Silent);
    // The next turn tries again; requests go on while it waits.
    tokio::join!(service.anchor(), requests(&service, 5));
    assert_eq!(told(&service).await.len(), 1, "once an hour");
    assert_eq!(hook.with(|state| state.received.len()), 2);
    service.anchor().await;
    assert_eq!(
        hook.with(|state| state.received.len()),
        2,
        "it is left alone"
    );
    hook.with(|state| state.behaviour = Behaviour::Good);
    let mut service = service;
    service.restart().await;
    assert_eq!(hook.with(|state| state.largest.len()), 1);
    assert!(warnings(&service).await.is_empty());
}

async fn webhook_that_knows_more_stops_the_service_until_that_is_accepted(backend: Backend) {
    let hook = AnchorStandIn::start().await;
    let mut service = with_webhook(backend, &hook).await;
    requests(&service, 2).await;
    service.anchor().await;
    let know_more = || {
        hook.with(|state| {
            let largest = state.largest.values_mut();
            largest.for_each(|size| *size += 1000);
        });
    };
    know_more();
    requests(&service, 1).await;
    service.anchor().await;
    let answer = service.ask_as(ADMIN, "GET", "/org/whoami").send().await;
    answer.problem(503, "rolled_back");
    service.stop().await;
    let sentence = refused(&mut service).await;
    assert!(sentence.contains("(webhook)"), "{sentence}");
    accepted(&mut service).await;
    service.anchor().await;
    let last = hook.with(|state| state.received.last().cloned());
    assert_eq!(last.expect("an anchor")["accepted_rollback"], json!({}));
    service.restart().await;
    requests(&service, 1).await;
    service.anchor().await;
    let last = hook.with(|state| state.received.last().cloned());
    assert_eq!(last.expect("an anchor")["accepted_rollback"], Value::Null);
    assert!(warnings(&service).await.is_empty());
}

/// A server with a witness that knows its log, and the file.
async fn witnessed(backend: Backend) -> (Service, WitnessStandIn) {
    let witness = WitnessStandIn::start("witness.example/w1").await;
    let mut service = Service::stopped(backend);
    service.set_admin_token(ADMIN);
    service.flags().anchors.every = Some("1d".to_owned());
    service.flags().anchors.witness = Some(witness.setting());
    let path = file(&service).to_str().expect("UTF-8").to_owned();
    service.flags().anchors.file = Some(path);
    service.start().await.expect("the server starts");
    let outsider = Outsider::of(&service, ADMIN).await;
    witness.trust(&outsider.keys[0].to_string());
    (service, witness)
}

/// The checkpoint of a note that this witness has signed.
fn cosigned(note: &str, witness: &WitnessStandIn) -> Option<Checkpoint> {
    let note = Note::parse(note.as_bytes()).expect("a note");
    let key: VerifierKey = witness.vkey().parse().expect("a key");
    let signers = note.open(std::slice::from_ref(&key), &verifies).ok()?;
    assert_eq!(signers[0].seconds, Some(1_790_000_000));
    Some(Checkpoint::parse(note.text()).expect("a checkpoint"))
}

const COSIGNED: &str = "/org/audit/checkpoint?cosigned=true";

async fn witness_signs_what_grew_and_its_signature_is_kept(backend: Backend) {
    let (mut service, witness) = witnessed(backend).await;
    let ask = |service: &Service, path: &str| service.ask_as(ADMIN, "GET", path);
    ask(&service, COSIGNED)
        .send()
        .await
        .problem(404, "not_found");
    service.anchor().await;
    let vkey = witness.vkey();
    let [name, id, _] = vkey.splitn(3, '+').collect::<Vec<_>>()[..] else {
        panic!("{vkey}");
    };
    let name = format!("witness {name}+{id}");
    let record = told(&service).await.pop().expect("a record");
    assert_eq!(record[2]["anchored"]["where"], json!([name, "file"]));
    for count in [1, 20, 300] {
        requests(&service, count).await;
        service.anchor().await;
        let answer = ask(&service, COSIGNED).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let signed = cosigned(&answer.text(), &witness).expect("signed by the witness");
        let outsider = Outsider::of(&service, ADMIN).await;
        assert_eq!(outsider.open(&answer.text()), signed, "and by the log");
        let (size, root) = witness.with(|state| state.signed[signed.origin()].clone());
        assert_eq!(
            (size, &root[..]),
            (signed.size(), &signed.root().as_bytes()[..])
        );
        let last = lines(&service).pop().expect("a line");
        assert_eq!(cosigned(&text(&last["note"]), &witness), Some(signed));
    }
    let statuses: Vec<u16> =
        witness.with(|state| state.asked.iter().map(|asked| asked.1).collect());
    assert_eq!(statuses, [200; 4], "it was always told what it knew");
    let kept = ask(&service, COSIGNED).send().await.text();
    service.restart().await;
    let path = "/org/audit/log/checkpoint?cosigned=true";
    let again = cosigned(&ask(&service, path).send().await.text(), &witness);
    assert!(again.expect("signed").size() >= cosigned(&kept, &witness).expect("signed").size());
    let asked = ask(&service, "/org/audit/checkpoint?cosigned=perhaps");
    asked.send().await.problem(400, "bad_query");
}

async fn witness_that_knows_another_size_is_asked_again_at_once(backend: Backend) {
    let (service, witness) = witnessed(backend).await;
    requests(&service, 5).await;
    service.anchor().await;
    let before = witness.with(|state| state.signed.clone());
    requests(&service, 5).await;
    service.anchor().await;
    // It was restored from a backup, which is its own affair.
    witness.with(|state| {
        state.signed = before.clone();
        state.asked.clear();
    });
    requests(&service, 5).await;
    service.anchor().await;
    let known = before.values().next().expect("one log").0;
    let asked = witness.with(|state| state.asked.clone());
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].1, asked[1]), (409, (known, 200)));
    assert!(asked[0].0 > known);
    // It has forgotten the log.
    witness.with(|state| {
        state.signed.clear();
        state.asked.clear();
    });
    requests(&service, 1).await;
    service.anchor().await;
    let asked = witness.with(|state| state.asked.clone());
    assert_eq!((asked[0].1, asked[1]), (409, (0, 200)));
    assert!(warnings(&service).await.is_empty());
}

async fn witness_that_does_not_sign_well_is_told_of(backend: Backend) {
    let expected = [
        (Behaviour::Status(403), "the key of the log (403)"),
        (Behaviour::Status(404), "does not know the log (404)"),
        (Behaviour::Status(422), "does not take the proof (422)"),
        (Behaviour::Status(409), "does not say how large it was"),
        (Behaviour::Status(400), "the answer is 400"),
        (Behaviour::Status(503), "the answer is 503"),
        (Behaviour::Forged, "does not verify"),
    ];
    for (behaviour, reason) in expected {
        let (service, witness) = witnessed(backend).await;
        witness.with(|state| state.behaviour = behaviour);
        requests(&service, 1).await;
        service.anchor().await;
        let told = told(&service).await;
        let failed = told.iter().find(|record| record[1] == "not_anchored");
        let failed = &failed.expect("a record")[2]["not_anchored"];
        assert!(
            text(&failed["reason"]).contains(reason),
            "{behaviour:?}: {failed}"
        );
        let warned = warnings(&service).await;
        assert!(warned[0].contains("witness.example/w1"), "{warned:?}");
        let ask = service.ask_as(ADMIN, "GET", COSIGNED);
        ask.send().await.problem(404, "not_found");
        let last = lines(&service).pop().expect("the file has it");
        assert_eq!(cosigned(&text(&last["note"]), &witness), None);
        witness.with(|state| state.behaviour = Behaviour::Good);
        service.anchor().await;
        assert!(warnings(&service).await.is_empty(), "{behaviour:?}");
        service.ask_as(ADMIN, "GET", COSIGNED).send().await;
        let last = lines(&service).pop().expect("a line");
        assert!(cosigned(&text(&last["note"]), &witness).is_some());
    }
}

async fn witness_that_knows_more_keeps_from_starting_until_that_is_accepted(backend: Backend) {
    let (mut service, witness) = witnessed(backend).await;
    service.flags().anchors.file = None;
    service.restart().await;
    let backup = backup_after(&mut service, 3).await;
    requests(&service, 9).await;
    service.stop().await;
    let known = witness.with(|state| state.signed.clone());
    service.restore(&backup);
    let sentence = refused(&mut service).await;
    let size = known.values().next().expect("one log").0;
    assert!(sentence.contains("witness.example/w1"), "{sentence}");
    assert!(
        sentence.contains(&format!(" {size} records ")),
        "{sentence}"
    );
    accepted(&mut service).await;
    let told_of = told(&service).await.pop().expect("a record");
    assert_eq!(told_of[2]["accepted_rollback"]["from"]["size"], size);
    // It signs for the old history for ever, and that stops nobody: also when there is more again.
    for count in [1, 30] {
        service.restart().await;
        requests(&service, count).await;
        service.anchor().await;
        let warned = warnings(&service).await;
        assert!(warned[0].contains("witness.example/w1"), "{warned:?}");
    }
    assert_eq!(witness.with(|state| state.signed.clone()), known);
    let ask = service.ask_as(ADMIN, "GET", COSIGNED);
    ask.send().await.problem(404, "not_found");
    // Its operator makes it forget the log.
    witness.with(|state| state.signed.clear());
    service.restart().await;
    service.anchor().await;
    let answer = service.ask_as(ADMIN, "GET", COSIGNED).send().await;
    assert!(cosigned(&answer.text(), &witness).is_some());
}

async fn witness_of_another_history_stops_the_service(backend: Backend) {
    let (service, witness) = witnessed(backend).await;
    requests(&service, 3).await;
    service.anchor().await;
    witness.with(|state| {
        let signed = state.signed.values_mut();
        signed.for_each(|(_, root)| *root = vec![7; 32]);
    });
    requests(&service, 3).await;
    service.anchor().await;
    assert_eq!(
        witness.with(|state| state.asked.last().map(|asked| asked.1)),
        Some(422)
    );
    let answer = service.ask_as(ADMIN, "GET", "/org/whoami").send().await;
    answer.problem(503, "rolled_back");
    let mut service = service;
    service.stop().await;
    let sentence = refused(&mut service).await;
    assert!(sentence.contains("others"), "{sentence}");
}
