//! Renders every component of the Canvas with sample data, to be looked at.
//!
//! `cargo run -p claviger-server --example gallery -- DIRECTORY` writes `gallery.html`, `keys.html`,
//! `first.html`, `bare.html`, and a copy of the assets under `canvas/assets`. Serve the directory at
//! the root of any web server.

mod keys;

use std::{fs, io, path::Path, time::Duration};

use askama::Template;
use claviger_core::time::Timestamp;
use claviger_server::web;
use web::{
    charts::{Bar, Bars, Spark, Tree, TreeRow},
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
    write("keys.html", keys::list(100).render())?;
    write("keys50.html", keys::list(50).render())?;
    write("first.html", keys::list(0).render())?;
    let mut page = Page::new("Sign in", now());
    page.theme = Theme::System;
    write("bare.html", Bare { page }.render())
}
