//! `/canvas/keys/{id}`: everything that is known of one key, in views that are asked for one by one.

mod advice;
mod overview;
mod trail;

use askama::Template;
use claviger_core::{
    action::{Action, ChangeKey, ReadAudit, ReadKeys, ResumeKey, SuspendKey},
    id::KeyId,
    key::OrgKey,
    permission::Permission,
};
use claviger_store::Page as Part;
use http::StatusCode;

pub(super) use overview::{Rotation, rotation};

use super::{
    effective::{self, Effective},
    index::{href, names_of, workspaces_of},
    list::PATH,
    status, words,
};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::lines,
    web::{
        html::html,
        layout::{Nav, Page},
        page,
        parts::{Badge, KeyStatus, Tab},
    },
};

/// What every view of a key begins with.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// The public name of its secret.
    pub(super) prefix: String,
    /// What it is now.
    pub(super) status: KeyStatus,
    /// Its page.
    pub(super) href: String,
    /// The views.
    pub(super) tabs: Vec<Tab>,
    /// The reader may change it.
    pub(super) may_change: bool,
    /// The reader may rotate it.
    pub(super) may_rotate: bool,
    /// The reader may suspend it.
    pub(super) may_suspend: bool,
    /// The reader may resume it.
    pub(super) may_resume: bool,
    /// The reader may revoke it.
    pub(super) may_revoke: bool,
    /// The reader may see what it reaches.
    pub(super) may_see_reach: bool,
}

impl Head {
    /// A page below that of the key.
    #[must_use]
    pub(super) fn to(&self, page: &str) -> String {
        format!("{}/{page}", self.href)
    }
}

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_access.html")]
struct Access {
    page: Page,
    head: Head,
    grant: Vec<Badge>,
    effective: Effective,
}

/// `GET /canvas/keys/{id}`.
///
/// # Errors
/// 404, 503, 400 for a query that is not ours.
pub(in crate::web) async fn show(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let query = call.query(&["tab", "cursor", "done"])?;
    match query.get("tab").unwrap_or_default() {
        "" | "overview" => overview::show(&call, id, &query).await,
        "access" => access(&call, id).await,
        "advice" => advice::show(&call, id).await,
        "activity" | "refused" | "changes" => trail::show(&call, id, &query).await,
        _ => Err(Failure::NotFound("page")),
    }
}

/// What surrounds a page about a key.
pub(super) async fn surroundings<A: Action>(
    call: &Call<A>,
    key: &OrgKey,
    tab: &str,
) -> Result<(Page, Head), Failure> {
    let mut page = page::of(call, &key.name, Nav::Keys).below("Org API Keys", PATH);
    page.now = clock::now();
    let head = head(call, key, (&page, tab)).await?;
    Ok((page, head))
}

async fn head<A: Action>(
    call: &Call<A>,
    key: &OrgKey,
    (page, tab): (&Page, &str),
) -> Result<Head, Failure> {
    let status = status::of_key(&call.app, key, page.now);
    let is_over = status == KeyStatus::Revoked;
    let is_suspended = status == KeyStatus::Suspended;
    let may_stop = !is_over && call.may::<SuspendKey>(None).await?;
    let may_mint = !is_over && call.may::<ChangeKey>(None).await?;
    let href = href(key.id);
    let view = |name: &str, label: &str| Tab {
        label: label.to_owned(),
        href: if name.is_empty() {
            href.clone()
        } else {
            format!("{href}?tab={name}")
        },
        count: None,
        is_current: name == tab,
    };
    Ok(Head {
        tabs: vec![
            view("", "Overview"),
            view("access", "Access"),
            view("activity", "Activity"),
            view("refused", "Refused"),
            view("changes", "Changes"),
            view("advice", "Advice"),
        ],
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        status,
        may_change: may_mint,
        may_rotate: may_mint && call.permit.has(Permission::TokensMint),
        may_suspend: may_stop && !is_suspended,
        may_resume: is_suspended && call.may::<ResumeKey>(None).await?,
        may_revoke: may_stop,
        may_see_reach: call.may::<ReadAudit>(None).await?,
        href,
    })
}

async fn access(call: &Call<ReadKeys>, id: KeyId) -> Result<Reply, Failure> {
    let part = Part {
        after: None,
        limit: 1,
    };
    let line = lines::lineage(&call.app, &call.permit, id, part).await?;
    let (page, head) = surroundings(call, &line.key, "access").await?;
    let known = names_of(&workspaces_of(call).await?);
    let view = Access {
        grant: words::all_badges(&line.key.grant),
        effective: effective::of(&call.app, &line, (page.now, &known)),
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}
