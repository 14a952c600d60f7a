//! `/canvas/keys/new`: a form, what it comes to in words, and the one page that shows the secret.

use askama::Template;
use claviger_core::{
    action::MintKey,
    digest::Digest,
    key::OrgKey,
    permission::{Permission, PermissionSet},
    token::Secret,
};
use claviger_store::{Idempotency, StoreError, Workspace};
use claviger_wire::keys as wire;
use http::StatusCode;

use super::{
    index::{href, names_of, workspaces_of},
    list::PATH,
    sheet::{self, Sheet, end_of_day, pairs},
    typed::Typed,
    words::{self, Summary},
};
use crate::{
    api::keys::asked_mint,
    app::App,
    clock,
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::mints,
    web::{
        html::{html, refused},
        layout::{Nav, Page},
        mint::{base_url, new_once},
        page,
        parts::Choice,
        shown::Shown,
    },
};

/// The fields of the form beside those of the grant.
const FIELDS: &[&str] = &[
    "name",
    "owner",
    "purpose",
    "tags",
    "expires",
    "expires_on",
    "starts_on",
    "rotate_every",
    "once",
];
/// After how long a key ends, as the form stands there first.
const FIRST_END: &str = "90d";
/// Names in failures that stand at a field of the form.
const AT_FIELDS: &str = "name metadata tags permissions preset workspaces expires_in expires_at \
    ip_allow endpoints rate_limit delegation not_before rotate_every";

/// The form.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/mint.html")]
struct MintPage {
    page: Page,
    typed: Typed,
    sheet: Sheet,
    expires: Vec<Choice>,
    rotations: Vec<Choice>,
    /// Metadata that the org's policy requires beside owner and purpose, with what was typed.
    required: Vec<(String, String)>,
    /// What the policy says of every mint, in words.
    policy: Vec<String>,
    outcome: Outcome,
    other_error: String,
}

/// What the form comes to.
#[derive(Debug, Clone, Default)]
struct Outcome {
    summary: Option<Summary>,
    /// Why it cannot be minted so.
    problem: String,
    is_reviewed: bool,
}

/// The same alone, for a form that is being filled in.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/summary.html")]
struct SummaryPart {
    outcome: Outcome,
}

/// The one page that shows a secret.
#[derive(Template)]
#[template(path = "canvas/keys/shown.html")]
pub(super) struct ShownPage {
    pub(super) page: Page,
    pub(super) lead: String,
    pub(super) id: String,
    pub(super) prefix: String,
    pub(super) shown: Shown,
    /// What holds beside, in sentences.
    pub(super) notes: Vec<String>,
    /// Whether its first call is waited for.
    pub(super) waits: bool,
    pub(super) href: String,
}

/// The page of a form that was sent twice.
#[derive(Debug, Template)]
#[template(path = "canvas/keys/before.html")]
struct BeforePage {
    page: Page,
    href: String,
    rotate: String,
}

/// `GET /canvas/keys/new`.
///
/// # Errors
/// 503.
pub(in crate::web) async fn form(call: Call<MintKey>) -> Result<Reply, Failure> {
    call.query(&[])?;
    let known = workspaces_of(&call).await?;
    let typed = Typed::default()
        .with("access", "restricted")
        .with("where", "all")
        .with("expires", FIRST_END)
        .with("once", new_once());
    // What the form comes to as it stands there first.
    let asked = wire::MintRequest {
        permissions: Some(Vec::new()),
        expires_in: Some(FIRST_END.to_owned()),
        ..wire::MintRequest::default()
    };
    let outcome = outcome(&call, Ok(asked), (&known, false));
    let view = view(&call, typed, (&known, outcome));
    Ok(html(StatusCode::OK, &view))
}

/// `POST /canvas/keys/new`: says what it comes to, or mints.
///
/// # Errors
/// As the API's mint; the page shows them at the field.
pub(in crate::web) async fn send(mut call: Call<MintKey>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let known = workspaces_of(&call).await?;
    let required = required(&call.app, call.org());
    let names: Vec<&str> = sheet::FIELDS
        .iter()
        .chain(FIELDS)
        .copied()
        .chain(required.iter().map(|(field, _)| field.as_str()))
        .collect();
    let typed = Typed::of(&form, &names);
    let asked = request(&form, &required);
    match form.get("step") {
        Some("mint") => {}
        step => {
            let is_review = step == Some("review");
            let outcome = outcome(&call, asked, (&known, is_review));
            if is_review {
                let view = view(&call, typed, (&known, outcome));
                return Ok(html(StatusCode::OK, &view));
            }
            return Ok(html(StatusCode::OK, &SummaryPart { outcome }));
        }
    }
    let minted = match asked {
        Ok(asked) => mint(&call, asked, form.get("once")).await,
        Err(failure) => Err(failure),
    };
    match minted {
        Ok(minted) => {
            let shown = shown(&call, &minted.key, &minted.secret);
            Ok(html(StatusCode::CREATED, &shown).written(minted.receipt))
        }
        Err(Failure::Store(StoreError::Replayed {
            key,
            is_same_request,
        })) => {
            let page = page::of(&call, "Minted before", Nav::Keys).below("Org API Keys", PATH);
            let before = BeforePage {
                page,
                href: href(key),
                rotate: format!("{}/rotate", href(key)),
            };
            let why = StoreError::Replayed {
                key,
                is_same_request,
            };
            Err(refused(why.into(), &before))
        }
        Err(failure) if is_answerable(&failure) => {
            let view = view(&call, typed.refused(&failure), (&known, Outcome::default()));
            Err(refused(failure, &view))
        }
        Err(failure) => Err(failure),
    }
}

/// Whether whoever filled in the form can do something about it.
pub(super) fn is_answerable(failure: &Failure) -> bool {
    let status = crate::problem::answer(failure).status;
    status.is_client_error() && status != StatusCode::UNAUTHORIZED
}

async fn mint(
    call: &Call<MintKey>,
    asked: wire::MintRequest,
    once: Option<&str>,
) -> Result<mints::Minted, Failure> {
    let bytes = serde_json::to_vec(&asked).unwrap_or_default();
    // Going back and sending the form again must not mint another key.
    let idempotency = once.map(|once| Idempotency {
        key: format!("canvas:{}", once.chars().take(64).collect::<String>()),
        request: *Digest::of(&bytes).as_bytes(),
    });
    let mint = asked_mint(call, asked, idempotency)?;
    mints::mint(&call.app, &call.permit, mint, &call.trace).await
}

/// What the form comes to, without minting.
fn outcome(
    call: &Call<MintKey>,
    asked: Result<wire::MintRequest, Failure>,
    (known, is_reviewed): (&[Workspace], bool),
) -> Outcome {
    let come_to = asked.and_then(|mut asked| {
        if asked.name.is_empty() && !is_reviewed {
            // While it is filled in, a name may come last.
            "a key".clone_into(&mut asked.name);
        }
        let mint = asked_mint(call, asked, None)?;
        mints::preview(&call.app, &call.permit, &mint)
    });
    let mut outcome = Outcome {
        is_reviewed: is_reviewed && come_to.is_ok(),
        ..Outcome::default()
    };
    match come_to {
        Ok((grant, end)) => {
            let names = names_of(known);
            outcome.summary = Some(words::summary(&grant, (clock::now(), end), &names));
        }
        Err(failure) => {
            outcome.problem = crate::web::sentence(&crate::problem::answer(&failure).detail);
        }
    }
    outcome
}

/// What the form asks for, as the API takes it.
fn request(form: &Form, required: &[(String, String)]) -> Result<wire::MintRequest, Failure> {
    let text = |name: &str| form.get(name).map(str::to_owned);
    let wish = sheet::wish(form)?;
    let mut metadata = pairs("tags", form.get("tags").unwrap_or_default())?;
    let of_policy = required
        .iter()
        .map(|(field, name)| (field.as_str(), name.as_str()));
    for (field, name) in [("owner", "owner"), ("purpose", "purpose")]
        .into_iter()
        .chain(of_policy)
    {
        if let Some(value) = text(field) {
            metadata.0.insert(name.to_owned(), value);
        }
    }
    let (expires_in, expires_at) = match form.get("expires") {
        Some("never") | None => (None, None),
        Some("date") => {
            let date = form.get("expires_on").unwrap_or_default();
            (None, Some(end_of_day(date)))
        }
        Some(span) => (Some(span.to_owned()), None),
    };
    Ok(wire::MintRequest {
        name: text("name").unwrap_or_default(),
        preset: wish.preset,
        permissions: wish.permissions,
        workspaces: wish.workspaces,
        endpoints: wish.endpoints,
        expires_in,
        expires_at,
        not_before: form
            .get("starts_on")
            .map(|date| format!("{date}T00:00:00Z")),
        ip_allow: wish.ip_allow,
        rate_limit: wish.rate_limit,
        delegation: wish.delegation,
        rotate_every: text("rotate_every").filter(|every| every != "0"),
        metadata: (!metadata.0.is_empty()).then_some(metadata),
    })
}

/// Fields for the metadata that the org's policy requires, with the names.
fn required(app: &App, org: claviger_core::id::OrgId) -> Vec<(String, String)> {
    let Some(policy) = app.policies.of(org) else {
        return Vec::new();
    };
    let names = policy.policy.required_metadata.iter();
    let others = names.filter(|name| !["owner", "purpose"].contains(&name.as_str()));
    others
        .map(|name| (format!("m_{name}"), name.clone()))
        .collect()
}

fn view(call: &Call<MintKey>, typed: Typed, (known, outcome): (&[Workspace], Outcome)) -> MintPage {
    let page = page::of(call, "Mint a key", Nav::Keys).below("Org API Keys", PATH);
    let held = Permission::ALL.iter().filter(|one| call.permit.has(**one));
    let held = PermissionSet::of(&held.copied().collect::<Vec<_>>());
    let expires = typed.get("expires").to_owned();
    let every = typed.get("rotate_every").to_owned();
    let choice = |value: &str, label: &str, chosen: &str| Choice::new(value, label, chosen);
    let required = required(&call.app, call.org());
    MintPage {
        sheet: sheet::sheet(&typed, (held, false), known),
        expires: [
            ("7d", "7 days"),
            ("30d", "30 days"),
            ("90d", "90 days"),
            ("365d", "1 year"),
            ("date", "On a date"),
            ("never", "No end"),
        ]
        .map(|(value, label)| choice(value, label, &expires))
        .into(),
        rotations: [
            ("0", "Never"),
            ("30d", "Every 30 days"),
            ("90d", "Every 90 days"),
        ]
        .map(|(value, label)| choice(value, label, &every))
        .into(),
        required: required
            .into_iter()
            .map(|(field, name)| {
                let value = typed.get(&field).to_owned();
                (name, value)
            })
            .collect(),
        policy: policy_words(&call.app, call.org()),
        other_error: typed.other_error(AT_FIELDS).to_owned(),
        typed,
        outcome,
        page,
    }
}

/// What the org's policy says of every mint.
fn policy_words(app: &App, org: claviger_core::id::OrgId) -> Vec<String> {
    let Some(in_force) = app.policies.of(org) else {
        return Vec::new();
    };
    let policy = &in_force.policy;
    let mut said = Vec::new();
    if let Some(longest) = policy.lifetime_max {
        let longest = claviger_core::time::format_duration(longest);
        said.push(format!("A key lives for {longest} at most."));
    } else if policy.is_expiry_required {
        said.push("Every key has an end.".to_owned());
    }
    if policy.ceiling != PermissionSet::ALL {
        let allowed = policy.ceiling.patterns().join(", ");
        said.push(format!("No key may do more than {allowed}."));
    }
    said
}

/// The page of a key that was just minted.
fn shown(call: &Call<MintKey>, key: &OrgKey, secret: &Secret) -> ShownPage {
    let page = page::of(call, "Save the secret", Nav::Keys).below("Org API Keys", PATH);
    ShownPage {
        lead: format!(
            "{} is minted. This is the only time that its secret is shown.",
            key.name
        ),
        notes: Vec::new(),
        waits: true,
        ..shown_once(page, (key, secret), &base_url(&call.app, &call.headers))
    }
}

/// A page that shows this secret.
pub(super) fn shown_once(page: Page, (key, secret): (&OrgKey, &Secret), url: &str) -> ShownPage {
    ShownPage {
        page,
        lead: String::new(),
        id: key.id.to_string(),
        prefix: key.prefix.to_string(),
        shown: Shown::of(secret, &key.name, url),
        notes: Vec::new(),
        waits: false,
        href: href(key.id),
    }
}
