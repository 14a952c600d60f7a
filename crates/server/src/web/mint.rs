//! Short forms that mint a key: the first of an org, and the one in the place of a token.

use std::{collections::BTreeMap, sync::Arc};

use claviger_core::{
    action::MintKey,
    authorize::Permit,
    digest::Digest,
    grant::Grant,
    text::{NAME_CHARS_MAX, parse_name},
    time::{Timestamp, parse_duration},
};
use claviger_store::{Idempotency, StoreError};
use http::{HeaderMap, header};

use super::fault::Fault;
use crate::{
    app::App,
    clock, entropy,
    failure::Failure,
    ops::mints::{self, Mint, Minted},
    trace::Trace,
};

/// After how long a key may end by itself, and the words for it.
pub(super) const ENDS: &[(&str, &str)] = &[
    ("30d", "In 30 days"),
    ("90d", "In 90 days"),
    ("365d", "In a year"),
    ("never", "Never by itself"),
];
/// The one that stands there first.
pub(super) const FIRST_END: &str = "365d";

/// The longest text that makes a form recognisable.
const ONCE_BYTES_MAX: usize = 255;

/// A key as a short form asks for it.
#[derive(Debug)]
pub(super) struct Wish {
    /// Its name.
    pub(super) name: String,
    /// What it may do.
    pub(super) grant: Grant,
    /// A value of [`ENDS`].
    pub(super) ends: String,
    /// What makes a repetition recognisable, from the form itself.
    pub(super) once: String,
    /// A pair to be kept with the key.
    pub(super) note: Option<(&'static str, String)>,
}

/// What makes the sending of a form recognisable when it is sent again.
pub(super) fn new_once() -> String {
    format!("form-{:032x}", entropy::bits())
}

/// Mints it. A form that is sent again does not mint twice: it is told so.
///
/// # Errors
/// As [`mints::mint`], and 422 for what cannot be used.
pub(super) async fn mint(
    app: &Arc<App>,
    permit: &Permit<MintKey>,
    wish: Wish,
    trace: &Arc<Trace>,
) -> Result<Minted, Failure> {
    let request = Digest::of(format!("{wish:?}").as_bytes());
    let name = parse_name(&wish.name, NAME_CHARS_MAX)
        .map_err(|error| Failure::out_of_range("name", error))?;
    let end = end(&wish.ends, clock::now())?;
    let note = wish.note.into_iter();
    let mint = Mint {
        name,
        grant: wish.grant,
        are_permissions_asked: true,
        end: end.map(|at| ("expires_in", at)),
        metadata: note
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<_, _>>(),
        rotate_every: None,
        idempotency: Some(wish.once)
            .filter(|once| (1..=ONCE_BYTES_MAX).contains(&once.len()))
            .map(|key| Idempotency {
                key,
                request: *request.as_bytes(),
            }),
    };
    mints::mint(app, permit, mint, trace).await
}

fn end(text: &str, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let unknown = || Failure::out_of_range("ends", "is none of the choices");
    let (value, _) = ENDS
        .iter()
        .find(|(value, _)| *value == text)
        .ok_or_else(unknown)?;
    if *value == "never" {
        return Ok(None);
    }
    let span = parse_duration(value).map_err(|_never| unknown())?;
    Ok(Some(now.plus(span)))
}

/// What is wrong with such a form, if it is the form.
pub(super) fn fault(failure: &Failure) -> Option<Fault> {
    if let Failure::Store(StoreError::Replayed { key, .. }) = failure {
        let words = format!(
            "This form was sent before, and made the key {key}. Its secret is not shown again: if nobody saved it, revoke that key and mint another."
        );
        return Some(Fault::at_field("", &words));
    }
    let fault = Fault::of(failure)?;
    Some(fault.renamed(|field| match field {
        "expires_in" | "expires_at" => "ends".to_owned(),
        other => other.to_owned(),
    }))
}

/// Whether a form that failed like this may be sent again as it is.
pub(super) fn once_after(failure: &Failure, once: String) -> String {
    match failure {
        Failure::Store(StoreError::Replayed { .. }) => new_once(),
        _ => once,
    }
}

/// Where programs reach the service, as far as this request tells.
pub(super) fn base_url(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.config.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    // It is shown as a part of a command.
    let is_plain = |host: &&str| {
        host.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b))
    };
    match host.filter(is_plain) {
        Some(host) => format!("http://{host}"),
        None => format!("http://{}", app.config.listen),
    }
}
