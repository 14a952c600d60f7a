//! `/canvas/keys/{id}/edit`: name and tags, and a narrower grant.

use askama::Template;
use claviger_core::{
    action::{Action, ChangeKey, ReadKeys},
    id::KeyId,
    key::OrgKey,
};
use claviger_wire::{keys as wire, map::TextMap};
use http::StatusCode;

use super::{
    index::{DAY, href, workspaces_of},
    list::PATH,
    mint::is_answerable,
    sheet::{self, Sheet, day_of, end_of_day, lines_of, pairs},
    typed::Typed,
};
use crate::{
    api::keys::change_as,
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::{
        advice::{self, Asked},
        keys,
    },
    web::{
        html::{html, refused, see_other},
        layout::{Nav, Page},
        page,
    },
};

/// The fields of the form beside those of the grant.
const FIELDS: &[&str] = &["name", "tags", "expires_on"];
/// Names in failures that stand at a field of the form.
const AT_FIELDS: &str = "name metadata tags permissions preset workspaces expires_at ip_allow endpoints \
    rate_limit delegation";
/// Fields of the grant that belong together: one of them alone says nothing.
const GROUPS: [&[&str]; 6] = [
    &[
        "access",
        "p_workspaces",
        "p_channels",
        "p_secrets",
        "p_tokens",
        "p_audit",
        "also",
    ],
    &["where", "workspace", "workspace_ids", "labels"],
    &["ip_allow"],
    &["endpoints"],
    &["per_minute", "per_day"],
    &["depth", "below", "lifetime"],
];

/// The form.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/edit.html")]
struct EditPage {
    page: Page,
    href: String,
    sheet: Sheet,
    /// The last day that can be chosen; empty for any.
    latest: String,
    is_advised: bool,
    other_error: String,
    typed: Typed,
}

/// `GET /canvas/keys/{id}/edit`; with `advice=on` filled in with what would be enough.
///
/// # Errors
/// 403 without the permission, 404, 503.
pub(in crate::web) async fn form(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&["advice"])?;
    call.ask::<ChangeKey>(None).await?;
    let id: KeyId = call.id(0, "key")?;
    let key = keys::get(&call.app, &call.permit, id).await?;
    let is_advised = query.get("advice").is_some();
    let mut grant = key.grant.clone();
    if is_advised {
        let asked = Asked {
            window: DAY * 30,
            wants_endpoints: false,
            wants_addresses: false,
        };
        let judged = advice::of_key(&call.app, &call.permit, id, asked).await?;
        if let Some(advice) = judged.advice {
            grant = advice.suggestion;
        }
    }
    let typed = sheet::typed_of(&grant)
        .with("name", key.name.clone())
        .with("tags", lines_of(&key.metadata))
        .with("expires_on", key.expires_at.map(day_of).unwrap_or_default());
    let mut view = view(&call, &key, typed).await?;
    view.is_advised = is_advised;
    Ok(html(StatusCode::OK, &view))
}

/// `POST /canvas/keys/{id}/edit`.
///
/// # Errors
/// As [`keys::change`]; the page shows them at the field.
pub(in crate::web) async fn save(mut call: Call<ChangeKey>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let key = keys::get(&call.app, &call.permit, id).await?;
    let names: Vec<&str> = sheet::FIELDS.iter().chain(FIELDS).copied().collect();
    let typed = Typed::of(&form, &names);
    let outcome = match change(&form, &key, &typed) {
        Ok(asked) => change_as(&call, id, asked).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(written) => {
            let address = format!("{}?done=saved", href(id));
            Ok(see_other(&address).written(written.receipt))
        }
        Err(failure) if is_answerable(&failure) => {
            let view = view(&call, &key, typed.refused(&failure)).await?;
            Err(refused(failure, &view))
        }
        Err(failure) => Err(failure),
    }
}

/// What is to be another than it is.
fn change(form: &Form, key: &OrgKey, typed: &Typed) -> Result<wire::KeyChange, Failure> {
    let before = sheet::typed_of(&key.grant);
    let [access, places, addresses, routes, rates, below] =
        GROUPS.map(|group| !typed.agrees(&before, group));
    let wish = sheet::wish(form)?;
    let metadata = pairs("tags", form.get("tags").unwrap_or_default())?;
    let is_tagged = metadata.0 != key.metadata;
    let name = form.get("name").unwrap_or_default().to_owned();
    let day = form.get("expires_on").unwrap_or_default();
    let is_sooner = !day.is_empty() && key.expires_at.map(day_of).as_deref() != Some(day);
    Ok(wire::KeyChange {
        name: (name != key.name).then_some(name),
        metadata: is_tagged.then_some(TextMap(metadata.0)),
        preset: wish.preset.filter(|_| access),
        permissions: wish.permissions.filter(|_| access),
        workspaces: wish.workspaces.filter(|_| places),
        endpoints: wish.endpoints.filter(|_| routes),
        ip_allow: wish.ip_allow.filter(|_| addresses),
        rate_limit: wish.rate_limit.filter(|_| rates),
        delegation: wish.delegation.filter(|_| below),
        expires_at: is_sooner.then(|| end_of_day(day)),
        ..wire::KeyChange::default()
    })
}

async fn view<A: Action>(call: &Call<A>, key: &OrgKey, typed: Typed) -> Result<EditPage, Failure> {
    let known = workspaces_of(call).await?;
    let page = page::of(call, "Edit", Nav::Keys)
        .below("Org API Keys", PATH)
        .below(key.name.clone(), href(key.id));
    Ok(EditPage {
        href: href(key.id),
        sheet: sheet::sheet(&typed, (key.grant.permissions, true), &known),
        latest: key.expires_at.map(day_of).unwrap_or_default(),
        is_advised: false,
        other_error: typed.other_error(AT_FIELDS).to_owned(),
        typed,
        page,
    })
}
