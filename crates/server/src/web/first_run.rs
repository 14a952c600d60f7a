//! The first key of an org: name it, copy it, see its first call arrive.

use askama::Template;
use claviger_core::{
    action::{Action, MintKey, ReadKeys},
    grant::Grant,
    id::KeyId,
    key::{KeyStatus, OrgKey},
    permission::PermissionSet,
};
use claviger_store::{KeyFilter, Page as Part};
use http::{Method, StatusCode};

use super::{
    fault::Fault,
    html::{html, refused},
    layout::{Nav, Page},
    mint::{self, ENDS, Wish},
    page,
    parts::Choice,
    shown::Shown,
    time::When,
};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::{keys, mints::Minted},
    router::Routes,
};

/// The path of the page.
pub(super) const PATH: &str = "/canvas/first-run";

/// The page, and the form on it.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<MintKey, _, _>(&get, "/canvas/first-run", start);
    routes.page::<MintKey, _, _>(&post, "/canvas/first-run", name_it);
    routes.page::<ReadKeys, _, _>(&get, "/canvas/first-run/{id}", look);
}

/// The three steps. At the first there is no key yet; its secret is there at the second alone.
#[derive(Template)]
#[template(path = "canvas/first_run.html")]
struct FirstRunPage {
    page: Page,
    name: String,
    presets: Vec<Choice>,
    ends: Vec<Choice>,
    /// What makes a repetition recognisable.
    once: String,
    key: Option<KeyFacts>,
    shown: Option<Shown>,
    fault: Fault,
}

/// The key, once it is there.
struct KeyFacts {
    id: String,
    name: String,
    prefix: String,
    first_call: Option<FirstCall>,
    /// A call that shows that it works, without the secret.
    curl: String,
}

/// What is known of its first call.
struct FirstCall {
    at: When,
    from: String,
}

/// What was typed, or stands there first.
struct Typed {
    name: String,
    preset: String,
    ends: String,
    once: String,
}

impl Typed {
    fn first() -> Self {
        Self {
            name: String::new(),
            preset: "editor".to_owned(),
            ends: "90d".to_owned(),
            once: mint::new_once(),
        }
    }

    fn of(form: &Form) -> Self {
        let text = |name| form.get(name).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            preset: text("preset"),
            ends: text("ends"),
            once: text("once"),
        }
    }
}

/// Whether the reader is to be led to a first key: the org never had one, and the reader may mint.
///
/// # Errors
/// That of the store.
pub(super) async fn is_wanted<A: Action>(call: &Call<A>) -> Result<bool, Failure> {
    let org = match call.ask::<MintKey>(None).await {
        Ok(permit) => permit.org(),
        Err(Failure::Denied(_)) => return Ok(false),
        Err(other) => return Err(other),
    };
    let any = KeyFilter {
        statuses: KeyStatus::ALL.to_vec(),
        now: clock::now(),
        text: None,
        created_by: None,
        workspace: None,
        expires_before: None,
    };
    let one = Part {
        after: None,
        limit: 1,
    };
    Ok(call.app.store.list_keys(org, any, one).await?.is_empty())
}

/// `GET /canvas/first-run`.
///
/// # Errors
/// That of the store.
async fn start(call: Call<MintKey>) -> Result<Reply, Failure> {
    if !is_wanted(&call).await? {
        return Ok(Reply::see_other(Nav::Keys.href()));
    }
    let page = form_page(&call, Typed::first(), Fault::default());
    Ok(html(StatusCode::OK, &page))
}

fn form_page(call: &Call<MintKey>, typed: Typed, fault: Fault) -> FirstRunPage {
    let presets = [
        (
            "editor",
            "Read and write",
            "Workspaces, channels and secrets. It sees no values of secrets, and makes no keys.",
        ),
        (
            "reader",
            "Read only",
            "Sees everything but the values of secrets.",
        ),
        (
            "admin",
            "Everything",
            "Also mint and revoke keys, and read secrets. Keep such a key close.",
        ),
    ];
    let presets = presets.iter();
    FirstRunPage {
        page: page::of(call, "Your first key", Nav::Keys),
        name: typed.name,
        presets: presets
            .map(|(value, label, help)| Choice::new(*value, *label, &typed.preset).help(*help))
            .collect(),
        ends: ENDS
            .iter()
            .map(|(value, label)| Choice::new(*value, *label, &typed.ends))
            .collect(),
        once: typed.once,
        key: None,
        shown: None,
        fault,
    }
}

/// `POST /canvas/first-run`: mints the key, and shows its secret in this one answer.
///
/// # Errors
/// As a mint through the API; what is wrong with the form is said on it.
async fn name_it(mut call: Call<MintKey>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let typed = Typed::of(&form);
    let outcome = match PermissionSet::preset(&typed.preset) {
        Ok(permissions) => {
            let own = call.permit.principal().authority.layers().first();
            let base = own.unwrap_or(&call.app.full_grant);
            let wish = Wish {
                name: typed.name.clone(),
                grant: Grant {
                    permissions,
                    ..Grant::clone(base)
                },
                ends: typed.ends.clone(),
                once: typed.once.clone(),
                note: None,
            };
            mint::mint(&call.app, &call.permit, wish, &call.trace).await
        }
        Err(error) => Err(Failure::out_of_range("preset", error)),
    };
    match outcome {
        Ok(minted) => Ok(shown(&call, minted)),
        Err(failure) => Err(match mint::fault(&failure) {
            Some(fault) => {
                let fault = fault.renamed(|field| field.replace("permissions", "preset"));
                let once = mint::once_after(&failure, typed.once);
                let typed = Typed { once, ..typed };
                refused(failure, &form_page(&call, typed, fault))
            }
            None => failure,
        }),
    }
}

fn shown(call: &Call<MintKey>, minted: Minted) -> Reply {
    let url = mint::base_url(&call.app, &call.headers);
    let page = FirstRunPage {
        key: Some(KeyFacts::of(&minted.key, None, &url)),
        shown: Some(Shown::of(&minted.secret, &minted.key.name, &url)),
        ..form_page(call, Typed::first(), Fault::default())
    };
    html(StatusCode::CREATED, &page).written(minted.receipt)
}

impl KeyFacts {
    fn of(key: &OrgKey, first_call: Option<FirstCall>, url: &str) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.to_string(),
            first_call,
            curl: format!(
                "curl {url}/org/whoami \\\n  -H \"Authorization: Bearer $CLAVIGER_TOKEN\""
            ),
        }
    }
}

/// `GET /canvas/first-run/{id}`: whether the first call has arrived, for a browser without scripts.
///
/// # Errors
/// 404, 503.
async fn look(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let key = keys::get(&call.app, &call.permit, id).await?;
    let page = page::of(&call, "Your first key", Nav::Keys);
    let first_call = key.last_use.map(|used| FirstCall {
        at: page.when(used.at),
        from: used.from.map(|from| from.to_string()).unwrap_or_default(),
    });
    let url = mint::base_url(&call.app, &call.headers);
    let page = FirstRunPage {
        page,
        name: String::new(),
        presets: Vec::new(),
        ends: Vec::new(),
        once: String::new(),
        key: Some(KeyFacts::of(&key, first_call, &url)),
        shown: None,
        fault: Fault::default(),
    };
    Ok(html(StatusCode::OK, &page))
}
