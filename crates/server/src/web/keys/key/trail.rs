//! What a key did, what it was refused, and what was done to it.

use askama::Template;
use claviger_core::{
    action::{ReadAudit, ReadKeys},
    id::KeyId,
};
use claviger_store::{AuditFilter, Page as Part};
use http::StatusCode;

use super::{Head, surroundings};
use crate::{
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::{
        audit::{self, Order},
        keys,
    },
    web::{
        html::html,
        keys::{
            events::{self, EventPart, HAS_STREAM},
            index::{names_of, workspaces_of},
        },
        layout::Page,
    },
};

/// How many records a part of a trail shows.
const ROWS: u32 = 50;

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_events.html")]
struct EventsPage {
    page: Page,
    head: Head,
    title: &'static str,
    empty: (&'static str, &'static str),
    is_changes: bool,
    /// The reader may not see it.
    is_closed: bool,
    part: EventPart,
    /// The names of workspaces by their ids, for rows that come live: they are shown as the others.
    live_names: String,
}

pub(super) async fn show(
    call: &Call<ReadKeys>,
    id: KeyId,
    query: &Query,
) -> Result<Reply, Failure> {
    let key = keys::get(&call.app, &call.permit, id).await?;
    let tab = query.get("tab").unwrap_or_default();
    let after = query.parse::<u64>("cursor", "the number of a record")?;
    let (page, head) = surroundings(call, &key, tab).await?;
    let part = (Order::NewestFirst, Part { after, limit: ROWS });
    // Before the read: what is recorded meanwhile comes live, and nothing is left out.
    let size = call.app.store.audit_size(call.org()).await?;
    let refused = (tab == "refused").then_some((400, 499));
    let found = if tab == "changes" {
        let filter = AuditFilter {
            about: Some(id),
            ..AuditFilter::default()
        };
        match call.ask::<ReadAudit>(None).await {
            Ok(permit) => Some(audit::page(&call.app, &permit, filter, part).await?),
            Err(Failure::Denied(_)) => None,
            Err(other) => return Err(other),
        }
    } else {
        let filter = AuditFilter {
            status: refused,
            ..AuditFilter::default()
        };
        Some(audit::activity(&call.app, &call.permit, id, filter, part).await?)
    };
    let known = names_of(&workspaces_of(call).await?);
    let address = format!("{}?tab={tab}", head.href);
    let mut shown = match &found {
        Some(found) => {
            let known = (&known, &events::key_names(call, found).await?);
            let place = (&*address, after.is_none());
            events::part(&call.app, &page, (found, known), place)
        }
        None => EventPart::default(),
    };
    if after.is_none() && tab != "changes" && *HAS_STREAM {
        let only = if tab == "refused" { "&status=4xx" } else { "" };
        shown.live = format!("/org/tokens/{id}/activity/stream?after={size}{only}");
    }
    let (title, empty) = words_of(tab);
    let view = EventsPage {
        is_changes: tab == "changes",
        is_closed: found.is_none(),
        live_names: crate::web::parts::names_json(known.iter()),
        part: shown,
        title,
        empty,
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}

/// The title of a view, and what it says when there is nothing to list.
fn words_of(tab: &str) -> (&'static str, (&'static str, &'static str)) {
    match tab {
        "activity" => (
            "Activity",
            (
                "No call yet",
                "What the key does is listed here, request by request.",
            ),
        ),
        "refused" => (
            "Refused calls",
            (
                "Nothing was refused",
                "Calls that the key was not let do are listed here.",
            ),
        ),
        _ => (
            "Changes of this key",
            (
                "No change is recorded",
                "What is done to the key is listed here.",
            ),
        ),
    }
}
