//! `POST /org/tokens/found`: whoever holds a whole secret may have it ended.

use claviger_core::token::{Brand, Secret};
use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, logged, text},
};

on_each_database!(
    stranger_revokes_a_key_with_what_it_minted_and_the_org_of_the_key_has_the_record,
    dry_run_says_how_each_secret_stands_and_changes_nothing,
    key_that_is_not_accepted_anyway_is_revoked_all_the_same,
    replaced_secret_ends_and_the_key_lives_on,
    workspace_token_is_revoked,
    secret_above_others_in_one_report_takes_them_along,
    records_of_several_orgs_stand_in_each_of_them,
    caller_with_a_key_is_the_actor_and_may_report_its_own_key,
    key_that_went_with_its_org_keeps_nothing_else_alive,
    report_and_other_changes_at_once_leave_nothing_alive,
);

pub(crate) const FOUND: &str = "/org/tokens/found";

pub(crate) async fn found(service: &Service, body: Value) -> Answer {
    service.ask("POST", FOUND).json(&body).send().await
}

/// What is said of each secret, without changing anything.
pub(crate) async fn statuses(service: &Service, secrets: &[&str]) -> Vec<String> {
    let answer = found(service, json!({"tokens": secrets, "dry_run": true})).await;
    let answer = answer.ok(200);
    assert_eq!(answer["dry_run"], true);
    let tokens = answer["tokens"].as_array().expect("a list");
    tokens.iter().map(|one| text(&one["status"])).collect()
}

pub(crate) async fn key(service: &Service, by: &str, name: &str) -> Minted {
    service.mint(by, json!({"name": name})).await
}

pub(crate) async fn whoami(service: &Service, secret: &str) -> Answer {
    service.ask_as(secret, "GET", "/org/whoami").send().await
}

pub(crate) fn unknown_secret() -> String {
    let secret = Secret::from_entropy(&Brand::ORG_KEY, &[9; 32]);
    secret.expose().to_owned()
}

/// The records of found secrets in the trail of an org.
pub(crate) async fn records(service: &Service, org: &str) -> Vec<Value> {
    let ask = service.ask_as(ADMIN, "GET", "/org/audit?limit=200");
    let answer = ask.header("x-org-id", org).send().await.ok(200);
    let events = answer["events"].as_array().expect("events").clone();
    let is_about = |event: &Value| event["route"] == FOUND && event["change"]["found"].is_object();
    events.into_iter().filter(is_about).collect()
}

/// The keys whose deaths came with another's, as the trail of the org tells.
async fn deaths(service: &Service, org: &str) -> Vec<String> {
    let ask = service.ask_as(ADMIN, "GET", "/org/audit?limit=200");
    let answer = ask.header("x-org-id", org).send().await.ok(200);
    let events = answer["events"].as_array().expect("events");
    let cascades = events.iter().filter(|event| event["kind"] == "cascade");
    cascades
        .map(|event| text(&event["change"]["revoked"]["id"]))
        .collect()
}

async fn stranger_revokes_a_key_with_what_it_minted_and_the_org_of_the_key_has_the_record(
    backend: Backend,
) {
    let service = Service::guarded(backend).await;
    let leaked = key(&service, ADMIN, "leaked").await;
    let child = key(&service, &leaked.secret, "child").await;
    let other = key(&service, ADMIN, "other").await;
    let source = format!("https://git.example.com/x?k={}", other.secret);
    let asked = found(
        &service,
        json!({"tokens": [&leaked.secret], "source": source}),
    );
    let answer = asked.await;
    let told = answer.ok(200);
    let one = &told["tokens"][0];
    let expected = json!({"prefix": leaked.prefix, "type": "org_key", "status": "revoked",
        "token_id": leaked.id, "revoked_at": one["revoked_at"], "descendants": 1});
    assert_eq!(*one, expected);
    assert_eq!(told["dry_run"], false);
    for dead in [&leaked, &child] {
        whoami(&service, &dead.secret)
            .await
            .problem(401, "token_revoked");
    }
    whoami(&service, &other.secret).await.ok(200);

    let row = service.get(ADMIN, &leaked.path()).await;
    assert_eq!(row["revoked_by"], "anonymous");
    assert_eq!(row["revoked_at"], one["revoked_at"]);
    let shown = format!("https://git.example.com/x?k={}…", other.prefix);
    assert_eq!(row["revoked_reason"], format!("reported as found: {shown}"));
    let records = records(&service, "default").await;
    let [record] = &records[..] else {
        panic!("one record: {records:?}")
    };
    let expected = json!({"found": {"id": leaked.id, "prefix": leaked.prefix, "source": shown,
        "status": "revoked", "descendants": 1}});
    assert_eq!(record["change"], expected);
    assert_eq!(deaths(&service, "default").await, [child.id.as_str()]);
    assert_eq!(record["actor"], "anonymous");
    assert_eq!(record["tier"], "none");
    assert_eq!(record["client"], "127.0.0.1");
    assert_eq!(record["kind"], "request");
    assert_eq!(record["id"].as_str(), answer.header("x-request-id"));
    let warnings = logged(&leaked.prefix);
    let is_warning = |line: &String| line.contains("WARN") && line.contains("reported as found");
    assert!(warnings.iter().any(is_warning), "{warnings:?}");
    for secret in [&leaked.secret, &other.secret] {
        assert!(logged(secret).is_empty(), "no log has a secret");
    }

    let again = found(&service, json!({"tokens": [&leaked.secret, &child.secret]})).await;
    let again = again.ok(200);
    for (one, id) in again["tokens"]
        .as_array()
        .expect("a list")
        .iter()
        .zip([&leaked, &child])
    {
        let expected = json!({"prefix": id.prefix, "type": "org_key", "status": "already_revoked",
            "token_id": id.id, "revoked_at": row["revoked_at"]});
        assert_eq!(*one, expected);
    }
}

async fn dry_run_says_how_each_secret_stands_and_changes_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let live = key(&service, ADMIN, "live").await;
    let revoked = key(&service, ADMIN, "revoked").await;
    let end = service.ask_as(ADMIN, "DELETE", &revoked.path());
    end.send().await.ok(200);
    let suspended = key(&service, ADMIN, "suspended").await;
    let below = key(&service, &suspended.secret, "below").await;
    let path = format!("{}/suspend", suspended.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    let rotated = key(&service, ADMIN, "rotated").await;
    let path = format!("{}/rotate", rotated.path());
    let ask = service.ask_as(ADMIN, "POST", &path);
    ask.json(&json!({"overlap": "0"})).send().await.ok(200);
    let body = json!({"name": "future", "not_before": "2100-01-01T00:00:00Z"});
    let future = service.mint(ADMIN, body).await;
    // A finder need not be where the key may be used.
    let body = json!({"name": "far", "ip_allow": ["192.0.2.0/24"]});
    let far = service.mint(ADMIN, body).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let unknown = unknown_secret();
    let cut = &live.secret[..50];
    let table = [
        (&*live.secret, "live"),
        (&revoked.secret, "already_revoked"),
        (&suspended.secret, "suspended"),
        (&below.secret, "suspended"),
        (&rotated.secret, "rotated_out"),
        (&future.secret, "not_yet_valid"),
        (&far.secret, "live"),
        (&token, "live"),
        (&unknown, "unknown"),
        (cut, "malformed"),
        ("", "malformed"),
        ("ghp_something", "malformed"),
    ];
    let secrets = table.map(|(secret, _)| secret);
    for _ in 0..2 {
        let expected = table.map(|(_, status)| status);
        assert_eq!(statuses(&service, &secrets).await, expected);
    }
    let answer = found(&service, json!({"tokens": secrets, "dry_run": true})).await;
    let told = answer.ok(200);
    let expected = json!({"prefix": live.prefix, "type": "org_key", "status": "live",
        "token_id": live.id});
    assert_eq!(told["tokens"][0], expected);
    assert!(told["tokens"][1]["revoked_at"].is_string());
    assert_eq!(told["tokens"][7]["type"], "workspace_token");
    let expected = json!({"prefix": &unknown[..13], "type": "org_key", "status": "unknown"});
    assert_eq!(told["tokens"][8], expected);
    let expected = json!({"prefix": live.prefix, "type": "org_key", "status": "malformed"});
    assert_eq!(
        told["tokens"][9], expected,
        "a part of a secret tells nothing"
    );
    let expected = json!({"prefix": null, "type": null, "status": "malformed"});
    assert_eq!(told["tokens"][11], expected);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for secret in secrets.iter().filter(|secret| secret.len() == 54) {
        assert!(!answer.text().contains(secret), "no answer has a secret");
    }
    whoami(&service, &live.secret).await.ok(200);
    assert!(records(&service, "default").await.is_empty());
}

async fn key_that_is_not_accepted_anyway_is_revoked_all_the_same(backend: Backend) {
    let service = Service::guarded(backend).await;
    let suspended = key(&service, ADMIN, "suspended").await;
    let path = format!("{}/suspend", suspended.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    let body = json!({"name": "future", "not_before": "2100-01-01T00:00:00Z"});
    let future = service.mint(ADMIN, body).await;
    let at = claviger_server::clock::now().plus(std::time::Duration::from_millis(300));
    let body = json!({"name": "short", "expires_at": at.to_string()});
    let expired = service.mint(ADMIN, body).await;
    let ask = |service: &Service| service.ask_as(&expired.secret, "GET", "/org/whoami");
    service.until(ask, |answer| answer.status == 401).await;
    assert_eq!(statuses(&service, &[&expired.secret]).await, ["expired"]);
    let all = [&suspended, &future, &expired];
    let secrets = all.map(|key| key.secret.clone());
    let told = found(&service, json!({"tokens": secrets})).await.ok(200);
    for (one, key) in told["tokens"].as_array().expect("a list").iter().zip(all) {
        assert_eq!(
            (&one["status"], &one["token_id"]),
            (&json!("revoked"), &json!(key.id))
        );
        let row = service.get(ADMIN, &key.path()).await;
        assert_eq!(row["status"], "revoked");
        assert_eq!(row["revoked_reason"], "reported as found");
    }
    let path = format!("{}/resume", suspended.path());
    let resumed = service.ask_as(ADMIN, "POST", &path).send().await;
    resumed.problem(409, "revoked");
    assert_eq!(records(&service, "default").await.len(), 3);
}

async fn replaced_secret_ends_and_the_key_lives_on(backend: Backend) {
    let service = Service::guarded(backend).await;
    let old = key(&service, ADMIN, "k").await;
    let child = key(&service, &old.secret, "child").await;
    let path = format!("{}/rotate", old.path());
    let ask = service.ask_as(ADMIN, "POST", &path);
    let new = ask.json(&json!({"overlap": "30d"})).send().await.ok(200);
    let new = text(&new["auth_token"]);
    assert_eq!(
        statuses(&service, &[&old.secret, &new]).await,
        ["live", "live"]
    );
    let told = found(&service, json!({"tokens": [&old.secret]}))
        .await
        .ok(200);
    let one = &told["tokens"][0];
    assert_eq!(one["status"], "ended");
    assert_eq!(
        (&one["prefix"], &one["token_id"]),
        (&json!(old.prefix), &json!(old.id))
    );
    assert!(one["revoked_at"].is_string());
    let refused = whoami(&service, &old.secret).await;
    refused.problem(401, "token_rotated_out");
    for alive in [&new, &child.secret] {
        whoami(&service, alive).await.ok(200);
    }
    let row = service.get(ADMIN, &old.path()).await;
    assert_eq!(
        (&row["status"], &row["previous"]),
        (&json!("active"), &Value::Null)
    );
    let change = &records(&service, "default").await[0]["change"]["found"];
    assert_eq!(
        (&change["status"], &change["prefix"]),
        (&json!("ended"), &json!(old.prefix))
    );
    // To repeat it is safe, and does not reach the new secret.
    let again = found(&service, json!({"tokens": [&old.secret]}))
        .await
        .ok(200);
    assert_eq!(again["tokens"][0]["status"], "rotated_out");
    whoami(&service, &new).await.ok(200);
    // A secret that was brought back is the key's own again.
    let ask = service.ask_as(ADMIN, "POST", &path);
    let third = ask.json(&json!({"overlap": "1d"})).send().await.ok(200);
    let cancel = format!("{}/rotate/cancel", old.path());
    service.ask_as(ADMIN, "POST", &cancel).send().await.ok(200);
    let both = json!({"tokens": [text(&third["auth_token"]), new]});
    let told = found(&service, both).await.ok(200);
    assert_eq!(told["tokens"][0]["status"], "rotated_out");
    assert_eq!(told["tokens"][1]["status"], "revoked");
    whoami(&service, &child.secret)
        .await
        .problem(401, "token_revoked");
}

async fn workspace_token_is_revoked(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let kept = service.workspace_token(ADMIN, &workspace).await;
    let path = format!("/workspaces/{workspace}/secrets");
    service.get(&token, &path).await;
    let told = found(&service, json!({"tokens": [&token], "source": "a wiki"})).await;
    let told = told.ok(200);
    let one = &told["tokens"][0];
    assert_eq!(
        (&one["type"], &one["status"]),
        (&json!("workspace_token"), &json!("revoked"))
    );
    let refused = service.ask_as(&token, "GET", &path).send().await;
    refused.problem(401, "token_revoked");
    service.get(&kept, &path).await;
    let record = &records(&service, "default").await[0]["change"]["found"];
    assert_eq!(
        (&record["id"], &record["source"]),
        (&one["token_id"], &json!("a wiki"))
    );
    assert_eq!(statuses(&service, &[&token]).await, ["already_revoked"]);
    // A tier that is turned off for now keeps nothing from being revoked.
    service.flags().workspace_tokens = Some("off".to_owned());
    service.restart().await;
    assert_eq!(statuses(&service, &[&kept]).await, ["suspended"]);
    let told = found(&service, json!({"tokens": [&kept]})).await.ok(200);
    assert_eq!(told["tokens"][0]["status"], "revoked");
}

async fn secret_above_others_in_one_report_takes_them_along(backend: Backend) {
    let service = Service::guarded(backend).await;
    let parent = key(&service, ADMIN, "parent").await;
    let child = key(&service, &parent.secret, "child").await;
    let secrets = [&parent.secret, &child.secret, &parent.secret];
    let told = found(&service, json!({"tokens": secrets})).await.ok(200);
    let of = |at: usize| told["tokens"][at]["status"].clone();
    assert_eq!(
        [of(0), of(1), of(2)],
        ["revoked", "already_revoked", "already_revoked"]
    );
    assert_eq!(records(&service, "default").await.len(), 1);
}

pub(crate) async fn records_of_several_orgs_stand_in_each_of_them(backend: Backend) {
    let service = Service::guarded(backend).await;
    let org = service
        .make(ADMIN, "/admin/orgs", json!({"name": "other"}))
        .await;
    let org = text(&org["id"]);
    let ask = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", &org);
    let foreign = Minted::of(&ask.json(&json!({"name": "foreign"})).send().await.ok(201));
    let own = key(&service, ADMIN, "own").await;
    let caller = key(&service, ADMIN, "caller").await;
    let ask = service.ask_as(&caller.secret, "POST", FOUND);
    let body = json!({"tokens": [&foreign.secret, &own.secret]});
    let answer = ask.json(&body).send().await;
    answer.ok(200);
    let theirs = records(&service, &org).await;
    assert_eq!(theirs[0]["change"]["found"]["id"], foreign.id);
    assert_eq!(
        theirs[0]["actor"], "anonymous",
        "labels of other orgs are theirs"
    );
    assert_eq!(
        theirs[0]["key"],
        Value::Null,
        "ids of other orgs are theirs"
    );
    let ours = records(&service, "default").await;
    assert_eq!(ours[0]["change"]["found"]["id"], own.id);
    assert_eq!(ours[0]["key"], caller.id);
    assert_eq!((theirs.len(), ours.len()), (1, 1));
    assert_eq!(ours[0]["id"].as_str(), answer.header("x-request-id"));
    assert_ne!(ours[0]["id"], theirs[0]["id"]);
    // With nothing changed in its own org, the caller's request is recorded there all the same.
    let ask = service.ask_as(&caller.secret, "POST", FOUND);
    let answer = ask.json(&json!({"tokens": [&foreign.secret]})).send().await;
    answer.ok(200);
    let last = service.audit(ADMIN, &format!("&token={}", caller.id)).await;
    assert_eq!(last[0]["id"].as_str(), answer.header("x-request-id"));
}

async fn caller_with_a_key_is_the_actor_and_may_report_its_own_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "narrow", "permissions": [], "workspaces": []});
    let caller = service.mint(ADMIN, body).await;
    let other = key(&service, ADMIN, "other").await;
    let ask = service.ask_as(&caller.secret, "POST", FOUND);
    let body = json!({"tokens": [&caller.secret, &other.secret]});
    let told = ask.json(&body).send().await.ok(200);
    for one in told["tokens"].as_array().expect("a list") {
        assert_eq!(one["status"], "revoked");
    }
    let row = service.get(ADMIN, &other.path()).await;
    assert_eq!(row["revoked_by"], caller.actor());
    whoami(&service, &caller.secret)
        .await
        .problem(401, "token_revoked");
}

async fn key_that_went_with_its_org_keeps_nothing_else_alive(backend: Backend) {
    let service = Service::guarded(backend).await;
    let leaked = key(&service, ADMIN, "leaked").await;
    let doomed = service
        .make(ADMIN, "/admin/orgs", json!({"name": "doomed"}))
        .await;
    let org = text(&doomed["id"]);
    let ask = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", &org);
    let gone = Minted::of(&ask.json(&json!({"name": "gone"})).send().await.ok(201));
    let path = format!("/admin/orgs/{org}");
    service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    let told = found(&service, json!({"tokens": [&gone.secret, &leaked.secret]})).await;
    let told = told.ok(200);
    assert_eq!(told["tokens"][0]["status"], "already_revoked");
    assert_eq!(told["tokens"][1]["status"], "revoked");
}

async fn report_and_other_changes_at_once_leave_nothing_alive(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..5 {
        let leaked = key(&service, ADMIN, "leaked").await;
        let body = json!({"name": "child"});
        let mint = service
            .ask_as(&leaked.secret, "POST", "/org/tokens")
            .json(&body);
        let rename = service.ask_as(ADMIN, "PATCH", &leaked.path()).json(&body);
        let (told, again, minted, _renamed) = tokio::join!(
            found(&service, json!({"tokens": [&leaked.secret]})),
            found(&service, json!({"tokens": [&leaked.secret]})),
            mint.send(),
            rename.send(),
        );
        let mut statuses = [told, again].map(|answer| text(&answer.ok(200)["tokens"][0]["status"]));
        statuses.sort_unstable();
        assert_eq!(statuses, ["already_revoked", "revoked"]);
        whoami(&service, &leaked.secret)
            .await
            .problem(401, "token_revoked");
        if minted.status == 201 {
            let child = Minted::of(&minted.json());
            whoami(&service, &child.secret)
                .await
                .problem(401, "token_revoked");
        }
    }
}
