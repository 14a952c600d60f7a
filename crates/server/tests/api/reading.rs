//! The trail read: by free text, and exported in every format.

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    text_is_found_in_paths_and_names,
    text_is_held_to_its_limits,
    caller_who_is_bound_learns_no_names,
    exports_hold_the_same_records_in_every_format,
    exports_go_on_behind_a_record,
    explorer_searches_and_offers_every_format,
);

/// The paths of the records that a text finds, oldest first.
async fn found(service: &Service, by: &str, query: &str) -> Vec<String> {
    let mut records = service.audit(by, query).await;
    records.reverse();
    records.iter().map(|record| text(&record["path"])).collect()
}

async fn text_is_found_in_paths_and_names(backend: Backend) {
    let service = Service::guarded(backend).await;
    let place = service
        .make(ADMIN, "/workspaces", json!({"name": "B\u{fc}ro West"}))
        .await;
    let place = text(&place["id"]);
    let base = format!("/workspaces/{place}");
    let robot = service.mint(ADMIN, json!({"name": "Robot 7"})).await;
    service.get(&robot.secret, "/org/whoami").await;
    service.get(&robot.secret, &base).await;
    let person = service.sign_in(ADMIN).await;
    service.ask_in(&person, "GET", "/org/policy").send().await;
    let half = &place[..20];
    let of_place = vec![base.clone()];
    for (query, expected) in [
        ("q=whoami", vec!["/org/whoami".to_owned()]),
        ("q=ORG%2FWHO", vec!["/org/whoami".to_owned()]),
        ("q=robot", vec!["/org/whoami".to_owned(), base.clone()]),
        ("q=ROBOT+7&status=4xx", vec![]),
        // The workspace, by its name in any writing, by a part of its id, and by a part of the path.
        ("q=b%C3%9CRO", of_place.clone()),
        ("q=bu%CC%88ro+w", of_place.clone()),
        (&*format!("q={half}"), of_place.clone()),
        (&*format!("q=spaces%2F{half}"), of_place.clone()),
        ("q=no+such+thing", vec![]),
        ("q=%25", vec![]),
    ] {
        assert_eq!(
            found(&service, ADMIN, &format!("&{query}")).await,
            expected,
            "{query}"
        );
    }
    // A name counts as it is now.
    let body = json!({"name": "Renamed"});
    let path = format!("/org/tokens/{}", robot.id);
    service
        .ask_as(ADMIN, "PATCH", &path)
        .json(&body)
        .send()
        .await
        .ok(200);
    assert_eq!(
        found(&service, ADMIN, "&q=robot").await,
        Vec::<String>::new()
    );
    assert_eq!(found(&service, ADMIN, "&q=renamed").await.len(), 2);
    let own = format!("/org/tokens/{}/activity?q=whoami", robot.id);
    let own = service.get(ADMIN, &own).await;
    assert_eq!(own["events"].as_array().map(Vec::len), Some(1));
}

async fn text_is_held_to_its_limits(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (query, status) in [
        ("q=".to_owned(), 422),
        ("q=+".to_owned(), 422),
        (format!("q={}", "x".repeat(100)), 200),
        (format!("q={}", "x".repeat(101)), 422),
        ("q=x%E2%80%8Bx".to_owned(), 422),
    ] {
        for route in ["/org/audit", "/org/audit/export"] {
            let path = format!("{route}?{query}");
            let answer = service.ask_as(ADMIN, "GET", &path).send().await;
            assert_eq!(answer.status, status, "{path}");
            if status != 200 {
                let field = answer.json()["field"].clone();
                assert_eq!(field, "q", "{path}");
            }
        }
    }
}

async fn caller_who_is_bound_learns_no_names(backend: Backend) {
    let service = Service::guarded(backend).await;
    let place = service.workspace(ADMIN).await;
    let robot = service.mint(ADMIN, json!({"name": "Robot 7"})).await;
    service
        .get(&robot.secret, &format!("/workspaces/{place}"))
        .await;
    let body = json!({"name": "auditor", "permissions": ["audit:read"], "workspaces": [place]});
    let auditor = service.mint(ADMIN, body).await;
    let query = |text: &str| format!("&workspace={place}&method=GET&q={text}");
    let found_by = async |by: &str, text: &str| found(&service, by, &query(text)).await.len();
    assert_eq!(found_by(ADMIN, "robot").await, 1);
    assert_eq!(found_by(&auditor.secret, "robot").await, 0);
    assert_eq!(found_by(&auditor.secret, "workspaces").await, 1);
    // Nor that of a workspace that it was refused.
    let body = json!({"name": "secret-merger"});
    let other = service.make(ADMIN, "/workspaces", body).await;
    let other = other["id"].as_str().expect("an id");
    let body = json!({"name": "curious", "permissions": ["org.tokens:read", "workspaces:read"], "workspaces": [place]});
    let curious = service.mint(ADMIN, body).await;
    let refused = service.ask_as(&curious.secret, "GET", &format!("/workspaces/{other}"));
    assert_eq!(refused.send().await.status, 403);
    let own = |text: &str| format!("{}/activity?workspace={other}&q={text}", curious.path());
    let mut counts = Vec::new();
    for (by, text) in [
        (ADMIN, "merger"),
        (&curious.secret, "merger"),
        (&curious.secret, other),
    ] {
        let answer = service.get(by, &own(text)).await;
        counts.push(answer["events"].as_array().map(Vec::len));
    }
    assert_eq!(counts, [Some(1), Some(0), Some(1)]);
}

/// The export in this format, its lines, and what its head says.
async fn export(service: &Service, query: &str) -> (String, Vec<String>) {
    let path = format!("/org/audit/export?{query}");
    let answer = service.ask_as(ADMIN, "GET", &path).send().await;
    assert_eq!(answer.status, 200, "{path}");
    let kind = answer.header("content-type").expect("a type").to_owned();
    let file = answer.header("content-disposition").expect("a file");
    assert!(file.starts_with("attachment; filename=\"audit."), "{file}");
    (kind, answer.text().lines().map(str::to_owned).collect())
}

async fn exports_hold_the_same_records_in_every_format(backend: Backend) {
    let service = Service::guarded(backend).await;
    let place = service.workspace(ADMIN).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    let path = format!("/workspaces/{place}");
    service.get(&key.secret, &path).await;
    let agent = ("user-agent", "=cmd|' /C calc'!A0");
    let refused = service
        .ask_as(&key.secret, "DELETE", &path)
        .header(agent.0, agent.1);
    assert_eq!(refused.send().await.status, 403);
    let filter = format!("workspace={place}");
    let (kind, lines) = export(&service, &format!("format=jsonl&{filter}")).await;
    assert_eq!((&*kind, lines.len()), ("application/jsonl", 2));
    let (kind, events) = export(&service, &format!("format=cloudevents&{filter}")).await;
    assert_eq!((&*kind, events.len()), ("application/jsonl", 2));
    for (event, line) in events.iter().zip(&lines) {
        assert!(event.ends_with(&format!("\"data\":{line}}}")), "{event}");
    }
    let (kind, ocsf) = export(&service, &format!("format=ocsf&{filter}")).await;
    assert_eq!((&*kind, ocsf.len()), ("application/jsonl", 2));
    let ocsf: Vec<Value> = ocsf
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let types = ocsf.iter().map(|event| event["type_uid"].as_u64());
    assert_eq!(types.collect::<Vec<_>>(), [Some(600_302), Some(600_304)]);
    let (kind, csv) = export(&service, &format!("format=csv&{filter}")).await;
    assert_eq!(kind, "text/csv; charset=utf-8; header=present");
    assert!(csv[0].starts_with("seq,id,time,") && csv.len() == 3);
    assert!(csv[2].contains(",\"'=cmd|' /C calc'!A0\","), "{}", csv[2]);
    let answer = service
        .ask_as(ADMIN, "GET", "/org/audit/export?format=xml")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.json()["field"].clone()),
        (422, json!("format"))
    );
}

async fn exports_go_on_behind_a_record(backend: Backend) {
    let service = Service::guarded(backend).await;
    for name in ["a", "b", "c"] {
        service.mint(ADMIN, json!({"name": name})).await;
    }
    for format in ["jsonl", "csv", "ocsf", "cloudevents"] {
        let (_, whole) = export(&service, &format!("format={format}&method=POST")).await;
        let (_, rest) = export(&service, &format!("format={format}&method=POST&after=1")).await;
        // The header stands at the beginning of the trail alone.
        assert_eq!(rest, whole[whole.len() - 2..], "{format}");
    }
}

async fn explorer_searches_and_offers_every_format(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "Robot 7"})).await;
    service.get(&key.secret, "/org/whoami").await;
    let page = admin.get("/canvas/audit?q=robot&status=2xx").await.page();
    assert!(page.contains("1 shown") && page.contains("value=\"robot\""));
    for format in ["jsonl", "csv", "ocsf", "cloudevents"] {
        let export = format!("/org/audit/export?q=robot&#38;status=2xx&#38;format={format}");
        assert!(page.contains(&export), "{format}");
    }
    assert!(page.contains("/org/audit/stream?q=robot"));
    let long = format!("/canvas/audit?q={}", "x".repeat(101));
    let refused = admin.get(&long).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("id=\"f-q-error\""));
}
