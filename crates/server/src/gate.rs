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

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

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
use claviger_wire::headers;
use http::{HeaderValue, Method, Request, request::Parts};

pub(crate) use body::Bodies;
pub use call::{Call, Watch};
pub(crate) use ends::{record_failed_verification, record_stream_end};
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
    entropy,
    failure::Failure,
    problem,
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

/// What an action needs to be let in, without its type.
#[derive(Debug, Clone, Copy)]
struct Wants {
    needs: Needs,
    scope: Scope,
}

impl Wants {
    const fn of<A: Action>() -> Self {
        Self {
            needs: A::NEEDS,
            scope: A::SCOPE,
        }
    }

    fn reveals(self) -> bool {
        self.needs == Needs::Permission(Permission::SecretsReveal)
    }
}

/// What a handler will come to.
type Outcome = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// A route's handler behind its decision. Its type is forgotten here: all that stands around it, here
/// and in the router, is compiled once and not for each of the routes.
#[derive(Clone)]
pub struct Handler {
    wants: Wants,
    run: Arc<dyn Fn(Arc<App>, Admitted, Parts, Body) -> Outcome + Send + Sync>,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handler").field(&self.wants).finish()
    }
}

impl Handler {
    /// The handler of an action: it is called with the permit, and with none if there is none.
    pub fn of<A, F, Fut>(handler: F) -> Self
    where
        A: Action,
        F: Fn(Call<A>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        let run = move |app: Arc<App>, mut admitted: Admitted, parts: Parts, body: Body| {
            let handler = handler.clone();
            let outcome: Outcome = Box::pin(async move {
                let path = parts.uri.path();
                let labels = decide(&app, &mut admitted, Wants::of::<A>()).await?;
                let trace = admitted.trace;
                let permit = permit::<A>(&trace, (trace.workspace, labels.as_ref()), path)?;
                let known = (admitted.identity, admitted.params);
                handler(Call::new(app, permit, trace, known, (parts, body))).await
            });
            outcome
        };
        Self {
            wants: Wants::of::<A>(),
            run: Arc::new(run),
        }
    }
}

/// Serves a request to a route.
pub async fn serve(
    app: Arc<App>,
    route: RouteFacts,
    handler: Handler,
    request: Request<Body>,
) -> Response {
    if let Some(refused) = halted(&app) {
        return refused;
    }
    let (parts, body) = request.into_parts();
    let waits = wants_fresh_word(handler.wants, &parts.method);
    let admitted = admit(&app, &parts, (route, waits)).await;
    let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
    let trace = Arc::clone(&admitted.trace);
    let outcome = (handler.run)(Arc::clone(&app), admitted, parts, body);
    let reveals = handler.wants.reveals();
    if is_read {
        return proceed(app, trace, outcome, reveals).await;
    }
    // A change runs to its end even if the caller hangs up: the index must follow the store.
    let work = proceed(Arc::clone(&app), Arc::clone(&trace), outcome, reveals);
    match tokio::spawn(work).await {
        Ok(response) => response,
        Err(error) => answer_failure(&app, &trace, &Failure::Internal(error.to_string())),
    }
}

/// Refuses a request that reaches no route, or cannot be read: it is attributed and recorded all
/// the same.
pub async fn refuse(app: Arc<App>, failure: Failure, request: Request<Body>) -> Response {
    if let Some(refused) = halted(&app) {
        return refused;
    }
    let (parts, _body) = request.into_parts();
    let route = RouteFacts {
        path: "",
        is_page: web::is_page(parts.uri.path()),
    };
    let mut admitted = admit(&app, &parts, (route, false)).await;
    let (trace, keeper) = (Arc::clone(&admitted.trace), Arc::clone(&app));
    let outcome = Box::pin(async move {
        let path = parts.uri.path();
        let labels = decide(&app, &mut admitted, Wants::of::<Nothing>()).await?;
        let trace = &admitted.trace;
        permit::<Nothing>(trace, (trace.workspace, labels.as_ref()), path)?;
        Err(failure)
    });
    proceed(keeper, trace, outcome, false).await
}

/// The answer to everybody, if records may be lost. It leaves no record: nothing may be added to a
/// trail that may not be the one that it was.
fn halted(app: &App) -> Option<Response> {
    app.anchors.halted()?;
    let id = entropy::new_id();
    let mut answer = problem::response(&Failure::RolledBack, id);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        answer.headers_mut().insert(headers::X_REQUEST_ID, id);
    }
    app.metrics.note_refusal("rolled_back");
    Some(answer)
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
#[derive(Debug)]
pub struct Admitted {
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

async fn proceed(app: Arc<App>, trace: Arc<Trace>, outcome: Outcome, reveals: bool) -> Response {
    let mut guard = Guard {
        app: &app,
        trace: &trace,
        is_armed: true,
    };
    let outcome = outcome.await;
    // From here on the record is handed over before anything is waited for.
    guard.is_armed = false;
    finish(&app, &trace, outcome, reveals).await
}

/// Everything that is asked before a permit. Gives the labels of the workspace, where they matter.
async fn decide(
    app: &App,
    admitted: &mut Admitted,
    wants: Wants,
) -> Result<Option<Labels>, Failure> {
    if let Some(failure) = admitted.failed.take() {
        return Err(failure);
    }
    match &admitted.identity {
        Ok(proof) => check_freshness(wants, &admitted.trace, proof)?,
        // Nobody was shown, and nobody is asked for; a credential that is bad is refused here too.
        Err(Denial::NoCredential) if wants.needs == Needs::NoCredential => {}
        // Not even the sign-in page is for what another site asks for in somebody's name.
        Err(Denial::CrossSite) => return Err(Denial::CrossSite.into()),
        // An ended session must not keep its owner from signing in again.
        Err(_) if wants.needs == Needs::NoCredential && admitted.trace.is_page => {}
        Err(denial) => return Err(Failure::Denied(*denial)),
    }
    let trace = &*admitted.trace;
    if trace.is_page {
        check_page(wants, admitted)?;
    }
    let counted = match gives_up(wants.needs, &trace.principal) {
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
    let needs_ledger = app.config.audit != AuditMode::Relaxed || !is_read || wants.reveals();
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
    labels_if_needed(app, trace, trace.workspace, wants.scope).await
}

/// Whether the principal of a request may do `A`.
async fn ask<A: Action>(
    app: &App,
    trace: &Trace,
    (workspace, path): (Option<WorkspaceId>, &str),
) -> Result<Permit<A>, Failure> {
    let labels = labels_if_needed(app, trace, workspace, A::SCOPE).await?;
    permit(trace, (workspace, labels.as_ref()), path)
}

/// The decision. The path is the whole one; the record holds it cut.
fn permit<A: Action>(
    trace: &Trace,
    (workspace, labels): (Option<WorkspaceId>, Option<&Labels>),
    path: &str,
) -> Result<Permit<A>, Failure> {
    let facts = Facts {
        principal: &trace.principal,
        workspace: workspace.map(|id| WorkspaceFacts { id, labels }),
        method: trace.method.as_str(),
        path,
        client: trace.client,
    };
    Ok(authorize::<A>(&facts)?)
}

/// The labels of the workspace, where some layer of the authority selects by labels.
async fn labels_if_needed(
    app: &App,
    trace: &Trace,
    workspace: Option<WorkspaceId>,
    scope: Scope,
) -> Result<Option<Labels>, Failure> {
    let is_about_one = matches!(scope, Scope::Workspace | Scope::InWorkspace);
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
    // The last one takes the rest, where the pattern says so: `{*path}`.
    let count = pattern.split('/').count();
    let pairs = pattern.split('/').zip(path.splitn(count, '/'));
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
        let tile = params(
            "/org/audit/log/tile/{*path}",
            "/org/audit/log/tile/0/x001/234",
        );
        assert_eq!(tile, ["0/x001/234"]);
    }
}
