//! The secrets of a workspace: their names, and their values for whoever asks and may.

use askama::Template;
use claviger_core::action::{Action, ListSecrets, RevealSecrets, WriteSecrets};
use claviger_store::{Page as StorePage, SecretName};
use claviger_wire::secrets::NewSecret;
use http::StatusCode;
use zeroize::Zeroizing;

use super::frame::{self, Frame, Part};
use crate::{
    api::secrets as api,
    failure::Failure,
    gate::{Call, Reply},
    ops::secrets,
    web::{
        fault::Fault,
        html::{html, refused},
        layout::Page,
        parts::Pager,
        time::When,
        who,
    },
};

/// How many secrets a page shows.
const ROWS: u32 = 100;

/// The names.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/secrets.html")]
struct SecretsPage {
    page: Page,
    workspace: Frame,
    rows: Vec<Row>,
    pager: Pager,
    may_write: bool,
    may_reveal: bool,
    key: String,
    fault: Fault,
}

/// A secret as a row.
#[derive(Debug)]
struct Row {
    name: String,
    version: u64,
    set: When,
    created_by: String,
}

/// The values, for the one answer that shows them.
#[derive(Template)]
#[template(path = "canvas/workspaces/values.html")]
struct ValuesPage {
    page: Page,
    workspace: Frame,
    values: Vec<(String, Zeroizing<String>)>,
}

/// The question before a deletion.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/secret_delete.html")]
struct DeletePage {
    page: Page,
    name: String,
    back: String,
}

/// `GET /canvas/workspaces/{id}/secrets`.
///
/// # Errors
/// 404, 503.
pub(super) async fn list(call: Call<ListSecrets>) -> Result<Reply, Failure> {
    let query = call.query(&["cursor", "done"])?;
    let after = query.get("cursor").map(str::to_owned);
    let typed = (String::new(), Fault::default());
    let page = list_page(&call, (after, query.get("done")), typed).await?;
    Ok(html(StatusCode::OK, &page))
}

async fn list_page<A: Action>(
    call: &Call<A>,
    (after, done): (Option<String>, Option<&str>),
    (key, fault): (String, Fault),
) -> Result<SecretsPage, Failure> {
    let id = call.workspace()?;
    let (page, workspace) = frame::of(call, Part::Secrets, done).await?;
    let part = StorePage {
        after: after.clone(),
        limit: ROWS,
    };
    // Whoever may set secrets need not be one who may see which there are.
    let found = match call.ask::<ListSecrets>(Some(id)).await {
        Ok(_) => call.app.store.list_secrets(call.org(), id, part).await?,
        Err(Failure::Denied(_)) => Vec::new(),
        Err(other) => return Err(other),
    };
    let is_full = u32::try_from(found.len()).is_ok_and(|count| count == ROWS);
    let last = found.last().filter(|_| is_full).map(|row| row.name.clone());
    let path = Part::Secrets.href(id);
    let shown = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let makers = found.iter().map(|secret| &secret.created_by);
    let names = who::key_names(call, makers).await?;
    let row = |secret: &SecretName| Row {
        name: secret.name.clone(),
        version: secret.version,
        set: page.when(secret.updated_at),
        created_by: who::words(&call.app, call.org(), &secret.created_by, &names),
    };
    Ok(SecretsPage {
        rows: found.iter().map(row).collect(),
        pager: Pager {
            shown,
            total: (after.is_none() && last.is_none()).then_some(shown),
            first: after.map(|_| path.clone()),
            next: last.map(|last| format!("{path}?cursor={last}")),
        },
        may_write: call.may::<WriteSecrets>(Some(id)).await?,
        may_reveal: call.may::<RevealSecrets>(Some(id)).await?,
        page,
        workspace,
        key,
        fault,
    })
}

/// `POST /canvas/workspaces/{id}/secrets`.
///
/// # Errors
/// As the API; what is wrong with the form is said on it, without the value.
pub(super) async fn set(mut call: Call<WriteSecrets>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let key = form.get("key").unwrap_or_default().to_owned();
    let value = Zeroizing::new(form.exact("value").unwrap_or_default());
    let asked = NewSecret {
        key: key.clone(),
        value: value.to_string(),
    };
    let outcome = if value.is_empty() {
        Err(Failure::out_of_range("value", "must not be empty"))
    } else {
        api::set(&call, asked, |_| StatusCode::SEE_OTHER).await
    };
    match outcome {
        Ok(set) => {
            let path = format!("{}?done=secret_set", Part::Secrets.href(call.workspace()?));
            Ok(Reply::see_other(&path).written(set.receipt))
        }
        Err(failure) => match Fault::of(&failure) {
            Some(fault) => {
                let page = list_page(&call, (None, None), (key, fault)).await?;
                Err(refused(failure, &page))
            }
            None => Err(failure),
        },
    }
}

/// `GET /canvas/workspaces/{id}/secrets/values`: values are not shown again by going there.
///
/// # Errors
/// None of its own.
pub(super) async fn back(call: Call<ListSecrets>) -> Result<Reply, Failure> {
    Ok(Reply::see_other(&Part::Secrets.href(call.workspace()?)))
}

/// `POST /canvas/workspaces/{id}/secrets/values`. The record says who saw them; without it they are
/// not shown.
///
/// # Errors
/// As [`secrets::reveal`].
pub(super) async fn reveal(call: Call<RevealSecrets>) -> Result<Reply, Failure> {
    let (page, workspace) = frame::of(&call, Part::Secrets, None).await?;
    let values = secrets::reveal(&call.app, &call.permit).await?;
    let values = values.into_iter();
    let page = ValuesPage {
        page,
        workspace,
        values: values
            .map(|(name, value)| (name, Zeroizing::new(value)))
            .collect(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// `GET /canvas/workspaces/{id}/secrets/{key}/delete`.
///
/// # Errors
/// 404, 503.
pub(super) async fn confirm_deletion(call: Call<WriteSecrets>) -> Result<Reply, Failure> {
    let workspace = frame::found(&call).await?;
    let mut page = frame::below(&call, &workspace, Part::Secrets);
    page.title = "Delete the secret".to_owned();
    let page = DeletePage {
        page,
        name: call.param(1).to_owned(),
        back: Part::Secrets.href(workspace.id),
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /canvas/workspaces/{id}/secrets/{key}/delete`.
///
/// # Errors
/// 404, 503.
pub(super) async fn delete(call: Call<WriteSecrets>) -> Result<Reply, Failure> {
    let deleted = api::remove(&call, call.param(1), StatusCode::SEE_OTHER).await?;
    let back = Part::Secrets.href(call.workspace()?);
    Ok(Reply::see_other(&format!("{back}?done=secret_deleted")).written(deleted.receipt))
}
