//! The gate: every request passes here, from its head to its record.
//!
//! Head -> `identify` (who is it?) -> `core::authorize` (may it?) -> the operation -> the record ->
//! the answer. A change has its record committed with it and brings the receipt; everything else is
//! recorded here, before the answer leaves.

mod body;
mod call;
mod ends;
mod finish;
mod identify;
mod notices;
mod pages;
mod query;
mod reply;
mod sessions;
mod strangers;
mod tokens;

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{body::Body, response::Response};
use claviger_core::{
    action::{Action, Needs, Nothing, Scope},
    authorize::{Facts, Permit, authorize, gives_up},
    denial::Denial,
    grant::{Labels, WorkspaceFacts, Workspaces},
    id::WorkspaceId,
    path::normalise,
    permission::Permission,
    tier::Tier,
};
use http::{Method, Request, request::Parts};

pub(crate) use body::Bodies;
pub use call::{Call, Watch};
pub(crate) use ends::record_stream_end;
use finish::{Guard, answer_failure, finish};
use identify::{Identified, identify};
pub use identify::{KeySlot, Proof};
use pages::{check_freshness, check_page, comes_from_us, wants_fresh_word};
pub use query::{Form, Query};
pub use reply::Reply;
use tokens::{Word, refused_token, with_access_token, word_of_provider};

use crate::{
    app::App,
    client,
    config::AuditMode,
    failure::Failure,
    trace::{Head, Trace},
    web,
};

/// The other end of the connection that a request came on.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What the gate needs to know of a route.
#[derive(Debug, Clone, Copy)]
pub struct RouteFacts {
    /// The pattern, for example `/workspaces/{id}/channels`.
    pub path: &'static str,
    /// Whether it is a page of the Canvas, for people alone.
    pub is_page: bool,
}

/// Serves a request to a route of action `A`.
pub async fn serve<A, F, Fut>(
    app: Arc<App>,
    route: RouteFacts,
    handler: F,
    request: Request<Body>,
) -> Response
where
    A: Action,
    F: FnOnce(Call<A>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Reply, Failure>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let admitted = admit(&app, &parts, (route, wants_fresh_word::<A>(&parts.method))).await;
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return proceed(app, admitted, handler, parts, body).await;
    }
    // A change runs to its end even if the caller hangs up: the index must follow the store.
    let (trace, keeper) = (Arc::clone(&admitted.trace), Arc::clone(&app));
    match tokio::spawn(proceed(app, admitted, handler, parts, body)).await {
        Ok(response) => response,
        Err(error) => answer_failure(&keeper, &trace, &Failure::Internal(error.to_string())),
    }
}

/// Refuses a request that reaches no route, or cannot be read: it is attributed and recorded all
/// the same.
pub async fn refuse(app: Arc<App>, failure: Failure, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let route = RouteFacts {
        path: "",
        is_page: web::is_page(parts.uri.path()),
    };
    let admitted = admit(&app, &parts, (route, false)).await;
    let answer = |_call: Call<Nothing>| async move { Err(failure) };
    proceed(app, admitted, answer, parts, body).await
}

/// Identifies the caller, with the word of the identity provider where it takes that.
async fn admit(app: &Arc<App>, parts: &Parts, (route, waits): (RouteFacts, bool)) -> Admitted {
    let word = match &app.provider {
        Some(_) => word_of_provider(app, parts, waits).await,
        None => Word::NotAsked,
    };
    Admitted::new(app, parts, (route, word))
}

/// A request whose caller has been identified, or found to be nobody.
struct Admitted {
    trace: Arc<Trace>,
    identity: Result<Proof, Denial>,
    /// Why the identity provider's word was not to be had.
    failed: Option<Failure>,
    params: Vec<String>,
    names_workspace: bool,
    /// By what the browser says of its site.
    comes_from_us: bool,
}

impl Admitted {
    fn new(app: &App, parts: &Parts, (route, word): (RouteFacts, Word)) -> Self {
        let RouteFacts {
            path: route,
            is_page,
        } = route;
        let peer = parts
            .extensions
            .get::<Peer>()
            .map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.0);
        let caller = client::address(peer.ip(), &parts.headers, &app.config.trusted_proxies);
        let mut head = Head::new(caller, parts, &app.brands);
        head.route = route;
        head.is_page = is_page;
        if is_page {
            head.theme = web::layout::Theme::of(&parts.headers);
        }
        let comes_from_us = comes_from_us(app, parts, is_page);
        let started = std::time::Instant::now();
        let Identified {
            principal,
            identity,
        } = match &word {
            Word::Of(bearer) => with_access_token(app, parts, bearer, head.at),
            Word::Refused(refused) => refused_token(app, refused),
            Word::NotAsked => identify(
                app,
                parts,
                (peer, caller),
                (head.at, is_page, comes_from_us),
            ),
        };
        app.metrics.note_verification(started.elapsed());
        // Read once, where every path is read. One with two readings gets no further than its refusal.
        let params = normalise(parts.uri.path()).map(|path| params(route, &path));
        let params = params.unwrap_or_default();
        let names_workspace =
            route.starts_with("/workspaces/{") || route.starts_with("/canvas/workspaces/{");
        let workspace: Option<WorkspaceId> = params
            .first()
            .filter(|_| names_workspace)
            .and_then(|id| id.parse().ok());
        let trace = Arc::new(Trace::new(head, principal, workspace));
        Self {
            trace,
            identity,
            failed: match word {
                Word::Refused(refused) => Some(refused.failure),
                Word::Of(_) | Word::NotAsked => None,
            },
            params,
            names_workspace,
            comes_from_us,
        }
    }
}

async fn proceed<A, F, Fut>(
    app: Arc<App>,
    mut admitted: Admitted,
    handler: F,
    parts: Parts,
    body: Body,
) -> Response
where
    A: Action,
    F: FnOnce(Call<A>) -> Fut,
    Fut: Future<Output = Result<Reply, Failure>>,
{
    let trace = Arc::clone(&admitted.trace);
    let mut guard = Guard {
        app: &app,
        trace: &trace,
        is_armed: true,
    };
    let outcome = match decide::<A>(&app, &mut admitted, parts.uri.path()).await {
        Ok(permit) => {
            let call = Call::new(
                Arc::clone(&app),
                permit,
                Arc::clone(&trace),
                (admitted.identity, admitted.params),
                (parts, body),
            );
            handler(call).await
        }
        Err(failure) => Err(failure),
    };
    let reveals = A::NEEDS == Needs::Permission(Permission::SecretsReveal);
    // From here on the record is handed over before anything is waited for.
    guard.is_armed = false;
    finish(&app, &trace, outcome, reveals).await
}

/// From an identity to a permit. The path is the whole one; the record holds it cut.
async fn decide<A: Action>(
    app: &App,
    admitted: &mut Admitted,
    path: &str,
) -> Result<Permit<A>, Failure> {
    if let Some(failure) = admitted.failed.take() {
        return Err(failure);
    }
    match &admitted.identity {
        Ok(proof) => check_freshness::<A>(&admitted.trace, proof)?,
        // Nobody was shown, and nobody is asked for; a credential that is bad is refused here too.
        Err(Denial::NoCredential) if A::NEEDS == Needs::NoCredential => {}
        // Not even the sign-in page is for what another site asks for in somebody's name.
        Err(Denial::CrossSite) => return Err(Denial::CrossSite.into()),
        // An ended session must not keep its owner from signing in again.
        Err(_) if A::NEEDS == Needs::NoCredential && admitted.trace.is_page => {}
        Err(denial) => return Err(Failure::Denied(*denial)),
    }
    let trace = &*admitted.trace;
    if trace.is_page {
        check_page::<A>(admitted)?;
    }
    let counted = match gives_up::<A>(&trace.principal) {
        true => Ok(None),
        false => app.rate_limiter.check(&trace.principal, trace.at),
    };
    match counted {
        Ok(None) => {}
        Ok(Some(standing)) => trace.standing.set(standing).unwrap_or_default(),
        Err(standing) => {
            trace.standing.set(standing).unwrap_or_default();
            return Err(Failure::RateLimited(standing));
        }
    }
    let is_read = matches!(trace.method, Method::GET | Method::HEAD);
    let reveals = A::NEEDS == Needs::Permission(Permission::SecretsReveal);
    let needs_ledger = app.config.audit != AuditMode::Relaxed || !is_read || reveals;
    if needs_ledger && app.ledger.is_down() {
        return Err(Failure::NotRecorded);
    }
    if admitted.names_workspace && trace.workspace.is_none() {
        // Malformed, or an id of another type: nothing has it. A tier 3 token is told no more.
        return Err(match trace.principal.tier {
            Tier::WorkspaceToken => Denial::OutsideWorkspaceToken.into(),
            _ => Failure::NotFound("workspace"),
        });
    }
    ask::<A>(app, trace, (trace.workspace, path)).await
}

/// Whether the principal of a request may do `A`.
async fn ask<A: Action>(
    app: &App,
    trace: &Trace,
    (workspace, path): (Option<WorkspaceId>, &str),
) -> Result<Permit<A>, Failure> {
    let labels = labels_if_needed::<A>(app, trace, workspace).await?;
    let workspace = workspace.map(|id| WorkspaceFacts {
        id,
        labels: labels.as_ref(),
    });
    let facts = Facts {
        principal: &trace.principal,
        workspace,
        method: trace.method.as_str(),
        path,
        client: trace.client,
    };
    Ok(authorize::<A>(&facts)?)
}

/// The labels of the workspace, where some layer of the authority selects by labels.
async fn labels_if_needed<A: Action>(
    app: &App,
    trace: &Trace,
    workspace: Option<WorkspaceId>,
) -> Result<Option<Labels>, Failure> {
    let is_about_one = matches!(A::SCOPE, Scope::Workspace | Scope::InWorkspace);
    let selects = trace
        .principal
        .authority
        .layers()
        .iter()
        .any(|grant| matches!(grant.workspaces, Workspaces::Labels(_)));
    match workspace {
        Some(id) if is_about_one && selects => {
            let found = app.store.find_workspace(trace.principal.org, id).await?;
            Ok(found.map(|workspace| workspace.labels))
        }
        Some(_) | None => Ok(None),
    }
}

/// The segments of the decoded path that stand where the pattern has braces. No slash is ever encoded
/// in it, so decoding makes no more of them.
fn params(pattern: &str, path: &str) -> Vec<String> {
    if !pattern.contains('{') {
        return Vec::new();
    }
    let pairs = pattern.split('/').zip(path.split('/'));
    pairs
        .filter(|(mine, _)| mine.starts_with('{'))
        .map(|(_, given)| given.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::params;

    #[test]
    fn parameters_stand_where_the_braces_are() {
        assert_eq!(
            params(
                "/workspaces/{id}/secrets/{key}",
                "/workspaces/ws_1/secrets/A"
            ),
            ["ws_1", "A"]
        );
        assert!(params("/org/tokens", "/org/tokens").is_empty());
    }
}
