//! The deprecated tokens of a workspace, and the keys that take their place.

use askama::Template;
use claviger_core::{
    action::{Action, ManageWorkspaceTokens, MintKey},
    grant::Grant,
    id::WorkspaceTokenId,
    key::WorkspaceTokenRow,
};
use claviger_store::{Page as StorePage, Workspace};
use http::StatusCode;

use super::frame::{self, Frame, Part};
use crate::{
    api::workspace_tokens as api,
    failure::Failure,
    gate::{Call, Form, Reply},
    ops::mints::Minted,
    web::{
        fault::Fault,
        html::{html, refused},
        layout::Page,
        mint::{self, ENDS, Wish},
        parts::{Choice, Pager},
        shown::Shown,
        time::{When, date},
        who,
    },
};

/// How many tokens a page shows.
const ROWS: u32 = 50;

/// The tokens.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/tokens.html")]
struct TokensPage {
    page: Page,
    workspace: Frame,
    rows: Vec<Row>,
    pager: Pager,
    sunset: When,
    sunset_date: String,
    is_sunset_over: bool,
    may_mint: bool,
}

/// A token as a row.
#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    prefix: String,
    created: When,
    created_by: String,
    last_used: Option<When>,
}

/// The form that puts a key in the place of a token.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/replace.html")]
struct ReplacePage {
    page: Page,
    token: Row,
    workspace: String,
    permissions: Vec<String>,
    name: String,
    ends: Vec<Choice>,
    /// What makes a repetition recognisable.
    once: String,
    back: String,
    fault: Fault,
}

/// The key that was minted for a token, with its secret.
#[derive(Template)]
#[template(path = "canvas/workspaces/replaced.html")]
struct ReplacedPage {
    page: Page,
    token: Row,
    key_id: String,
    shown: Shown,
    ends: Option<When>,
    revoke: String,
    back: String,
}

/// The question before a revocation.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/token_revoke.html")]
struct RevokePage {
    page: Page,
    token: Row,
    action: String,
    back: String,
}

/// `GET /canvas/workspaces/{id}/tokens`.
///
/// # Errors
/// 404, 503.
pub(super) async fn list(call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    let query = call.query(&["cursor", "done"])?;
    let after = query.parse::<WorkspaceTokenId>("cursor", "the place where a list goes on")?;
    let (id, org) = (call.workspace()?, call.org());
    let (page, workspace) = frame::of(&call, Part::Tokens, query.get("done")).await?;
    let part = StorePage { after, limit: ROWS };
    let found = call.app.store.list_workspace_tokens(org, id, part).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|count| count == ROWS);
    let last = found.last().filter(|_| is_full).map(|token| token.id);
    let path = Part::Tokens.href(id);
    let shown = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let sunset = call.app.config.workspace_tokens_sunset;
    let tokens = TokensPage {
        rows: found.iter().map(|token| row(&call, &page, token)).collect(),
        pager: Pager {
            shown,
            total: (after.is_none() && last.is_none()).then_some(shown),
            first: after.map(|_| path.clone()),
            next: last.map(|last| format!("{path}?cursor={last}")),
        },
        sunset: page.when(sunset),
        sunset_date: date(sunset),
        is_sunset_over: sunset <= page.now,
        may_mint: call.may::<MintKey>(None).await?,
        page,
        workspace,
    };
    Ok(html(StatusCode::OK, &tokens))
}

fn row<A: Action>(call: &Call<A>, page: &Page, token: &WorkspaceTokenRow) -> Row {
    let known = call.app.workspace_tokens.find_by_id(token.id);
    let used = token
        .last_used_at
        .max(known.and_then(|slot| slot.last_used()));
    Row {
        id: token.id.to_string(),
        name: if token.name.is_empty() {
            "No name".to_owned()
        } else {
            token.name.clone()
        },
        prefix: token.prefix.to_string(),
        created: page.when(token.created_at),
        created_by: who::maker(&call.app, token.org, &token.minter),
        last_used: used.map(|at| page.when(at)),
    }
}

/// The token that the path names. There are few of them: what is looked for is the one below the
/// next greater id.
async fn found(call: &Call<ManageWorkspaceTokens>) -> Result<WorkspaceTokenRow, Failure> {
    let id: WorkspaceTokenId = call.id(1, "workspace token")?;
    let after = WorkspaceTokenId::from_u128(id.to_u128().saturating_add(1));
    let part = StorePage {
        after: Some(after),
        limit: 1,
    };
    let (org, workspace) = (call.org(), call.workspace()?);
    let store = &call.app.store;
    let found = store.list_workspace_tokens(org, workspace, part).await?;
    let token = found.into_iter().next().filter(|token| token.id == id);
    token.ok_or(Failure::NotFound("workspace token"))
}

/// What was typed into the form, or stands there first.
struct Typed {
    name: String,
    ends: String,
    once: String,
}

impl Typed {
    fn first(workspace: &Workspace, token: &WorkspaceTokenRow) -> Self {
        Self {
            name: if token.name.is_empty() {
                workspace.name.clone()
            } else {
                token.name.clone()
            },
            ends: mint::FIRST_END.to_owned(),
            once: mint::new_once(),
        }
    }

    fn of(form: &Form) -> Self {
        let text = |name| form.get(name).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            ends: text("ends"),
            once: text("once"),
        }
    }
}

/// `GET /canvas/workspaces/{id}/tokens/{tid}/replace`.
///
/// # Errors
/// 404, 503.
pub(super) async fn ask_to_replace(call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    call.ask::<MintKey>(None).await?;
    let (workspace, token) = (frame::found(&call).await?, found(&call).await?);
    let typed = Typed::first(&workspace, &token);
    let page = replace_page(&call, (&workspace, &token), (typed, Fault::default()));
    Ok(html(StatusCode::OK, &page))
}

fn replace_page(
    call: &Call<ManageWorkspaceTokens>,
    (workspace, token): (&Workspace, &WorkspaceTokenRow),
    (typed, fault): (Typed, Fault),
) -> ReplacePage {
    let mut page = frame::below(call, workspace, Part::Tokens);
    page.title = "Replace by an org key".to_owned();
    let ends = ENDS.iter();
    ReplacePage {
        token: row(call, &page, token),
        page,
        workspace: workspace.name.clone(),
        permissions: Grant::workspace_token(workspace.id).permissions.patterns(),
        name: typed.name,
        ends: ends
            .map(|(value, label)| Choice::new(*value, *label, &typed.ends))
            .collect(),
        once: typed.once,
        back: Part::Tokens.href(workspace.id),
        fault,
    }
}

/// `POST /canvas/workspaces/{id}/tokens/{tid}/replace`: mints a key with the rights of the token, and
/// shows its secret in this one answer. The token goes on working until it is revoked.
///
/// # Errors
/// As a mint through the API; what is wrong with the form is said on it.
pub(super) async fn replace(mut call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let permit = call.ask::<MintKey>(None).await?;
    let (workspace, token) = (frame::found(&call).await?, found(&call).await?);
    let typed = Typed::of(&form);
    let wish = Wish {
        name: typed.name.clone(),
        grant: Grant::workspace_token(workspace.id),
        ends: typed.ends.clone(),
        once: typed.once.clone(),
        note: Some(("replaces", token.prefix.to_string())),
    };
    match mint::mint(&call.app, &permit, wish, &call.trace).await {
        Ok(minted) => Ok(shown(&call, (&workspace, &token), minted)),
        Err(failure) => match mint::fault(&failure) {
            Some(fault) => {
                let once = mint::once_after(&failure, typed.once);
                let typed = Typed { once, ..typed };
                let page = replace_page(&call, (&workspace, &token), (typed, fault));
                Err(refused(failure, &page))
            }
            None => Err(failure),
        },
    }
}

fn shown(
    call: &Call<ManageWorkspaceTokens>,
    (workspace, token): (&Workspace, &WorkspaceTokenRow),
    minted: Minted,
) -> Reply {
    let mut page = frame::below(call, workspace, Part::Tokens);
    page.title = "Your new key".to_owned();
    let back = Part::Tokens.href(workspace.id);
    let url = mint::base_url(&call.app, &call.headers);
    let shown = ReplacedPage {
        token: row(call, &page, token),
        key_id: minted.key.id.to_string(),
        shown: Shown::of(&minted.secret, &minted.key.name, &url),
        ends: minted.key.expires_at.map(|at| page.when(at)),
        revoke: format!("{back}/{}/revoke", token.id),
        back,
        page,
    };
    html(StatusCode::CREATED, &shown).written(minted.receipt)
}

/// `GET /canvas/workspaces/{id}/tokens/{tid}/revoke`.
///
/// # Errors
/// 404, 503.
pub(super) async fn confirm_revocation(
    call: Call<ManageWorkspaceTokens>,
) -> Result<Reply, Failure> {
    let (workspace, token) = (frame::found(&call).await?, found(&call).await?);
    let mut page = frame::below(&call, &workspace, Part::Tokens);
    page.title = "Revoke the token".to_owned();
    let back = Part::Tokens.href(workspace.id);
    let page = RevokePage {
        token: row(&call, &page, &token),
        page,
        action: format!("{back}/{}/revoke", token.id),
        back,
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /canvas/workspaces/{id}/tokens/{tid}/revoke`.
///
/// # Errors
/// 404, 503.
pub(super) async fn revoke(call: Call<ManageWorkspaceTokens>) -> Result<Reply, Failure> {
    let id = call.id(1, "workspace token")?;
    let ended = api::end(&call, id, StatusCode::SEE_OTHER).await?;
    let back = Part::Tokens.href(call.workspace()?);
    Ok(Reply::see_other(&format!("{back}?done=token_revoked")).written(ended.receipt))
}
