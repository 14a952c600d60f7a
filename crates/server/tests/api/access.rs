//! The golden access table: every route against every kind of caller, on a real server.
//!
//! `UPDATE_GOLDEN=1` writes the table anew; read every line that changed before you keep it.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use claviger_core::{action::Needs, permission::Permission};
use claviger_server::router::{OPEN_ROUTES, RouteInfo, routes};
use serde_json::{Value, json};

use crate::{
    ask::{Answer, Ask},
    cast::{CALLERS, Cast},
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(every_route_answers_every_caller_as_the_table_says);

/// The routes that needed no credential when this was written. The list may only shrink.
const OPEN_ROUTES_EVER: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/{file}",
    // The Canvas came later; its files say nothing about anybody.
    "/canvas/assets/{file}",
];

/// The routes behind the gate that ask for no credential, for what they take is proof enough. One
/// that is presented must be good all the same.
const FOR_STRANGERS: &[&str] = &[
    "POST /org/tokens/found (ReportFound)",
    "POST /integrations/github/secret-scanning (ReportFound)",
    // The identity provider signs what it sends.
    "POST /oidc/back-channel-logout (SignIn)",
];

/// The callers without a credential, on a server of their own.
const TIER_0: [&str; 2] = [
    "nobody, while tier 0 is open",
    "nobody, after the first key",
];

/// The path of a route with things that were made for this one request, and the token of its
/// workspace. Without `ADMIN_TOKEN` there is tier 0 to make them, and what that cannot make
/// without closing itself is named by an id of nothing.
async fn fresh_path(
    service: &Service,
    by: Option<&str>,
    route: &RouteInfo,
    at: usize,
) -> (String, Option<String>) {
    let mut path = route.path.to_owned();
    let mut own_token = None;
    if path.starts_with("/org/tokens/{id}") {
        let target = match by {
            Some(by) => {
                let target = service.mint(by, json!({"name": "target"})).await;
                if path.contains("/rotate/") {
                    let rotate = format!("{}/rotate", target.path());
                    service.ask_as(by, "POST", &rotate).send().await.ok(200);
                }
                target.id
            }
            None => "tok_01J00000000000000000000000".to_owned(),
        };
        path = path.replace("{id}", &target);
    } else if path.starts_with("/org/requests/{id}") {
        let request = match by {
            Some(by) => {
                // Somebody else asks each time: an asker has only so many pending requests.
                let asker = service.mint(by, json!({"name": "asker"})).await;
                let body = json!({"name": "asked for", "justification": "why"});
                text(&service.make(&asker.secret, "/org/requests", body).await["id"])
            }
            None => "req_01J00000000000000000000000".to_owned(),
        };
        path = path.replace("{id}", &request);
    } else if path.starts_with("/org/members/{id}") {
        path = path.replace("{id}", "nobody");
    } else if path.starts_with("/org/sessions/{id}") {
        path = path.replace("{id}", "ses_01J00000000000000000000000");
    } else if path.starts_with("/admin/orgs/{id}") {
        let org = match by {
            Some(by) => {
                let body = json!({"name": format!("doomed-{at}")});
                text(&service.make(by, "/admin/orgs", body).await["id"])
            }
            None => "org_01J00000000000000000000000".to_owned(),
        };
        path = path.replace("{id}", &org);
    } else if path.starts_with("/workspaces/{id}") {
        let made = make(service, by, "/workspaces", json!({"name": "w"})).await;
        let id = text(&made["id"]);
        let base = format!("/workspaces/{id}");
        if let Some(by) = by {
            own_token = Some(service.workspace_token(by, &id).await);
        }
        if path.contains("{cid}") {
            let channels = format!("{base}/channels");
            let made = make(service, by, &channels, channel_body()).await;
            path = path.replace("{cid}", &text(&made["id"]));
        }
        if path.contains("{key}") {
            let body = json!({"key": "NAME", "value": "v"});
            make(service, by, &format!("{base}/secrets"), body).await;
            path = path.replace("{key}", "NAME");
        }
        if path.contains("{tid}") {
            let tokens = format!("{base}/tokens");
            let made = make(service, by, &tokens, json!({})).await;
            path = path.replace("{tid}", &text(&made["id"]));
        }
        path = path.replace("{id}", &id);
    }
    path = path.replace("/tile/{*path}", "/tile/0/000.p/1");
    assert!(!path.contains('{'), "no fixture for {}", route.path);
    (path, own_token)
}

async fn make(service: &Service, by: Option<&str>, path: &str, body: Value) -> Value {
    let ask = service.ask("POST", path).json(&body);
    let ask = match by {
        Some(token) => ask.bearer(token),
        None => ask,
    };
    ask.send().await.ok(201)
}

fn channel_body() -> Value {
    json!({"type": "webhook", "config": {"url": "https://hooks.example.com/in"}})
}

/// A body that the route takes.
fn body(route: &RouteInfo, at: usize) -> Option<Value> {
    match (route.method.as_str(), route.path) {
        ("GET" | "DELETE", _) => None,
        ("POST", "/org/tokens" | "/workspaces") => Some(json!({"name": "made"})),
        ("PATCH", "/org/tokens/{id}" | "/workspaces/{id}" | "/workspaces/{id}/channels/{cid}") => {
            Some(json!({"name": "changed"}))
        }
        ("POST", "/org/requests") => Some(json!({"name": "asked for", "justification": "why"})),
        ("POST", path) if path.starts_with("/org/requests/{id}/") => None,
        ("POST", "/workspaces/{id}/channels") => Some(channel_body()),
        ("POST" | "PUT", "/workspaces/{id}/secrets") => Some(json!({"key": "NAME", "value": "v"})),
        ("POST", "/workspaces/{id}/tokens")
        | (
            "POST",
            "/org/tokens/{id}/suspend" | "/org/tokens/{id}/resume" | "/org/tokens/{id}/rotate",
        ) => Some(json!({})),
        ("POST", "/org/tokens/{id}/rotate/finish" | "/org/tokens/{id}/rotate/cancel") => None,
        // Keys that nobody minted.
        ("POST", "/org/tokens/suspend" | "/org/tokens/resume") => {
            Some(json!({"created_by": "session:nobody"}))
        }
        ("PUT", "/org/policy") => Some(json!({})),
        ("POST", "/org/login-links") => None,
        // A form: see `fill`.
        ("POST", "/oidc/back-channel-logout") => None,
        ("POST", path) if path.starts_with("/org/members/{id}/") => None,
        ("POST", "/org/tokens/found") => Some(json!({"tokens": ["mole_"]})),
        ("POST", "/integrations/github/secret-scanning") => Some(json!([])),
        ("POST", "/admin/orgs") => Some(json!({"name": format!("made-{at}")})),
        (method, path) => panic!("no body for {method} {path}: add one here"),
    }
}

/// The request with a body that the route takes.
fn fill(ask: Ask, route: &RouteInfo, at: usize) -> Ask {
    match body(route, at) {
        Some(body) => ask.json(&body),
        None if route.path == "/oidc/back-channel-logout" => ask.form(&[("logout_token", "a.b.c")]),
        None => ask,
    }
}

fn cell(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.code())
        .trim_end()
        .to_owned()
}

/// What each route answers to a caller without a credential: while tier 0 is open, and closed.
async fn tier_0(service: &Service) -> Vec<[String; 2]> {
    let routes = routes();
    let mut open = vec![String::new(); routes.len()];
    // The mint comes last: it closes the tier.
    let is_mint = |route: &RouteInfo| route.action == "MintKey";
    let order = (0..routes.len()).filter(|at| !is_mint(&routes[*at]));
    let last = (0..routes.len()).filter(|at| is_mint(&routes[*at]));
    let mut paths = vec![String::new(); routes.len()];
    for at in order.chain(last) {
        let route = &routes[at];
        (paths[at], _) = fresh_path(service, None, route, at).await;
        open[at] = as_nobody(service, route, &paths[at], at).await;
    }
    let mut cells = Vec::new();
    for (at, (route, open)) in routes.iter().zip(open).enumerate() {
        cells.push([open, as_nobody(service, route, &paths[at], at).await]);
    }
    cells
}

async fn as_nobody(service: &Service, route: &RouteInfo, path: &str, at: usize) -> String {
    let ask = service.ask(route.method.as_str(), path);
    cell(&fill(ask, route, at).send().await)
}

async fn table(service: &Service, fresh: &Service) -> String {
    let cast = Cast::new(service).await;
    let tier_0 = tier_0(fresh).await;
    let keys = keys_of_one_permission(service).await;
    let mut table = String::new();
    for (row, route) in routes().iter().enumerate() {
        writeln!(table, "{} {} ({})", route.method, route.path, route.action).expect("a string");
        for (column, caller) in CALLERS.iter().enumerate() {
            let at = row * CALLERS.len() + column;
            let (path, own_token) = fresh_path(service, Some(ADMIN), route, at).await;
            let mut ask = service.ask(route.method.as_str(), &path);
            if let Some(header) = cast.authorization(caller, own_token.as_deref()) {
                ask = ask.header("authorization", &header);
            }
            if let Some((cookie, site)) = cast.session(service, caller).await {
                ask = ask.header("cookie", &cookie).header("sec-fetch-site", site);
            }
            if let Some(org) = cast.org(caller) {
                ask = ask.header("x-org-id", org);
            }
            let cell = cell(&fill(ask, route, at).send().await);
            writeln!(table, "    {caller:<32}{cell}").expect("a string");
        }
        for (caller, cell) in TIER_0.iter().zip(&tier_0[row]) {
            writeln!(table, "    {caller:<32}{cell}").expect("a string");
        }
        let enough = enough_alone(service, route, &keys, row).await;
        writeln!(table, "    one permission is enough:       {enough}").expect("a string");
    }
    assert!(!table.contains(&cast.other_org));
    for (path, _) in OPEN_ROUTES {
        let file = if path.starts_with("/canvas") {
            "canvas.css"
        } else {
            "swagger-ui.css"
        };
        let path_of_one = path.replace("{file}", file);
        let answer = service.ask("GET", &path_of_one).send().await;
        writeln!(
            table,
            "GET {path} (open)\n    nobody{:>26}{}",
            "", answer.status
        )
        .expect("a string");
    }
    table
}

/// A key for each permission, with nothing else.
async fn keys_of_one_permission(service: &Service) -> Vec<(Permission, Minted)> {
    let mut keys = Vec::new();
    for permission in Permission::ALL {
        let body = json!({"name": permission.as_str(), "permissions": [permission.as_str()]});
        keys.push((*permission, service.mint(ADMIN, body).await));
    }
    keys
}

/// The permissions with which alone a route is not refused for want of one.
async fn enough_alone(
    service: &Service,
    route: &RouteInfo,
    keys: &[(Permission, Minted)],
    row: usize,
) -> String {
    let mut enough = Vec::new();
    for (column, (permission, key)) in keys.iter().enumerate() {
        let at = 1_000_000 + row * keys.len() + column;
        let (path, _) = fresh_path(service, Some(ADMIN), route, at).await;
        let ask = service.ask_as(&key.secret, route.method.as_str(), &path);
        let code = fill(ask, route, at).send().await.code();
        if !["missing_permission", "admin_token_only"].contains(&code.as_str()) {
            enough.push(permission.as_str());
        }
    }
    match enough.len() {
        0 => "none".to_owned(),
        all if all == keys.len() => "any".to_owned(),
        _ => enough.join(", "),
    }
}

fn golden_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/access.txt")
}

async fn every_route_answers_every_caller_as_the_table_says(backend: Backend) {
    let service = Service::guarded(backend).await;
    let fresh = Service::fresh(backend).await;
    let found = table(&service, &fresh).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says in this way that the table is to be written anew"
    )]
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if is_update && backend == Backend::Sqlite {
        std::fs::write(golden_file(), &found).expect("the table can be written");
    }
    let golden = std::fs::read_to_string(golden_file()).unwrap_or_default();
    let (golden, found): (Vec<_>, Vec<_>) = (golden.lines().collect(), found.lines().collect());
    let mut route = "";
    for (was, is) in golden.iter().zip(&found) {
        if !is.starts_with(' ') {
            route = is;
        }
        assert_eq!(was, is, "in {route}");
    }
    assert_eq!(
        golden.len(),
        found.len(),
        "a route has no row, or a row no route"
    );
}

#[test]
fn no_route_lets_nobody_in_but_those_that_are_for_strangers() {
    let golden = std::fs::read_to_string(golden_file()).expect("the table");
    let strangers = ["nobody", "malformed bearer", "unknown key"];
    for route in routes() {
        let title = format!("{} {} ({})", route.method, route.path, route.action);
        let mut lines = golden.lines().skip_while(|line| *line != title).skip(1);
        let is_for_strangers = FOR_STRANGERS.contains(&&*title);
        assert_eq!(route.needs == Needs::NoCredential, is_for_strangers);
        if is_for_strangers {
            lines.next();
        }
        let nobody = usize::from(is_for_strangers);
        let strangers = strangers.iter().skip(nobody);
        for stranger in strangers.chain(&["revoked key", "expired key"]) {
            let line = lines.next().unwrap_or_default().trim();
            assert!(line.starts_with(stranger), "{title} has no row: {line}");
            assert!(line.contains("401 "), "{title}: {line}");
        }
    }
}

#[test]
fn the_open_routes_only_shrink() {
    let ever: BTreeSet<_> = OPEN_ROUTES_EVER.iter().collect();
    for (path, _) in OPEN_ROUTES {
        assert!(ever.contains(path), "{path} needs a credential");
        let is_open_only = routes().iter().all(|route| route.path != *path);
        assert!(is_open_only, "{path} is declared twice");
    }
    assert_eq!(
        OPEN_ROUTES.len(),
        ever.len(),
        "take the closed ones out of the list"
    );
}
