//! A list of keys that looks like one of an org at work, the same at every run.

use claviger_server::web::{
    charts::Spark,
    keys::list::{Filters, KeyRow, KeysPage},
    layout::Nav,
    parts::{Badge, Choice, KeyStatus, Pager, Tone},
};

use crate::{DAY, ago, ahead, days, page};

const NAMES: [&str; 7] = [
    "ci-pipeline",
    "data-pipeline-nightly",
    "support-triage-agent",
    "billing export to the warehouse, quarterly and on demand (owned by finance operations)",
    "grafana",
    "deploy-bot",
    "slack-bridge",
];
const PEOPLE: [&str; 4] = [
    "Ada Lovelace",
    "Grace Hopper",
    "Northwind Robotics",
    "Maximiliane von Hohenstein",
];
const WORKSPACES: [&str; 4] = [
    "All workspaces",
    "payments-eu",
    "3 workspaces",
    "agent=data-pipeline",
];

fn pick(list: &[&str], by: u64) -> String {
    let at = usize::try_from(by).unwrap_or(0) % list.len();
    list.get(at).copied().unwrap_or_default().to_owned()
}

fn status(number: u64) -> KeyStatus {
    let at = usize::try_from(number / 3).unwrap_or(0) % KeyStatus::ALL.len();
    match KeyStatus::ALL.get(at) {
        Some(status) if number % 3 == 1 => *status,
        _ => KeyStatus::Active,
    }
}

fn grant(number: u64) -> Vec<Badge> {
    let plain = |label| Badge::new(Tone::Neutral, label);
    match number % 4 {
        0 => vec![
            Badge::new(Tone::Warn, "All").titled("Every permission, also what later versions add"),
        ],
        1 => vec![plain("Read-only")],
        2 => vec![plain("channels:send"), plain("secrets:read")],
        _ => vec![
            plain("workspaces:*"),
            Badge::new(Tone::Warn, "secrets:reveal"),
            plain("+4").titled("audit:read, channels:read, channels:send, org.tokens:read"),
        ],
    }
}

fn row(number: u64) -> KeyRow {
    let is_used = number % 5 != 3;
    let maker = if number.is_multiple_of(3) {
        number
    } else {
        number / 2
    };
    KeyRow {
        id: format!("tok_01JD3V7Q8W{number:016}"),
        name: pick(&NAMES, number),
        prefix: format!(
            "mole_{:08x}",
            number.wrapping_mul(2_654_435_761) % 0xffff_ffff
        ),
        owner: pick(&PEOPLE, number / 2),
        created_by: pick(&PEOPLE, maker),
        created_by_label: "session:user_01J8ZQ".to_owned(),
        grant: grant(number),
        workspaces: pick(&WORKSPACES, number),
        workspaces_title: String::new(),
        status: status(number),
        created: ago(number * DAY * 3 + 4000),
        last_used: is_used.then(|| ago(number * number * 211 + 20)),
        last_used_from: if is_used {
            format!("203.0.113.{}", number % 250)
        } else {
            String::new()
        },
        expires: (!number.is_multiple_of(3)).then(|| ahead(DAY * (number * 7 % 90) + 9000)),
        revoked: None,
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

/// The list with this many rows; with none, the list of an org that has no key yet.
pub(crate) fn list(count: u64) -> KeysPage {
    KeysPage {
        page: page("Org API Keys", Nav::Keys).below("Settings", ""),
        rows: (1..=count).map(row).collect(),
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
        tags: vec!["team=data".to_owned()],
        is_sortable: true,
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
