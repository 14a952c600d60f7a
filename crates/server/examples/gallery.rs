//! Renders every component of the Canvas with sample data, to be looked at.
//!
//! `cargo run -p claviger-server --example gallery -- DIRECTORY` writes `gallery.html`, `keys.html`,
//! `first.html`, `bare.html`, and a copy of the assets under `canvas/assets`. Serve the directory at
//! the root of any web server.

use std::{fs, io, path::Path, time::Duration};

use askama::Template;
use claviger_core::time::Timestamp;
use claviger_server::web;
use web::{
    charts::{Bar, Bars, Spark, Tree, TreeRow},
    keys::list::{Filters, KeyRow, KeysPage},
    layout::{Nav, NavSet, Page, Theme, Who},
    parts::{Badge, Chip, Choice, Flash, KeyStatus, Pager, Tab, Tone},
    time::When,
};

/// Every component on one page.
#[derive(Debug, Template)]
#[template(path = "../examples/gallery/gallery.html")]
struct Gallery {
    page: Page,
    tabs: Vec<Tab>,
    chips: Vec<Chip>,
    choices: Vec<Choice>,
    short: Vec<Choice>,
    badges: Vec<Badge>,
    calls: Spark,
    idle: Spark,
    bars: Bars,
    tree: Tree,
    pager: Pager,
    past: When,
    ahead: When,
}

/// A page of somebody who is not signed in.
#[derive(Debug, Template)]
#[template(path = "../examples/gallery/bare.html")]
struct Bare {
    page: Page,
}

const DAY: u64 = 86_400;
const SECRET: &str = "mole_a1b2c3d4Zk9QpLxV0TnR7sYbHw2EuJ5oCfMg8DiKqArBt1";

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

fn ago(seconds: u64) -> When {
    When::new(now().minus(Duration::from_secs(seconds)), now())
}

fn ahead(seconds: u64) -> When {
    When::new(now().plus(Duration::from_secs(seconds)), now())
}

fn page(title: &str, active: Nav) -> Page {
    let mut page = Page::new(title, now()).titled(title, active);
    page.org = "Northwind Robotics and Subsidiaries".to_owned();
    page.who = Some(Who {
        name: "Maximiliane von Hohenstein".to_owned(),
        email: "maximiliane.von.hohenstein@northwind-robotics.example".to_owned(),
        role: "Admin".to_owned(),
        label: "session:user_01J8ZQ".to_owned(),
    });
    page.may = NavSet::ALL;
    page.requests_waiting = 3;
    page
}

/// Numbers that look like a key at work, the same at every run.
fn days(seed: u64, most: u64) -> Vec<u64> {
    (0..30_u64)
        .map(|day| {
            let mixed = (day + 1)
                .wrapping_mul(seed.wrapping_mul(2_654_435_761).wrapping_add(97))
                .rotate_left(13)
                % 1000;
            let weekend = day % 7 > 4;
            if weekend {
                mixed * most / 6000
            } else {
                mixed * most / 1000
            }
        })
        .collect()
}

fn row(number: u64) -> KeyRow {
    let names = [
        "ci-pipeline",
        "data-pipeline-nightly",
        "support-triage-agent",
        "billing export to the warehouse, quarterly and on demand (owned by finance operations)",
        "grafana",
        "deploy-bot",
        "slack-bridge",
    ];
    let people = [
        "Ada Lovelace",
        "Grace Hopper",
        "Northwind Robotics",
        "Maximiliane von Hohenstein",
    ];
    let statuses = KeyStatus::ALL;
    let pick = |list: &[&str], by: u64| {
        let at = usize::try_from(by).unwrap_or(0) % list.len();
        list.get(at).copied().unwrap_or_default().to_owned()
    };
    let status = usize::try_from(number)
        .ok()
        .filter(|number| number % 3 == 1)
        .and_then(|number| statuses.get((number / 3) % statuses.len()).copied())
        .unwrap_or(KeyStatus::Active);
    let grant = match number % 4 {
        0 => vec![
            Badge::new(Tone::Warn, "All").titled("Every permission, also what later versions add"),
        ],
        1 => vec![Badge::new(Tone::Neutral, "Read-only")],
        2 => vec![
            Badge::new(Tone::Neutral, "channels:send"),
            Badge::new(Tone::Neutral, "secrets:read"),
        ],
        _ => vec![
            Badge::new(Tone::Neutral, "workspaces:*"),
            Badge::new(Tone::Warn, "secrets:reveal"),
            Badge::new(Tone::Neutral, "+4")
                .titled("audit:read, channels:read, channels:send, org.tokens:read"),
        ],
    };
    let is_used = number % 5 != 3;
    KeyRow {
        id: format!("tok_01JD3V7Q8W{number:016}"),
        name: pick(&names, number),
        prefix: format!(
            "mole_{:08x}",
            number.wrapping_mul(2_654_435_761) % 0xffff_ffff
        ),
        owner: pick(&people, number / 2),
        created_by: pick(&people, if number % 3 == 0 { number } else { number / 2 }),
        created_by_label: "session:user_01J8ZQ".to_owned(),
        grant,
        workspaces: [
            "All workspaces",
            "payments-eu",
            "3 workspaces",
            "agent=data-pipeline",
        ]
        .get(usize::try_from(number % 4).unwrap_or(0))
        .copied()
        .unwrap_or_default()
        .to_owned(),
        workspaces_title: String::new(),
        status,
        created: ago(number * DAY * 3 + 4000),
        last_used: is_used.then(|| ago(number * number * 211 + 20)),
        last_used_from: if is_used {
            format!("203.0.113.{}", number % 250)
        } else {
            String::new()
        },
        expires: (number % 3 != 0).then(|| ahead(DAY * (number * 7 % 90) + 9000)),
        calls: Spark {
            days: if is_used {
                days(number, 40 + number * 13)
            } else {
                vec![0; 30]
            },
        },
        tags: if number % 6 == 2 {
            vec!["team=data".to_owned(), "tier=prod".to_owned()]
        } else {
            vec![]
        },
    }
}

fn keys(count: u64) -> KeysPage {
    let shown = usize::try_from(count).unwrap_or(0);
    KeysPage {
        page: page("Org API Keys", Nav::Keys).below("Settings", ""),
        rows: (1..=100).take(shown).map(row).collect(),
        counts: [
            (None, Some(1204)),
            (Some(KeyStatus::Active), Some(1180)),
            (Some(KeyStatus::Rotating), Some(4)),
            (Some(KeyStatus::Expiring), Some(12)),
            (Some(KeyStatus::Suspended), Some(8)),
            (Some(KeyStatus::Blocked), Some(0)),
            (Some(KeyStatus::Expired), Some(77)),
            (Some(KeyStatus::Revoked), Some(310)),
        ]
        .into(),
        filters: Filters {
            sort: "-last_used".to_owned(),
            ..Filters::default()
        },
        creators: vec![
            Choice::new("session:user_01J8ZQ", "Ada Lovelace", ""),
            Choice::new("session:user_01J8ZR", "Maximiliane von Hohenstein", ""),
        ],
        workspaces: vec![Choice::new("ws_1", "payments-eu", "")],
        tags: vec![Choice::new("team=data", "team=data", "")],
        pager: Pager {
            shown: count,
            total: Some(1204),
            first: None,
            next: Some("/canvas/keys?cursor=tok_01".to_owned()),
        },
        has_keys: count > 0,
        may_mint: true,
        may_stop: true,
    }
}

fn tree() -> Tree {
    let key = |depth, name: &str, status, is_current| TreeRow {
        depth,
        name: name.to_owned(),
        prefix: format!("mole_{depth}c9d2e1f"),
        href: "/canvas/keys/tok_1".to_owned(),
        status: Some(status),
        last_used: Some(ago(4000)),
        is_current,
    };
    let root = TreeRow {
        depth: 0,
        name: "Ada Lovelace".to_owned(),
        prefix: String::new(),
        href: String::new(),
        status: None,
        last_used: None,
        is_current: false,
    };
    Tree {
        rows: vec![
            root,
            key(1, "orchestrator", KeyStatus::Active, false),
            key(2, "data-pipeline-nightly", KeyStatus::Rotating, true),
            key(
                3,
                "worker with a name that somebody wrote at length, and then some",
                KeyStatus::Active,
                false,
            ),
            key(3, "worker-2", KeyStatus::Expired, false),
            key(2, "reporter", KeyStatus::Suspended, false),
        ],
    }
}

fn bars() -> Bars {
    let bar = |(day, calls): (u64, u64)| Bar {
        label: format!("{day} Nov"),
        good: calls,
        refused: if day % 9 == 4 { calls / 5 } else { calls / 60 },
    };
    Bars {
        title: "Calls a day".to_owned(),
        bars: (1..).zip(days(7, 4200)).map(bar).collect(),
    }
}

fn gallery() -> Gallery {
    let mut page = page("Gallery", Nav::Security)
        .below("Settings", "")
        .below("Org API Keys", "/canvas/keys");
    page.flash = Some(Flash::done(
        "Key ci-pipeline was revoked. Every node refuses it.",
    ));
    let choice = |value, label, help: &str| Choice::new(value, label, "restricted").help(help);
    let chip = |label: &str, count, is_active| Chip {
        label: label.to_owned(),
        href: "#".to_owned(),
        count,
        is_active,
    };
    let tab = |label: &str, count, is_current| Tab {
        label: label.to_owned(),
        href: "#".to_owned(),
        count,
        is_current,
    };
    Gallery {
        page,
        tabs: vec![
            tab("Overview", None, true),
            tab("Activity", Some(12_044), false),
            tab("Lineage", Some(5), false),
            tab("Advice", None, false),
            tab("Changes", None, false),
        ],
        chips: vec![
            chip("Live", Some(1204), true),
            chip("Suspended", Some(8), false),
            chip("All", None, false),
        ],
        choices: vec![
            choice("all", "All", "Whatever you may do yourself."),
            choice(
                "reader",
                "Read-only",
                "Lists and reads, but no values of secrets.",
            ),
            choice("restricted", "Restricted", "Choose for each resource."),
        ],
        short: vec![
            Choice::new("none", "None", "read"),
            Choice::new("read", "Read", "read"),
            Choice::new("write", "Write", "read"),
        ],
        badges: vec![
            Badge::new(Tone::Neutral, "channels:send"),
            Badge::new(Tone::Warn, "secrets:reveal"),
            Badge::new(Tone::Neutral, "+4").titled("four more"),
        ],
        calls: Spark { days: days(3, 900) },
        idle: Spark { days: vec![0; 30] },
        bars: bars(),
        tree: tree(),
        pager: Pager {
            shown: 50,
            total: Some(1204),
            first: Some("#".to_owned()),
            next: Some("#".to_owned()),
        },
        past: ago(3 * DAY),
        ahead: ahead(11 * 3600),
    }
}

fn main() -> io::Result<()> {
    let target = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "gallery".to_owned());
    let target = Path::new(&target);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/canvas");
    let assets = target.join("canvas/assets");
    fs::create_dir_all(&assets)?;
    for file in fs::read_dir(source)? {
        let file = file?;
        fs::copy(file.path(), assets.join(file.file_name()))?;
    }
    let write = |name: &str, text: askama::Result<String>| {
        fs::write(target.join(name), text.map_err(io::Error::other)?)
    };
    write("gallery.html", gallery().render())?;
    write("keys.html", keys(100).render())?;
    write("keys50.html", keys(50).render())?;
    write("first.html", keys(0).render())?;
    let mut page = Page::new("Sign in", now());
    page.theme = Theme::System;
    write("bare.html", Bare { page }.render())
}
