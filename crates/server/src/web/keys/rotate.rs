//! `/canvas/keys/{id}/rotate`: another secret for a key, and the end of the overlap.

use askama::Template;
use claviger_core::{
    action::{Action, ChangeKey, ReadKeys, RotateKey},
    id::KeyId,
    key::OrgKey,
};
use claviger_store::{RotationEnd, StoreError};
use claviger_wire::keys as wire;
use http::StatusCode;

use super::{
    index::href,
    key::{Rotation, rotation},
    list::PATH,
    mint::{ShownPage, is_answerable, shown_once},
    typed::Typed,
};
use crate::{
    api::rotations::plan,
    failure::Failure,
    gate::{Call, Reply},
    ops::{keys, rotations},
    web::{
        html::{html, refused, see_other},
        layout::{Nav, Page},
        mint::base_url,
        page,
        parts::Choice,
        time::When,
    },
};

/// The question, or the state of the rotation that lasts.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/rotate.html")]
struct RotatePage {
    page: Page,
    name: String,
    prefix: String,
    href: String,
    rotation: Option<Rotation>,
    overlaps: Vec<Choice>,
    last_used: Option<When>,
    last_used_from: String,
    error: String,
}

/// `GET /canvas/keys/{id}/rotate`.
///
/// # Errors
/// 403 without the permission, 404, 503.
pub(in crate::web) async fn ask(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    call.query(&["done"])?;
    call.ask::<ChangeKey>(None).await?;
    let key = keys::get(&call.app, &call.permit, call.id(0, "key")?).await?;
    Ok(html(
        StatusCode::OK,
        &question(&call, &key, &Typed::default()),
    ))
}

fn question<A: Action>(call: &Call<A>, key: &OrgKey, typed: &Typed) -> RotatePage {
    let page = page::of(call, "Rotate", Nav::Keys)
        .below("Org API Keys", PATH)
        .below(key.name.clone(), href(key.id));
    let chosen = match typed.get("overlap") {
        "" => "24h",
        overlap => overlap,
    };
    let choice =
        |value: &str, label: &str, help: &str| Choice::new(value, label, chosen).help(help);
    let from = key.last_use.and_then(|last| last.from);
    RotatePage {
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        href: href(key.id),
        rotation: rotation(&call.app, key, &page),
        overlaps: vec![
            choice("24h", "24 hours", "Both secrets work for a day."),
            choice("1h", "1 hour", "For whoever is at hand to change it now."),
            choice("7d", "7 days", "For what is deployed once a week."),
            choice("30d", "30 days", "The longest."),
            choice(
                "first",
                "On first use",
                "The old one ends an hour after the new one is first used.",
            ),
            choice(
                "quiet",
                "When quiet",
                "The old one ends once nobody used it for a day.",
            ),
            choice(
                "0",
                "Now",
                "The old one is refused at once: for a secret that leaked.",
            ),
        ],
        last_used: key.last_use.map(|last| page.when(last.at)),
        last_used_from: from.map(|from| from.to_string()).unwrap_or_default(),
        error: typed.error("overlap when_quiet").to_owned()
            + typed.other_error("overlap when_quiet"),
        page,
    }
}

/// `POST /canvas/keys/{id}/rotate`: the one answer that shows the new secret.
///
/// # Errors
/// As [`rotations::rotate`]; 409 when the key has another secret than the page said.
pub(in crate::web) async fn rotate(mut call: Call<RotateKey>) -> Result<Reply, Failure> {
    // A form that is refused shows the key again: this is for whoever may see it.
    call.ask::<ReadKeys>(None).await?;
    call.ask::<ChangeKey>(None).await?;
    let id: KeyId = call.id(0, "key")?;
    let form = call.form().await?;
    let key = keys::get(&call.app, &call.permit, id).await?;
    let overlap = form.get("overlap").unwrap_or("24h");
    let outcome = if form.get("prefix") == Some(key.prefix.as_str()) {
        rotated(&call, id, overlap).await
    } else {
        // Going back and sending the form again must not replace the secret that was just shown.
        Err(Failure::Refused(
            "the key was rotated since this page was opened; the secret that came of it cannot be shown again",
        ))
    };
    match outcome {
        Ok(new) => {
            let shown = shown(&call, &new);
            Ok(html(StatusCode::OK, &shown).written(new.receipt))
        }
        Err(failure) if is_answerable(&failure) => {
            let typed = Typed::of(&form, &["overlap"]).refused(&failure);
            let view = question(&call, &key, &typed);
            Err(refused(failure, &view))
        }
        Err(failure) => Err(failure),
    }
}

async fn rotated(
    call: &Call<RotateKey>,
    id: KeyId,
    overlap: &str,
) -> Result<rotations::NewSecret, Failure> {
    let asked = match overlap {
        "first" => wire::RotationRequest {
            on_first_use: Some(true),
            overlap: Some("1h".to_owned()),
            when_quiet: None,
        },
        "quiet" => wire::RotationRequest {
            when_quiet: Some("24h".to_owned()),
            ..wire::RotationRequest::default()
        },
        span => wire::RotationRequest {
            overlap: Some(span.to_owned()),
            ..wire::RotationRequest::default()
        },
    };
    let plan = plan(&asked)?;
    rotations::rotate(&call.app, &call.permit, id, plan, &call.trace).await
}

fn shown(call: &Call<RotateKey>, new: &rotations::NewSecret) -> ShownPage {
    let key = &new.rotated.key;
    let page = page::of(call, "Save the new secret", Nav::Keys)
        .below("Org API Keys", PATH)
        .below(key.name.clone(), href(key.id));
    let old = &new.rotated.old.prefix;
    let ends = page.when(new.overlap_until);
    let mut notes = vec![if new.overlap_until <= page.now {
        format!("The old secret, {old}, is refused from now on.")
    } else {
        format!(
            "The old secret, {old}, works on and ends {} at the latest.",
            ends.words()
        )
    }];
    notes.push(match new.previous_use {
        Some(seen) => {
            let from = seen.from.map(|from| format!(" from {from}"));
            let when = page.when(seen.at).words();
            format!("It was last seen {when}{}.", from.unwrap_or_default())
        }
        None => "It was never seen.".to_owned(),
    });
    ShownPage {
        lead: format!(
            "{} has another secret. This is the only time that it is shown.",
            key.name
        ),
        notes,
        ..shown_once(
            page,
            (key, &new.secret),
            &base_url(&call.app, &call.headers),
        )
    }
}

/// `POST /canvas/keys/{id}/rotate/finish`.
///
/// # Errors
/// As [`rotations::end`].
pub(in crate::web) async fn finish(call: Call<RotateKey>) -> Result<Reply, Failure> {
    end(call, RotationEnd::Finish, "finished").await
}

/// `POST /canvas/keys/{id}/rotate/cancel`.
///
/// # Errors
/// As [`rotations::end`].
pub(in crate::web) async fn cancel(call: Call<RotateKey>) -> Result<Reply, Failure> {
    end(call, RotationEnd::Cancel, "cancelled").await
}

async fn end(call: Call<RotateKey>, end: RotationEnd, done: &str) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let written = rotations::end(&call.app, &call.permit, id, end, &call.trace).await;
    let written = written.map_err(|failure| match failure {
        // The key is there, so this is no page that is missing.
        Failure::Store(StoreError::NotFound("rotation")) => Failure::Refused(
            "no rotation of this key is under way: it was finished or cancelled before, or has ended by itself",
        ),
        other => other,
    })?;
    Ok(see_other(&format!("{}?done={done}", href(id))).written(written.receipt))
}
