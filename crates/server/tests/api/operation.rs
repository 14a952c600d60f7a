//! What needs no credential: health, metrics, and the reference of the API.

use std::collections::BTreeSet;

use claviger_core::action::Needs;
use claviger_server::router::{OPEN_ROUTES, routes};
use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Service, text};

on_each_database!(
    health_and_readiness_need_no_credential,
    metrics_have_every_family,
    metrics_are_for_this_machine_alone,
    operation_can_listen_on_an_address_of_its_own,
);

#[tokio::test]
async fn reference_is_openapi_3_1_and_describes_every_route() {
    let service = Service::fresh(Backend::Sqlite).await;
    let answer = service.ask("GET", "/openapi.json").send().await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.ok(200);
    assert!(text(&document["openapi"]).starts_with("3.1"));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut ids = BTreeSet::new();
    for route in routes() {
        let method = route.method.as_str().to_lowercase();
        let path = route.path.replace("{*", "{");
        let operation = &document["paths"][&path][&method];
        let title = format!("{} {}", route.method, route.path);
        assert!(operation.is_object(), "{title} is not described");
        assert!(ids.insert(text(&operation["operationId"])), "{title}");
        let security = match route.needs {
            Needs::NoCredential => json!([{}, {"bearer": []}]),
            Needs::Anyone | Needs::GivingUp | Needs::Permission(_) | Needs::AdminToken => {
                json!([{"bearer": []}])
            }
        };
        assert_eq!(operation["security"], security, "{title}");
        assert!(operation["summary"].is_string(), "{title}");
        check_operation(&path, &method, operation);
    }
    for (path, _) in OPEN_ROUTES {
        let operation = &document["paths"][path]["get"];
        assert_eq!(operation["security"], json!([]), "{path}");
        assert!(ids.insert(text(&operation["operationId"])), "{path}");
    }
    let described = document["paths"].as_object().expect("paths").values();
    let described: usize = described
        .map(|item| item.as_object().map_or(0, serde_json::Map::len))
        .sum();
    assert_eq!(
        described,
        ids.len(),
        "something is described that is not served"
    );
    check_references(&document, &document);
}

fn check_operation(path: &str, method: &str, operation: &Value) {
    let title = format!("{method} {path}");
    let named: BTreeSet<_> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| {
            assert!(parameter["schema"].is_object(), "{title}");
            let place = text(&parameter["in"]);
            assert!(place != "path" || parameter["required"] == true, "{title}");
            (place, text(&parameter["name"]))
        })
        .collect();
    let braces = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in braces {
        assert!(
            named.contains(&("path".to_owned(), name.to_owned())),
            "{title}: {name}"
        );
    }
    let answers = operation["responses"].as_object().expect("responses");
    assert!(
        answers.keys().any(|status| status.starts_with('2')),
        "{title}"
    );
    let problem = &answers["default"]["content"]["application/problem+json"];
    assert!(problem.is_object(), "{title}");
    assert!(
        answers
            .values()
            .all(|answer| answer["description"].is_string()),
        "{title}"
    );
    assert!(
        !(method == "get" && operation.get("requestBody").is_some()),
        "{title}"
    );
}

/// Every `$ref` leads to something.
fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "$ref" {
                    let target = text(value);
                    let pointer = target.strip_prefix('#').expect("a reference within");
                    assert!(
                        document.pointer(pointer).is_some(),
                        "{target} leads nowhere"
                    );
                }
                check_references(document, value);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| check_references(document, item)),
        _ => {}
    }
}

#[tokio::test]
async fn page_of_the_reference_loads_nothing_from_another_host() {
    let service = Service::fresh(Backend::Sqlite).await;
    let entry = service.ask("GET", "/docs").send().await;
    assert_eq!(
        (entry.status, entry.header("location")),
        (303, Some("/docs/index.html"))
    );
    let page = service.ask("GET", "/docs/index.html").send().await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    let policy = page
        .header("content-security-policy")
        .expect("a policy")
        .to_owned();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(
        !policy.contains("http") && !policy.contains('*'),
        "{policy}"
    );
    let html = page.text();
    let mut loaded = 0;
    for attribute in ["src=\"", "href=\""] {
        for (start, _) in html.match_indices(attribute) {
            let target = html[start + attribute.len()..]
                .split('"')
                .next()
                .expect("a target");
            assert!(!target.contains("//"), "{target} is on another host");
            let path = format!("/docs/{}", target.trim_start_matches("./"));
            let part = service.ask("GET", &path).send().await;
            assert_eq!(part.status, 200, "{path}");
            loaded += 1;
        }
    }
    assert!(loaded >= 3, "{html}");
    // What the policy forbids does not work: an inline script would be dead on the page.
    assert!(
        !html.contains("<script>"),
        "an inline script, under {policy}"
    );
    let starter = service
        .ask("GET", "/docs/swagger-initializer.js")
        .send()
        .await
        .text();
    assert!(
        starter.contains("/openapi.json") && !starter.contains("petstore"),
        "{starter}"
    );
}

async fn health_and_readiness_need_no_credential(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (path, word) in [("/healthz", "ok"), ("/readyz", "ready")] {
        assert_eq!(
            service.ask("GET", path).send().await.ok(200),
            json!({"status": word})
        );
    }
    assert_eq!(service.ask("HEAD", "/healthz").send().await.status, 200);
}

async fn metrics_have_every_family(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    let dead = service.mint(ADMIN, json!({"name": "d"})).await;
    service
        .ask_as(ADMIN, "DELETE", &dead.path())
        .send()
        .await
        .ok(200);
    service.get(&key.secret, "/org/whoami").await;
    service
        .ask_as(&key.secret, "DELETE", "/workspaces/x")
        .send()
        .await;
    service.ask("GET", "/no-such/route").send().await;
    let answer = service.ask("GET", "/metrics").send().await;
    assert_eq!(answer.status, 200);
    let page = answer.text();
    for line in [
        "claviger_requests_total{route=\"/org/whoami\",tier=\"2a\",status=\"200\"} 1",
        "claviger_requests_total{route=\"/org/tokens\",tier=\"2b\",status=\"201\"} 2",
        "claviger_requests_total{route=\"\",tier=\"none\",status=\"401\"} 1",
        "claviger_keys{status=\"active\"} 1",
        "claviger_keys{status=\"revoked\"} 1",
        "claviger_keys{status=\"expired\"} 0",
        "claviger_refusals_total{code=\"no_credential\"} 1",
        "claviger_audit_lost_total 0",
    ] {
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
    for family in [
        "claviger_verification_seconds_bucket",
        "claviger_verification_seconds_count",
        "claviger_audit_commit_seconds_bucket",
        "claviger_audit_records_total",
    ] {
        assert!(page.contains(family), "{family}");
    }
    assert!(page.ends_with("# EOF\n"));
    assert!(
        !page.contains(&key.prefix) && !page.contains("no-such"),
        "a label that callers choose"
    );
}

async fn metrics_are_for_this_machine_alone(backend: Backend) {
    let service = Service::guarded(backend).await;
    let ask = service
        .ask("GET", "/metrics")
        .header("x-forwarded-for", "127.0.0.1");
    ask.send().await.problem(401, "no_credential");
    let ask = service
        .ask_as(ADMIN, "GET", "/metrics")
        .header("forwarded", "for=127.0.0.1");
    ask.send().await.problem(404, "no_route");
}

async fn operation_can_listen_on_an_address_of_its_own(backend: Backend) {
    let address = format!("127.0.0.1:{}", claviger_testkit::free_port());
    let own = Some(address.clone());
    let service = Service::guarded_with(backend, |flags| flags.metrics_listen = own).await;
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}"))
            .await
            .expect("an answer");
        answer.status().as_u16()
    };
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(get(path).await, 200, "{path}");
    }
    for path in ["/org/whoami", "/org/tokens", "/openapi.json", "/docs", "/"] {
        assert_eq!(get(path).await, 404, "{path}");
    }
    service
        .ask("GET", "/metrics")
        .send()
        .await
        .problem(401, "no_credential");
    service.ask("GET", "/healthz").send().await.ok(200);
}
