//! The golden access table: every route against every kind of caller, on a real server.
//!
//! `UPDATE_GOLDEN=1` writes the table anew; read every line that changed before you keep it.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use claviger_core::action::Needs;
use claviger_server::router::{OPEN_ROUTES, RouteInfo, routes};
use serde_json::{Value, json};

use crate::{
    ask::Answer,
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
];

/// The routes behind the gate that ask for no credential, for what they take is proof enough. One
/// that is presented must be good all the same.
const FOR_STRANGERS: &[&str] = &[
    "POST /org/tokens/found (ReportFound)",
    "POST /integrations/github/secret-scanning (ReportFound)",
];

/// Every kind of caller, in the order of the table.
const CALLERS: &[&str] = &[
    "nobody",
    "malformed bearer",
    "unknown key",
    "revoked key",
    "expired key",
    "key with every permission",
    "key of a reader",
    "key bound to another workspace",
    "key of another org",
    "token of this workspace",
    "token of another workspace",
    "ADMIN_TOKEN",
    "ADMIN_TOKEN in another org",
    "ADMIN_TOKEN in an unknown org",
    "key that is not valid yet",
    "key bound to other labels",
    "key for other endpoints",
    "key for other addresses",
    "suspended key",
    "key below a suspended one",
    "replaced secret",
    "rotated-out secret",
];

/// The callers without a credential, on a server of their own.
const TIER_0: [&str; 2] = [
    "nobody, while tier 0 is open",
    "nobody, after the first key",
];

/// The credentials that are the same for every route.
struct Cast {
    other_org: String,
    revoked: Minted,
    expired: Minted,
    admin: Minted,
    reader: Minted,
    bound: Minted,
    foreign: Minted,
    other_token: String,
    future: Minted,
    by_labels: Minted,
    by_endpoint: Minted,
    by_address: Minted,
    suspended: Minted,
    below: Minted,
    replaced: Minted,
    rotated_out: Minted,
}

impl Cast {
    async fn new(service: &Service) -> Self {
        let name = |name: &str| json!({"name": name});
        let org = service.make(ADMIN, "/admin/orgs", name("other")).await;
        let other_org = text(&org["id"]);
        let foreign = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .header("x-org-id", &other_org);
        let foreign = foreign.json(&name("foreign")).send().await.ok(201);
        let other_workspace = service.workspace(ADMIN).await;
        let revoked = service.mint(ADMIN, name("revoked")).await;
        let end = service.ask_as(ADMIN, "DELETE", &revoked.path());
        end.send().await.ok(200);
        let replaced = service.mint(ADMIN, name("replaced")).await;
        let rotated_out = service.mint(ADMIN, name("rotated out")).await;
        for (key, overlap) in [(&replaced, "30d"), (&rotated_out, "0")] {
            let path = format!("{}/rotate", key.path());
            let ask = service.ask_as(ADMIN, "POST", &path);
            ask.json(&json!({"overlap": overlap})).send().await.ok(200);
        }
        let suspended = service.mint(ADMIN, name("suspended")).await;
        let below = service.mint(&suspended.secret, name("below")).await;
        let path = format!("{}/suspend", suspended.path());
        service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
        Self {
            expired: expired_key(service).await,
            admin: service.mint(ADMIN, name("admin")).await,
            reader: service
                .mint(ADMIN, json!({"name": "reader", "preset": "reader"}))
                .await,
            bound: service
                .mint(
                    ADMIN,
                    json!({"name": "bound", "workspaces": [&other_workspace]}),
                )
                .await,
            foreign: Minted::of(&foreign),
            other_token: service.workspace_token(ADMIN, &other_workspace).await,
            future: limited(service, "not_before", json!("2100-01-01T00:00:00Z")).await,
            by_labels: limited(service, "workspaces", json!({"labels": {"agent": "other"}})).await,
            by_endpoint: limited(service, "endpoints", json!(["GET /nowhere"])).await,
            by_address: limited(service, "ip_allow", json!(["192.0.2.0/24"])).await,
            other_org,
            revoked,
            suspended,
            below,
            replaced,
            rotated_out,
        }
    }

    /// The org that a caller names.
    fn org(&self, caller: &str) -> Option<&str> {
        match caller {
            "ADMIN_TOKEN in another org" => Some(&self.other_org),
            "ADMIN_TOKEN in an unknown org" => Some("org_01J00000000000000000000000"),
            _ => None,
        }
    }

    /// The header of a caller.
    fn authorization(&self, caller: &str, own_token: Option<&str>) -> Option<String> {
        let unknown = claviger_core::token::Secret::from_entropy(
            &claviger_core::token::Brand::ORG_KEY,
            &[7; 32],
        );
        let token = match caller {
            "nobody" => return None,
            "malformed bearer" => "mole_tooshort",
            "unknown key" => unknown.expose(),
            "revoked key" => &self.revoked.secret,
            "expired key" => &self.expired.secret,
            "key with every permission" => &self.admin.secret,
            "key of a reader" => &self.reader.secret,
            "key bound to another workspace" => &self.bound.secret,
            "key of another org" => &self.foreign.secret,
            // A route about no workspace gets the token of some workspace.
            "token of this workspace" => own_token.unwrap_or(&self.other_token),
            "token of another workspace" => &self.other_token,
            "key that is not valid yet" => &self.future.secret,
            "key bound to other labels" => &self.by_labels.secret,
            "key for other endpoints" => &self.by_endpoint.secret,
            "key for other addresses" => &self.by_address.secret,
            "replaced secret" => &self.replaced.secret,
            "rotated-out secret" => &self.rotated_out.secret,
            "suspended key" => &self.suspended.secret,
            "key below a suspended one" => &self.below.secret,
            name if name.starts_with("ADMIN_TOKEN") => ADMIN,
            other => panic!("no such caller: {other}"),
        };
        Some(format!("Bearer {token}"))
    }
}

/// A key with every permission under one condition.
async fn limited(service: &Service, field: &str, value: Value) -> Minted {
    let mut body = json!({"name": field});
    body[field] = value;
    service.mint(ADMIN, body).await
}

/// A key whose time is over: it lives for a moment, and is asked until that has passed.
async fn expired_key(service: &Service) -> Minted {
    let at = claviger_server::clock::now().plus(std::time::Duration::from_millis(500));
    let key = service
        .mint(
            ADMIN,
            json!({"name": "expired", "expires_at": at.to_string()}),
        )
        .await;
    let whoami = |service: &Service| service.ask_as(&key.secret, "GET", "/org/whoami");
    let answer = service.until(whoami, |answer| answer.status != 200).await;
    answer.problem(401, "token_expired");
    key
}

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
        ("POST", "/org/tokens/found") => Some(json!({"tokens": ["mole_"]})),
        ("POST", "/integrations/github/secret-scanning") => Some(json!([])),
        ("POST", "/admin/orgs") => Some(json!({"name": format!("made-{at}")})),
        (method, path) => panic!("no body for {method} {path}: add one here"),
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
    let mut ask = service.ask(route.method.as_str(), path);
    if let Some(body) = body(route, at) {
        ask = ask.json(&body);
    }
    cell(&ask.send().await)
}

async fn table(service: &Service, fresh: &Service) -> String {
    let cast = Cast::new(service).await;
    let tier_0 = tier_0(fresh).await;
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
            if let Some(org) = cast.org(caller) {
                ask = ask.header("x-org-id", org);
            }
            if let Some(body) = body(route, at) {
                ask = ask.json(&body);
            }
            let cell = cell(&ask.send().await);
            writeln!(table, "    {caller:<32}{cell}").expect("a string");
        }
        for (caller, cell) in TIER_0.iter().zip(&tier_0[row]) {
            writeln!(table, "    {caller:<32}{cell}").expect("a string");
        }
    }
    assert!(!table.contains(&cast.other_org));
    for (path, _) in OPEN_ROUTES {
        let path_of_one = path.replace("{file}", "swagger-ui.css");
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
