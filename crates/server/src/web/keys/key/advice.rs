//! What speaks against a key, and what would have been enough for what it did.

use askama::Template;
use claviger_core::{action::ReadKeys, id::KeyId};
use http::StatusCode;

use super::{Head, surroundings};
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::advice::{self, Asked, Judged},
    web::{
        html::html,
        keys::{
            events::by_route,
            index::{DAY, names_of, workspaces_of},
            words,
        },
        layout::Page,
        time::{Exact, thousands},
    },
};

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_advice.html")]
struct AdvicePage {
    page: Page,
    head: Head,
    concerns: Vec<(String, String)>,
    window: (Exact, String),
    /// A grant that would have been enough, in badges and lines; empty when it is what it holds.
    suggestion: Option<Suggestion>,
    /// Method, route, calls.
    used: Vec<(String, String, String)>,
    unused: Vec<String>,
    cannot_say: bool,
}

/// A narrower grant.
#[derive(Debug)]
struct Suggestion {
    permissions: Vec<String>,
    lines: Vec<String>,
    refused: u64,
    href: String,
}

impl Suggestion {
    fn warning(&self) -> String {
        let calls = thousands(self.refused);
        format!("Before that time it made {calls} calls that this would have refused.")
    }
}

pub(super) async fn show(call: &Call<ReadKeys>, id: KeyId) -> Result<Reply, Failure> {
    let asked = Asked {
        window: DAY * 30,
        wants_endpoints: false,
        wants_addresses: false,
    };
    let judged = advice::of_key(&call.app, &call.permit, id, asked).await?;
    let (page, head) = surroundings(call, &judged.key, "advice").await?;
    let known = names_of(&workspaces_of(call).await?);
    let concerns = judged.concerns.iter();
    let view = AdvicePage {
        concerns: concerns
            .map(|one| {
                let say = crate::web::sentence;
                (say(&one.text()), say(one.remedy()))
            })
            .collect(),
        window: (
            page.when(judged.judged_since).exact(),
            thousands(judged.used.iter().map(|one| one.calls).sum()),
        ),
        suggestion: suggestion(&judged, (&head.href, &known)),
        used: by_route(
            judged
                .used
                .iter()
                .map(|one| (one.method.as_str(), one.route.as_str(), one.calls)),
        ),
        unused: judged.advice.as_ref().map_or_else(Vec::new, |advice| {
            advice.unused.iter().map(ToString::to_string).collect()
        }),
        cannot_say: judged.advice.is_none(),
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}

fn suggestion(
    judged: &Judged,
    (href, known): (&str, &words::WorkspaceNames),
) -> Option<Suggestion> {
    let narrow = &judged.advice.as_ref()?.suggestion;
    if *narrow == judged.key.grant {
        return None;
    }
    let mut lines = Vec::new();
    if narrow.workspaces != judged.key.grant.workspaces {
        let (place, all) = words::workspaces(&narrow.workspaces, known);
        lines.push(if all.is_empty() {
            place
        } else {
            format!("{place}: {all}")
        });
    }
    Some(Suggestion {
        permissions: narrow.permissions.patterns(),
        lines,
        refused: judged.refused.iter().map(|row| row.calls).sum(),
        href: format!("{href}/edit?advice=on"),
    })
}
