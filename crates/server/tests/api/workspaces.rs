//! Workspaces and what lies in them: secrets, channels, and the keys that are bound to them.

use std::process::Command;

use claviger_server::ServeError;
use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Service, text};

/// 32 bytes that are no master key of any test.
const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

on_each_database!(
    workspace_is_kept_changed_and_deleted_whole,
    secret_is_revealed_to_those_who_may_and_sealed_at_rest,
    secrets_count_their_versions,
    other_master_key_stops_the_start,
    failed_start_lets_go_of_the_database,
    label_bound_key_follows_the_labels,
    label_changes_need_an_admin_or_an_unbound_grant,
    list_is_cut_to_the_binding_and_filled_to_its_limit,
    outside_the_binding_nothing_is_told,
    things_of_one_workspace_are_not_found_in_another,
);

async fn workspace_is_kept_changed_and_deleted_whole(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let body = json!({"name": " w ", "labels": {"agent": "数据", "empty": ""}});
    let answer = service
        .ask_as(ADMIN, "POST", "/workspaces")
        .json(&body)
        .send()
        .await;
    let made = answer.ok(201);
    let path = format!("/workspaces/{}", text(&made["id"]));
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(
        (&made["name"], &made["labels"]),
        (&json!("w"), &body["labels"])
    );
    assert_eq!(made["created_by"], "admin-token");
    service.restart().await;
    assert_eq!(service.get(ADMIN, &path).await, made);
    let change = service
        .ask_as(ADMIN, "PATCH", &path)
        .json(&json!({"name": "v"}));
    let changed = change.send().await.ok(200);
    assert_eq!(
        (&changed["name"], &changed["labels"]),
        (&json!("v"), &made["labels"])
    );
    let token = service.workspace_token(ADMIN, &text(&made["id"])).await;
    let under = format!("{path}/channels");
    service.get(&token, &under).await;
    service.make(ADMIN, &under, webhook()).await;
    service
        .make(
            ADMIN,
            &format!("{path}/secrets"),
            json!({"key": "A", "value": "1"}),
        )
        .await;
    let deleted = service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    let expected = json!({"deleted": made["id"], "channels": 1, "secrets": 1, "tokens_revoked": 1});
    assert_eq!(deleted, expected);
    service
        .ask_as(&token, "GET", &under)
        .send()
        .await
        .problem(401, "token_revoked");
    for part in ["", "/channels", "/secrets", "/secrets/values", "/tokens"] {
        let answer = service
            .ask_as(ADMIN, "GET", &format!("{path}{part}"))
            .send()
            .await;
        answer.problem(404, "not_found");
    }
    service
        .ask_as(ADMIN, "DELETE", &path)
        .send()
        .await
        .problem(404, "not_found");
    for (part, body) in [
        ("channels", webhook()),
        ("secrets", json!({"key": "A", "value": "1"})),
        ("tokens", json!({})),
    ] {
        let ask = service
            .ask_as(ADMIN, "POST", &format!("{path}/{part}"))
            .json(&body);
        ask.send().await.problem(404, "not_found");
    }
    service.restart().await;
    let late = service.ask_as(&token, "GET", &under).send().await;
    assert_eq!(late.status, 401, "{}", late.text());
}

fn webhook() -> Value {
    json!({"type": "webhook", "config": {"url": "https://hooks.example.com/in"}})
}

/// Everything that the database keeps, as bytes.
fn at_rest(service: &Service) -> Vec<u8> {
    let Some(url) = service.database_url() else {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(service.data_dir()).expect("the data directory") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|end| end.to_string_lossy().starts_with("db"))
            {
                bytes.extend(std::fs::read(path).expect("a file"));
            }
        }
        return bytes;
    };
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut programs: Vec<_> = versions
        .map(|entry| entry.path().join("bin/pg_dump"))
        .collect();
    programs.retain(|program| program.exists());
    programs.sort();
    let program = programs.pop().unwrap_or_else(|| "pg_dump".into());
    let dump = Command::new(program)
        .args(["--inserts", "--dbname", &url])
        .output();
    let dump = dump.expect("`pg_dump` can be run");
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    dump.stdout
}

fn holds(bytes: &[u8], text: &str) -> bool {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    [text.as_bytes(), hex.as_bytes()]
        .iter()
        .any(|part| bytes.windows(part.len()).any(|window| window == *part))
}

async fn secret_is_revealed_to_those_who_may_and_sealed_at_rest(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let made = service
        .make(ADMIN, "/workspaces", json!({"name": "findable-name"}))
        .await;
    let base = format!("/workspaces/{}", text(&made["id"]));
    let secrets = format!("{base}/secrets");
    let hidden = "value-that-nobody-may-find-at-rest";
    let url = "https://hooks.example.com/hidden-path-of-the-hook";
    let set = service
        .make(ADMIN, &secrets, json!({"key": "A", "value": hidden}))
        .await;
    assert!(!set.to_string().contains(hidden));
    let channel = json!({"type": "webhook", "config": {"url": url, "signing_secret": hidden}});
    service
        .make(ADMIN, &format!("{base}/channels"), channel)
        .await;
    assert_eq!(
        service.get(ADMIN, &format!("{secrets}/values")).await,
        json!({"values": {"A": hidden}})
    );
    let names = service.get(ADMIN, &secrets).await;
    assert_eq!(names["secrets"][0]["key"], "A");
    let exported = service
        .ask_as(ADMIN, "GET", "/org/audit/export")
        .send()
        .await
        .text();
    assert!(!names.to_string().contains(hidden) && !exported.contains(hidden));
    service.restart().await;
    service.get(ADMIN, &format!("{secrets}/values")).await;
    let open = at_rest(&service);
    assert!(
        holds(&open, "findable-name"),
        "the search does not find what is there"
    );
    assert!(!holds(&open, hidden) && !holds(&open, "hidden-path-of-the-hook"));
    service.stop().await;
    let closed = at_rest(&service);
    assert!(!holds(&closed, hidden) && !holds(&closed, ADMIN));
}

async fn secrets_count_their_versions(backend: Backend) {
    let service = Service::guarded(backend).await;
    let base = format!("/workspaces/{}/secrets", service.workspace(ADMIN).await);
    for (method, status, version) in [("POST", 201, 1), ("PUT", 200, 2), ("POST", 200, 3)] {
        let body = json!({"key": "A", "value": format!("value {version}")});
        let set = service
            .ask_as(ADMIN, method, &base)
            .json(&body)
            .send()
            .await
            .ok(status);
        assert_eq!(set["version"], version);
    }
    let largest = json!({"key": "B", "value": "é".repeat(32 * 1024)});
    service.make(ADMIN, &base, largest.clone()).await;
    let values = service.get(ADMIN, &format!("{base}/values")).await;
    assert_eq!(
        values["values"],
        json!({"A": "value 3", "B": largest["value"]})
    );
    for bad in ["", "1A", "a b", "values", "é", &"A".repeat(129)] {
        let ask = service
            .ask_as(ADMIN, "PUT", &base)
            .json(&json!({"key": bad, "value": "v"}));
        assert_eq!(ask.send().await.field(422, "out_of_range"), "key", "{bad}");
    }
    let path = format!("{base}/A");
    let deleted = service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    assert_eq!(deleted, json!({"deleted": "A"}));
    service
        .ask_as(ADMIN, "DELETE", &path)
        .send()
        .await
        .problem(404, "not_found");
    let values = service.get(ADMIN, &format!("{base}/values")).await;
    assert_eq!(
        values["values"].as_object().map(serde_json::Map::len),
        Some(1)
    );
}

async fn other_master_key_stops_the_start(backend: Backend) {
    use std::os::unix::fs::PermissionsExt;
    let mut service = Service::guarded(backend).await;
    service.stop().await;
    let file = service.data_dir().join("master.key");
    let mode = std::fs::metadata(&file)
        .expect("the master key")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read(&file).expect("the master key");
    std::fs::remove_file(&file).expect("the master key");
    // No key is made for a database that has one.
    let error = settled_start(&mut service).await.expect_err("no key");
    assert!(error.to_string().contains("master"), "{error}");
    std::fs::write(&file, OTHER_KEY).expect("a file");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("a mode");
    let error = settled_start(&mut service).await.expect_err("another key");
    assert!(error.to_string().contains("--master-key-file"), "{error}");
    std::fs::write(&file, kept).expect("a file");
    settled_start(&mut service).await.expect("the right key");
}

/// Starts it once the start before, which failed, has let go of the database.
async fn settled_start(service: &mut Service) -> Result<(), ServeError> {
    loop {
        match service.start().await {
            Err(error) if error.to_string().contains("another process") => {
                tokio::task::yield_now().await;
            }
            outcome => return outcome,
        }
    }
}

async fn failed_start_lets_go_of_the_database(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    service.stop().await;
    let file = service.data_dir().join("master.key");
    let kept = std::fs::read(&file).expect("the master key");
    for _ in 0..5 {
        std::fs::write(&file, OTHER_KEY).expect("a file");
        service.start().await.expect_err("another key");
        std::fs::write(&file, &kept).expect("a file");
        service.start().await.expect("nobody else has it open");
        service.stop().await;
    }
}

async fn label_bound_key_follows_the_labels(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let path = format!("/workspaces/{workspace}");
    let bound = json!({"name": "b", "workspaces": {"labels": {"agent": "a", "stage": "live"}}});
    let key = service.mint(ADMIN, bound).await;
    let label = async |labels: Value| {
        let ask = service
            .ask_as(ADMIN, "PATCH", &path)
            .json(&json!({"labels": labels}));
        ask.send().await.ok(200);
        let reads = service
            .ask_as(&key.secret, "GET", &path)
            .send()
            .await
            .status;
        let list = service.get(&key.secret, "/workspaces").await;
        assert_eq!(
            list["workspaces"].as_array().map(Vec::len),
            Some(usize::from(reads == 200))
        );
        reads
    };
    assert_eq!(label(json!({})).await, 403);
    assert_eq!(label(json!({"agent": "a"})).await, 403);
    assert_eq!(
        label(json!({"agent": "a", "stage": "live", "more": "x"})).await,
        200
    );
    assert_eq!(label(json!({"agent": "b", "stage": "live"})).await, 403);
    assert_eq!(label(json!({"agent": "a", "stage": "live"})).await, 200);
    let within = json!({"name": "mine", "labels": {"agent": "a", "stage": "live"}});
    service.make(&key.secret, "/workspaces", within).await;
    let outside = service
        .ask_as(&key.secret, "POST", "/workspaces")
        .json(&json!({"name": "o"}));
    outside.send().await.problem(403, "outside_workspaces");
}

async fn label_changes_need_an_admin_or_an_unbound_grant(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let path = format!("/workspaces/{workspace}");
    let write = ["workspaces:write", "workspaces:read"];
    let bound = json!({"name": "b", "permissions": write, "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    let unbound = service
        .mint(ADMIN, json!({"name": "u", "permissions": write}))
        .await;
    let admin = ["workspaces:write", "org:admin"];
    let admin = json!({"name": "a", "permissions": admin, "workspaces": [workspace]});
    let admin = service.mint(ADMIN, admin).await;
    let labels = json!({"labels": {"a": "b"}});
    let change =
        async |key: &str, body: &Value| service.ask_as(key, "PATCH", &path).json(body).send().await;
    let refused = change(&bound.secret, &labels)
        .await
        .problem(403, "missing_permission");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|text| text.contains("`org:admin`"))
    );
    change(&bound.secret, &json!({"name": "n", "labels": {}}))
        .await
        .problem(403, "missing_permission");
    change(&bound.secret, &json!({"name": "renamed"}))
        .await
        .ok(200);
    assert_eq!(service.get(ADMIN, &path).await["labels"], json!({}));
    change(&unbound.secret, &labels).await.ok(200);
    change(&admin.secret, &json!({"labels": {}})).await.ok(200);
}

async fn list_is_cut_to_the_binding_and_filled_to_its_limit(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.insert(0, service.workspace(ADMIN).await);
    }
    let mine = vec![ids[1].clone(), ids[6].clone(), ids[11].clone()];
    let key = service
        .mint(ADMIN, json!({"name": "b", "workspaces": mine}))
        .await;
    let walk = async |key: &str, limit: usize| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/workspaces?limit={limit}{cursor}");
            let page = service.get(key, &path).await;
            let part = page["workspaces"].as_array().expect("workspaces");
            found.extend(part.iter().map(|workspace| text(&workspace["id"])));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    for limit in [1, 2, 3, 200] {
        assert_eq!(walk(&key.secret, limit).await, mine);
    }
    assert_eq!(walk(ADMIN, 5).await, ids);
    let page = service.get(&key.secret, "/workspaces?limit=2").await;
    assert_eq!(page["workspaces"].as_array().map(Vec::len), Some(2));
}

async fn outside_the_binding_nothing_is_told(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (mine, other) = (
        service.workspace(ADMIN).await,
        service.workspace(ADMIN).await,
    );
    let absent = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    let ids = json!({"name": "i", "workspaces": [mine]});
    let labels = json!({"name": "l", "workspaces": {"labels": {"a": "b"}}});
    for body in [ids, labels] {
        let key = service.mint(ADMIN, body).await;
        for part in ["", "/channels", "/secrets/values"] {
            let mut told = Vec::new();
            for id in [&other, &absent] {
                let path = format!("/workspaces/{id}{part}");
                let answer = service.ask_as(&key.secret, "GET", &path).send().await;
                told.push(answer.problem(403, "outside_workspaces")["detail"].clone());
            }
            assert_eq!(told[0], told[1]);
        }
        let audit = service.ask_as(&key.secret, "GET", &format!("/org/audit?workspace={other}"));
        audit.send().await.problem(403, "outside_workspaces");
    }
}

async fn things_of_one_workspace_are_not_found_in_another(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (mine, other) = (
        service.workspace(ADMIN).await,
        service.workspace(ADMIN).await,
    );
    let base = |id: &str| format!("/workspaces/{id}");
    let channel = service
        .make(ADMIN, &format!("{}/channels", base(&other)), webhook())
        .await;
    let channel = text(&channel["id"]);
    service.workspace_token(ADMIN, &other).await;
    let tokens = service
        .get(ADMIN, &format!("{}/tokens", base(&other)))
        .await;
    let token = text(&tokens["tokens"][0]["id"]);
    let key = service
        .mint(ADMIN, json!({"name": "b", "workspaces": [mine]}))
        .await;
    for (method, part) in [
        ("GET", format!("channels/{channel}")),
        ("PATCH", format!("channels/{channel}")),
        ("DELETE", format!("channels/{channel}")),
        ("DELETE", format!("tokens/{token}")),
    ] {
        let ask = service.ask_as(&key.secret, method, &format!("{}/{part}", base(&mine)));
        let ask = if method == "PATCH" {
            ask.json(&json!({"name": "x"}))
        } else {
            ask
        };
        ask.send().await.problem(404, "not_found");
    }
    let kept = service
        .get(ADMIN, &format!("{}/channels/{channel}", base(&other)))
        .await;
    assert_eq!(kept["name"], "webhook");
}
