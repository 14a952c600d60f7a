//! Many keys stopped at once, and what a dry run says of it.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    law::whoami,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    dry_run_says_what_would_stop_and_changes_nothing,
    dry_run_of_one_key_says_what_would_stop_with_it,
    selected_keys_stop_at_once_and_go_on_again,
    caller_does_not_stop_itself,
    nothing_stops_if_the_caller_may_not_act_on_one,
    selection_that_says_nothing_is_refused,
    suspension_says_who_and_why,
    only_what_was_stopped_at_once_is_resumed,
    thousands_of_keys_stop_at_once,
);

async fn turn(service: &Service, by: &str, what: &str, body: Value) -> Answer {
    let path = format!("/org/tokens/{what}");
    service.ask_as(by, "POST", &path).json(&body).send().await
}

fn ids(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|key| text(&key["id"])).collect()
}

async fn dry_run_says_what_would_stop_and_changes_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let tagged = json!({"name": "t", "metadata": {"team": "red"}});
    let tagged = service.mint(ADMIN, tagged).await;
    let below = json!({"name": "below", "metadata": {"team": "blue"}});
    let below = service.mint(&tagged.secret, below).await;
    service.mint(ADMIN, json!({"name": "other"})).await;
    whoami(&service, &below.secret).await.ok(200);
    whoami(&service, &below.secret).await.ok(200);
    let asked = json!({"metadata": {"team": "red"}, "dry_run": true});
    let said = turn(&service, ADMIN, "suspend", asked).await.ok(200);
    assert_eq!(
        (&said["dry_run"], &said["count"], &said["below_count"]),
        (&json!(true), &json!(1), &json!(1))
    );
    assert_eq!(
        (ids(&said["keys"]), ids(&said["below"])),
        (vec![tagged.id.clone()], vec![below.id.clone()])
    );
    // The one minted the other, which asked twice who it is.
    let calls = [&said["keys"][0], &said["below"][0]].map(|key| key["calls_last_hour"].clone());
    assert_eq!(calls, [json!(1), json!(2)]);
    for key in [&tagged, &below] {
        whoami(&service, &key.secret).await.ok(200);
    }
}

async fn dry_run_of_one_key_says_what_would_stop_with_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let below = service.mint(&key.secret, json!({"name": "below"})).await;
    whoami(&service, &below.secret).await.ok(200);
    let dry = json!({"dry_run": true, "reason": "a look"});
    let stop = |by: String, what: &'static str, body: Value| {
        let asked = service.ask_as(&by, "POST", &format!("{}/{what}", key.path()));
        async move { asked.json(&body).send().await }
    };
    let admin = || ADMIN.to_owned();
    let said = stop(admin(), "suspend", dry.clone()).await.ok(200);
    assert_eq!(
        (ids(&said["keys"]), ids(&said["below"])),
        (vec![key.id.clone()], vec![below.id.clone()])
    );
    let calls = [&said["keys"][0], &said["below"][0]].map(|key| key["calls_last_hour"].clone());
    assert_eq!(calls, [json!(1), json!(1)]);
    for key in [&key, &below] {
        whoami(&service, &key.secret).await.ok(200);
    }
    let trail = service.get(ADMIN, "/org/audit?limit=50").await;
    assert!(!trail.to_string().contains("suspended"), "{trail}");
    // Whoever may not suspend it learns nothing of what it made.
    let narrow = json!({"name": "n", "permissions": ["org.tokens:revoke"]});
    let narrow = service.mint(ADMIN, narrow).await;
    let refused = stop(narrow.secret.clone(), "suspend", dry.clone()).await;
    refused.problem(403, "wider_key");
    let refused = stop(admin(), "resume", dry.clone()).await;
    refused.problem(422, "out_of_range");
    // What is off already stops nothing; what is revoked cannot be suspended.
    stop(admin(), "suspend", json!({})).await.ok(200);
    let said = stop(admin(), "suspend", dry.clone()).await.ok(200);
    assert_eq!(
        (&said["count"], &said["below_count"]),
        (&json!(0), &json!(0))
    );
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    let refused = stop(admin(), "suspend", dry).await;
    let really = stop(admin(), "suspend", json!({})).await;
    assert_eq!(refused.status, really.status);
    assert!(refused.status >= 400, "{}", refused.status);
}

async fn selected_keys_stop_at_once_and_go_on_again(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let child = service.mint(&root.secret, json!({"name": "child"})).await;
    let tagged = json!({"name": "t", "metadata": {"team": "red", "x": "1"}});
    let tagged = service.mint(ADMIN, tagged).await;
    let since = text(&service.get(ADMIN, &tagged.path()).await["created_at"]);
    let table = [
        (json!({"under": root.id}), vec![&root, &child]),
        (json!({"created_by": root.actor()}), vec![&child]),
        (json!({"metadata": {"team": "red"}}), vec![&tagged]),
        (json!({"minted_since": since}), vec![&tagged]),
    ];
    for (selection, expected) in table {
        let stopped = turn(&service, ADMIN, "suspend", selection.clone())
            .await
            .ok(200);
        let expected_ids: Vec<_> = expected.iter().map(|key| key.id.clone()).collect();
        assert_eq!(ids(&stopped["keys"]), expected_ids, "{selection}");
        for key in &expected {
            whoami(&service, &key.secret)
                .await
                .problem(401, "token_suspended");
        }
        let again = turn(&service, ADMIN, "suspend", selection.clone())
            .await
            .ok(200);
        assert_eq!(again["count"], 0, "they are off already");
        service.restart().await;
        whoami(&service, &expected[0].secret)
            .await
            .problem(401, "token_suspended");
        let resumed = turn(&service, ADMIN, "resume", selection).await.ok(200);
        assert_eq!(ids(&resumed["keys"]), expected_ids);
        for key in [&root, &child, &tagged] {
            whoami(&service, &key.secret).await.ok(200);
        }
    }
}

async fn caller_does_not_stop_itself(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let own = service.mint(&root.secret, json!({"name": "own"})).await;
    let other = service.mint(&root.secret, json!({"name": "other"})).await;
    let asked = json!({"under": root.id, "dry_run": true});
    let would = turn(&service, &own.secret, "suspend", asked).await.ok(200);
    assert_eq!(would["spared"], json!([root.id, own.id]));
    let asked = json!({"under": root.id});
    let stopped = turn(&service, &own.secret, "suspend", asked).await.ok(200);
    assert_eq!(ids(&stopped["keys"]), [other.id.as_str()]);
    whoami(&service, &own.secret).await.ok(200);
    whoami(&service, &other.secret)
        .await
        .problem(401, "token_suspended");
}

async fn nothing_stops_if_the_caller_may_not_act_on_one(backend: Backend) {
    let service = Service::guarded(backend).await;
    let narrow = json!({"name": "n", "permissions": ["org.tokens:*", "secrets:read"]});
    let narrow = service.mint(ADMIN, narrow).await;
    let pair = json!({"team": "red"});
    let child = json!({"name": "child", "permissions": ["secrets:read"], "metadata": pair});
    let child = service.mint(&narrow.secret, child).await;
    let wide = service
        .mint(ADMIN, json!({"name": "wide", "metadata": pair}))
        .await;
    for dry_run in [true, false] {
        let asked = json!({"metadata": pair, "dry_run": dry_run});
        let refused = turn(&service, &narrow.secret, "suspend", asked).await;
        let problem = refused.problem(403, "wider_key");
        assert!(text(&problem["detail"]).contains(&wide.id), "{problem}");
    }
    whoami(&service, &child.secret).await.ok(200);
    // Nor may it wake what others put to sleep.
    turn(&service, ADMIN, "suspend", json!({"metadata": pair}))
        .await
        .ok(200);
    let refused = turn(
        &service,
        &narrow.secret,
        "resume",
        json!({"metadata": pair}),
    )
    .await;
    refused.problem(403, "wider_key");
    whoami(&service, &child.secret)
        .await
        .problem(401, "token_suspended");
}

async fn selection_that_says_nothing_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for (body, field) in [
        (json!({}), "under"),
        (json!({"reason": "all of them"}), "under"),
        (json!({"under": "tok_1"}), "under"),
        (json!({"minted_since": "yesterday"}), "minted_since"),
        (json!({"metadata": {}}), "under"),
        (json!({"created_by": "somebody"}), "created_by"),
        (
            json!({"created_by": format!("session:{}", "x".repeat(400))}),
            "created_by",
        ),
        (json!({"suspended_since": "now"}), "suspended_since"),
    ] {
        let refused = turn(&service, ADMIN, "suspend", body.clone()).await;
        assert_eq!(refused.field(422, "out_of_range"), field, "{body}");
    }
    let refused = turn(&service, ADMIN, "suspend", json!({"who": 1})).await;
    refused.problem(400, "bad_field");
    whoami(&service, &key.secret).await.ok(200);
}

async fn only_what_was_stopped_at_once_is_resumed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let pair = json!({"team": "red"});
    let leaked = service
        .mint(ADMIN, json!({"name": "leaked", "metadata": pair}))
        .await;
    let other = service
        .mint(ADMIN, json!({"name": "other", "metadata": pair}))
        .await;
    let path = format!("{}/suspend", leaked.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    let since = text(&service.get(ADMIN, &leaked.path()).await["suspended_at"]);
    let later: claviger_core::time::Timestamp = since.parse().expect("a time");
    let later = later.plus(std::time::Duration::from_millis(1)).to_string();
    let now = |service: &Service| service.ask_as(ADMIN, "GET", "/org/whoami");
    service
        .until(now, |_| claviger_server::clock::now().to_string() > later)
        .await;
    turn(&service, ADMIN, "suspend", json!({"metadata": pair}))
        .await
        .ok(200);
    let asked = json!({"metadata": pair, "suspended_since": later});
    let resumed = turn(&service, ADMIN, "resume", asked).await.ok(200);
    assert_eq!(ids(&resumed["keys"]), [other.id.as_str()]);
    whoami(&service, &leaked.secret)
        .await
        .problem(401, "token_suspended");
    let asked = json!({"suspended_by": "policy"});
    let resumed = turn(&service, ADMIN, "resume", asked).await.ok(200);
    assert_eq!(resumed["count"], 0);
}

/// More keys than a transaction with a round trip for each could take.
const MANY: usize = 3000;

async fn thousands_of_keys_stop_at_once(backend: Backend) {
    let service = Service::guarded_with(backend, |flags| {
        flags.mints_per_minute = Some("1000000".to_owned());
    })
    .await;
    let lead = service.mint(ADMIN, json!({"name": "lead"})).await;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..16 {
        let asks: Vec<_> = (0..MANY / 16)
            .map(|at| {
                let body = json!({"name": format!("k{lane}.{at}"), "metadata": {"team": "red"}});
                service
                    .ask_as(&lead.secret, "POST", "/org/tokens")
                    .json(&body)
            })
            .collect();
        tasks.spawn(async move {
            for ask in asks {
                ask.send().await.ok(201);
            }
        });
    }
    while let Some(lane) = tasks.join_next().await {
        lane.expect("no panic");
    }
    let count = MANY / 16 * 16;
    let asked = json!({"metadata": {"team": "red"}, "dry_run": true});
    let would = turn(&service, ADMIN, "suspend", asked).await.ok(200);
    assert_eq!(
        (&would["count"], ids(&would["keys"]).len()),
        (&json!(count), 1000)
    );
    let asked = json!({"metadata": {"team": "red"}});
    let stopped = turn(&service, ADMIN, "suspend", asked.clone())
        .await
        .ok(200);
    assert_eq!(stopped["count"], json!(count));
    let resumed = turn(&service, ADMIN, "resume", asked).await.ok(200);
    assert_eq!(resumed["count"], json!(count));
}

async fn suspension_says_who_and_why(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = service.mint(ADMIN, json!({"name": "admin"})).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let asked = json!({"under": key.id, "reason": "strange traffic"});
    turn(&service, &admin.secret, "suspend", asked)
        .await
        .ok(200);
    let shown = service.get(ADMIN, &key.path()).await;
    assert_eq!(shown["suspended_by"], admin.actor().as_str());
    assert_eq!(shown["suspended_reason"], "strange traffic");
    let records = service.audit(ADMIN, "").await;
    let told = records
        .iter()
        .filter(|record| record["change"]["suspended"].is_object());
    assert_eq!(told.count(), 2, "one of the whole, one of the key");
}
