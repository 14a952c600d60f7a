//! The golden table of the pages: every page and every form against every kind of caller.
//!
//! `UPDATE_GOLDEN=1` writes the table anew; read every line that changed before you keep it.

use std::{fmt::Write as _, path::Path};

use claviger_core::action::Needs;
use claviger_server::router::{RouteInfo, pages};
use serde_json::json;

use crate::{
    ask::{Answer, Ask},
    idp::Idp,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(every_page_answers_every_caller_as_the_table_says);

/// The pages that ask for no credential: those on which people sign in, and the door.
const SIGN_IN_PAGES: &[&str] = &[
    "GET /canvas",
    "GET /canvas/sign-in",
    "POST /canvas/sign-in",
    "GET /canvas/link",
    "POST /canvas/link",
    "GET /canvas/sign-in/provider",
    "GET /canvas/sign-in/callback",
];

/// Every kind of caller, in the order of the table.
const CALLERS: &[&str] = &[
    "nobody",
    "unknown key",
    "key with every permission",
    "ADMIN_TOKEN",
    "token of a workspace",
    "person, admin",
    "person, editor",
    "person, reader",
    "person of channels alone",
    "person of another org",
    "person, from another site",
    "person, signed out",
];

/// An id of nothing in the place of each parameter.
fn path_of_nothing(pattern: &str) -> String {
    let pattern = pattern.replace("{seq}", "1").replace("{key}", "NAME");
    pattern
        .replace("{sid}", "ses_01J00000000000000000000000")
        .replace("{cid}", "ch_01J00000000000000000000000")
        .replace("{tid}", "wt_01J00000000000000000000000")
        .replace("{id}", "tok_01J00000000000000000000000")
}

struct Bed {
    idp: Idp,
    key: Minted,
    workspace_token: String,
}

impl Bed {
    async fn new(backend: Backend) -> Self {
        let idp = Idp::start(backend).await;
        let service = &idp.service;
        service
            .make(ADMIN, "/admin/orgs", json!({"name": "other"}))
            .await;
        let key = service.mint(ADMIN, json!({"name": "admin"})).await;
        let workspace = service.workspace(ADMIN).await;
        let workspace_token = service.workspace_token(ADMIN, &workspace).await;
        Self {
            key,
            workspace_token,
            idp,
        }
    }

    /// The path of a route with things that were made for this one request.
    async fn path(&self, route: &RouteInfo, at: usize) -> String {
        let service = &self.idp.service;
        let mut path = route.path.to_owned();
        let is_about = |what: &str| path.starts_with(&format!("/canvas/{what}/{{id}}"));
        let id = if is_about("keys") || is_about("security") || is_about("first-run") {
            let target = service.mint(ADMIN, json!({"name": "target"})).await;
            if path.contains("/rotate/") {
                let rotate = format!("{}/rotate", target.path());
                service.ask_as(ADMIN, "POST", &rotate).send().await.ok(200);
            }
            target.id
        } else if is_about("requests") {
            let asker = service.mint(ADMIN, json!({"name": "asker"})).await;
            let body = json!({"name": "asked for", "justification": "why"});
            text(&service.make(&asker.secret, "/org/requests", body).await["id"])
        } else if is_about("members") {
            let id = format!("user_{at}");
            self.idp.visitor(&id, "reader");
            self.idp.sign_in().await;
            id
        } else if is_about("workspaces") {
            let id = service.workspace(ADMIN).await;
            let base = format!("/workspaces/{id}");
            if path.contains("{cid}") {
                let body =
                    json!({"type": "webhook", "config": {"url": "https://hooks.example.com/in"}});
                let made = service.make(ADMIN, &format!("{base}/channels"), body).await;
                path = path.replace("{cid}", &text(&made["id"]));
            }
            if path.contains("{key}") {
                let body = json!({"key": "NAME", "value": "v"});
                service.make(ADMIN, &format!("{base}/secrets"), body).await;
            }
            if path.contains("{tid}") {
                let made = service
                    .make(ADMIN, &format!("{base}/tokens"), json!({}))
                    .await;
                path = path.replace("{tid}", &text(&made["id"]));
            }
            id
        } else {
            "ses_01J00000000000000000000000".to_owned()
        };
        let path = path_of_nothing(&path.replace("{id}", &id));
        assert!(!path.contains('{'), "no fixture for {}", route.path);
        path
    }

    /// The request of a caller.
    async fn present(&self, caller: &str, ask: Ask) -> Ask {
        let ask = match caller {
            "person, from another site" => ask.header("sec-fetch-site", "cross-site"),
            _ => ask.header("sec-fetch-site", "same-origin"),
        };
        let role = match caller {
            "nobody" => return ask,
            "unknown key" => return ask.bearer(&self.key.secret.replace("mole_", "mols_")),
            "key with every permission" => return ask.bearer(&self.key.secret),
            "ADMIN_TOKEN" => return ask.bearer(ADMIN),
            "token of a workspace" => return ask.bearer(&self.workspace_token),
            "person, editor" => "editor",
            "person, reader" => "reader",
            _ => "admin",
        };
        self.idp.visitor(&format!("user_{role}"), role);
        if caller == "person of another org" {
            let other = Some("other".to_owned());
            self.idp.workos.with(|state| state.visitor.org = other);
        }
        if caller == "person of channels alone" {
            self.idp.visitor("user_channels", "nothing");
            let alone = vec!["channels:read".to_owned()];
            self.idp
                .workos
                .with(|state| state.visitor.permissions = alone);
        }
        let cookie = self.idp.sign_in().await;
        if caller == "person, signed out" {
            let service = &self.idp.service;
            let out = service.ask_in(&cookie, "POST", "/canvas/sign-out");
            // A page that leads on to the provider.
            assert_eq!(out.send().await.status, 200);
        }
        ask.header("cookie", &cookie)
    }

    /// What a page answered: its status, and where it leads or why it is not shown.
    fn cell(&self, answer: &Answer) -> String {
        let provider = self.idp.workos.base();
        let more = match answer.header("location") {
            Some(place) if place.starts_with(provider) => "the provider".to_owned(),
            Some(place) => without_ids(place),
            None => code_of(&answer.text()),
        };
        format!("{} {more}", answer.status).trim_end().to_owned()
    }
}

/// A place without what differs from run to run.
fn without_ids(place: &str) -> String {
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    let is_id = |part: &str| part.len() > 26 && part.contains("_01");
    let part = |part| if is_id(part) { "{id}" } else { part };
    let path: Vec<_> = path.split('/').map(part).collect();
    let query: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("next=") && !is_id(pair))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{mark}{}", path.join("/"), query.join("&"))
}

/// The code on a page that says why another is not shown.
fn code_of(page: &str) -> String {
    let code = page.split_once("Code <code>").map_or("", |(_, rest)| rest);
    code.split('<').next().unwrap_or_default().to_owned()
}

/// The request with the fields that the form cannot do without.
fn fill(ask: Ask, route: &RouteInfo) -> Ask {
    if route.method != "POST" {
        return ask;
    }
    let fields: &[(&str, &str)] = match route.path {
        "/canvas/keys/new" | "/canvas/first-run" | "/canvas/workspaces" => &[("name", "made")],
        path if path.ends_with("/secrets") => &[("key", "NAME"), ("value", "v")],
        _ => &[],
    };
    ask.form(fields)
}

async fn table(bed: &Bed, fresh: &Service) -> String {
    let mut table = String::new();
    for (row, route) in pages().iter().enumerate() {
        writeln!(table, "{} {} ({})", route.method, route.path, route.action).expect("a string");
        for (column, caller) in CALLERS.iter().enumerate() {
            let path = bed.path(route, row * CALLERS.len() + column).await;
            let ask = bed.idp.service.ask(route.method.as_str(), &path);
            let ask = bed.present(caller, fill(ask, route)).await;
            let cell = bed.cell(&ask.send().await);
            writeln!(table, "    {caller:<32}{cell}").expect("a string");
        }
        // A newcomer's server, whose API is open to this machine: its pages are not.
        let ask = fresh.ask(route.method.as_str(), &path_of_nothing(route.path));
        let ask = ask.header("sec-fetch-site", "same-origin");
        let cell = bed.cell(&fill(ask, route).send().await);
        writeln!(table, "    {:<32}{cell}", "nobody, while tier 0 is open").expect("a string");
    }
    table
}

fn golden_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pages.txt")
}

async fn every_page_answers_every_caller_as_the_table_says(backend: Backend) {
    let bed = Bed::new(backend).await;
    let fresh = Service::fresh(backend).await;
    let found = table(&bed, &fresh).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says in this way that the table is to be written anew"
    )]
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if is_update && backend == Backend::Sqlite {
        std::fs::write(golden_file(), &found).expect("the table can be written");
    }
    let golden = std::fs::read_to_string(golden_file()).unwrap_or_default();
    let mut page = "";
    for (was, is) in golden.lines().zip(found.lines()) {
        if !is.starts_with(' ') {
            page = is;
        }
        assert_eq!(was, is, "in {page}");
    }
    assert_eq!(
        golden.lines().count(),
        found.lines().count(),
        "a page has no row, or a row no page"
    );
}

#[test]
fn pages_ask_who_it_is_but_for_those_on_which_people_sign_in() {
    for page in pages() {
        let is_open = page.needs == Needs::NoCredential;
        let name = format!("{} {}", page.method, page.path);
        assert_eq!(is_open, SIGN_IN_PAGES.contains(&&*name), "{name}");
        assert!(page.path == "/canvas" || page.path.starts_with("/canvas/"));
    }
    let all: Vec<_> = pages()
        .iter()
        .map(|page| format!("{} {}", page.method, page.path))
        .collect();
    for name in SIGN_IN_PAGES {
        assert!(all.iter().any(|page| page == name), "{name} is gone");
    }
}

#[test]
fn no_page_is_shown_to_whoever_is_not_signed_in() {
    let golden = std::fs::read_to_string(golden_file()).expect("the table");
    let (mut page, mut pages) = ("", 0);
    for line in golden.lines() {
        if !line.starts_with(' ') {
            page = line;
            pages += 1;
            continue;
        }
        let name = page.split(" (").next().unwrap_or_default();
        if SIGN_IN_PAGES.contains(&name) {
            continue;
        }
        let cell = line.get(36..).unwrap_or_default();
        for nobody in ["nobody", "unknown key", "person, signed out"] {
            if line.trim_start().starts_with(nobody) {
                assert!(cell.starts_with("303 /canvas/sign-in"), "{page}: {line}");
            }
        }
        for program in ["key with every permission", "ADMIN_TOKEN", "token of a"] {
            if line.trim_start().starts_with(program) {
                assert!(cell.starts_with("403 people_only"), "{page}: {line}");
            }
        }
    }
    assert_eq!(pages, claviger_server::router::pages().len());
}
