//! Every route, with the action that it needs. Open this first.

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use claviger_core::action::{
    Action, AskForKey, ChangeKey, ChangeWorkspace, CollectKey, CreateWorkspace, DecideRequest,
    DeleteWorkspace, ListSecrets, ListWorkspaces, MakeLoginLink, ManageOrgs, ManagePeople,
    ManageWorkspaceTokens, MintKey, Needs, ReadAudit, ReadChannels, ReadKeys, ReadPeople,
    ReadPolicy, ReadRequests, ReadWorkspace, ReportFound, ResumeKey, RevealSecrets, RevokeKey,
    RotateKey, Scope, SignIn, SignOut, SuspendKey, UseAccount, WhoAmI, WithdrawRequest,
    WriteChannels, WritePolicy, WriteSecrets,
};
use claviger_wire as wire;
use http::{Method, Request};

use crate::{
    api::{
        advice, audit, blast, channels, export, found, github, keys, lines, log, members, orgs,
        policies, requests, rotations, secrets, sign_ins, stream, usage, verify, whoami,
        workspace_tokens, workspaces,
    },
    app::App,
    failure::Failure,
    gate::{self, Call, Handler, Reply, RouteFacts},
    openapi::Doc,
    operation, web,
};

/// Every route that goes through the gate: all but those for operation.
#[rustfmt::skip]
fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);
    let (patch, delete) = (Method::PATCH, Method::DELETE);

    routes.add::<WhoAmI, _, _>(&get, "/org/whoami", whoami::whoami,
        Doc::new("See your own principal and grant").answers::<wire::whoami::WhoAmI>(200));

    routes.add::<MintKey, _, _>(&post, "/org/tokens", keys::mint,
        Doc::new("Mint a key; the one answer that shows its secret").takes::<wire::keys::MintRequest>()
            .headers(&["Idempotency-Key"]).answers::<wire::keys::MintedKey>(201));
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens", keys::list,
        Doc::new("List keys, newest first; live ones unless `status` says otherwise")
            .query(&["status", "q", "created_by", "workspace", "expiring", "limit", "cursor"]).answers::<wire::keys::KeyList>(200));
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens/{id}", keys::get,
        Doc::new("Get a key").answers::<wire::keys::Key>(200));
    routes.add::<ChangeKey, _, _>(&patch, "/org/tokens/{id}", keys::change,
        Doc::new("Change a key's name or metadata, or narrow it").takes::<wire::keys::KeyChange>().answers::<wire::keys::Key>(200));
    routes.add::<RotateKey, _, _>(&post, "/org/tokens/{id}/rotate", rotations::rotate,
        Doc::new("Give a key another secret, shown in this one answer; both work until the overlap ends")
            .takes_optional::<wire::keys::RotationRequest>().answers::<wire::keys::RotatedKey>(200));
    routes.add::<RotateKey, _, _>(&post, "/org/tokens/{id}/rotate/finish", rotations::finish,
        Doc::new("End a rotation: the old secret is refused from now on")
            .takes_optional::<wire::keys::RotationEndRequest>().answers::<wire::keys::Key>(200));
    routes.add::<RotateKey, _, _>(&post, "/org/tokens/{id}/rotate/cancel", rotations::cancel,
        Doc::new("Undo a rotation: the new secret is refused from now on")
            .takes_optional::<wire::keys::RotationEndRequest>().answers::<wire::keys::Key>(200));
    routes.add::<SuspendKey, _, _>(&post, "/org/tokens/{id}/suspend", keys::suspend,
        Doc::new("Suspend a key, and with it what it minted, until it is resumed; with `dry_run`, say what would stop, as `/org/tokens/suspend` does")
            .takes_optional::<wire::keys::SuspensionRequest>().answers::<wire::keys::Key>(200));
    routes.add::<ResumeKey, _, _>(&post, "/org/tokens/{id}/resume", keys::resume,
        Doc::new("Resume a suspended key").takes_optional::<wire::keys::SuspensionRequest>().answers::<wire::keys::Key>(200));
    routes.add::<RevokeKey, _, _>(&delete, "/org/tokens/{id}", keys::revoke,
        Doc::new("Revoke a key and its descendants; a key may always revoke itself")
            .query(&["reason", "cascade"]).answers::<wire::keys::Revocation>(200));
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens/{id}/lineage", lines::lineage,
        Doc::new("Where a key comes from, and what descends from it").query(&["limit", "cursor"])
            .answers::<wire::lines::Lineage>(200));
    routes.add::<SuspendKey, _, _>(&post, "/org/tokens/suspend", lines::suspend,
        Doc::new("Suspend many keys at once; with `dry_run`, say what would stop")
            .takes::<wire::lines::SelectionRequest>().answers::<wire::lines::Selected>(200));
    routes.add::<ResumeKey, _, _>(&post, "/org/tokens/resume", lines::resume,
        Doc::new("Resume many keys at once").takes::<wire::lines::SelectionRequest>().answers::<wire::lines::Selected>(200));
    declare_requests(routes);
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens/{id}/activity", audit::activity,
        Doc::new("See what a key did, request by request, newest first; with `after`, oldest first after a number")
            .query(&["kind", "q", "actor", "workspace", "route", "method", "status", "since", "until", "limit", "cursor", "after"])
            .answers::<wire::ledger::EventList>(200));
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens/{id}/activity/stream", stream::of_key,
        Doc::new("Follow what a key does, as `/org/audit/stream` follows the trail")
            .query(&["kind", "q", "actor", "workspace", "route", "method", "status", "since", "until", "after"])
            .headers(&["Last-Event-ID"]).streams(stream::EVENT_STREAM));
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens/{id}/usage", usage::usage,
        Doc::new("See what a key was used for, and from where").query(&["since", "until", "by"]).answers::<wire::usage::KeyUsage>(200));
    routes.add::<ReadKeys, _, _>(&get, "/org/tokens/{id}/advice", advice::of_key,
        Doc::new("See the narrowest grant that would have served what a key did")
            .query(&["window", "endpoints", "addresses"]).answers::<wire::advice::KeyAdvice>(200));
    routes.add::<ReadAudit, _, _>(&get, "/org/tokens/{id}/blast-radius", blast::radius,
        Doc::new("See what a leaked key could have reached, and what it did").query(&["since"])
            .answers::<wire::blast::BlastRadius>(200));
    declare_workspaces(routes);
    declare_org(routes);
    declare_people(routes);
    declare_reports(routes);
    web::declare(routes);
}

/// People, and how they sign in.
#[rustfmt::skip]
fn declare_people(routes: &mut Routes) {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);

    routes.add::<MakeLoginLink, _, _>(&post, "/org/login-links", sign_ins::make_link,
        Doc::new("Make a link with which one browser signs in to the Canvas, once, within ten minutes")
            .answers::<wire::people::LoginLink>(201));
    routes.add::<SignIn, _, _>(&post, "/oidc/back-channel-logout", sign_ins::back_channel_logout,
        Doc::new("For the identity provider: end what it has signed out (a form with `logout_token`)")
            .answers::<wire::people::SignedOut>(200));
    routes.add::<ReadPeople, _, _>(&get, "/org/members", members::list,
        Doc::new("List the people who have signed in").query(&["limit", "cursor"]).answers::<wire::people::MemberList>(200));
    routes.add::<ReadPeople, _, _>(&get, "/org/members/{id}", members::get,
        Doc::new("Get a person").answers::<wire::people::Member>(200));
    routes.add::<ManagePeople, _, _>(&post, "/org/members/{id}/suspend", members::suspend,
        Doc::new("Suspend a person: sessions end, and the keys that go back to it are refused until it is restored")
            .takes_optional::<wire::people::MemberTurn>().answers::<wire::people::Member>(200));
    routes.add::<ManagePeople, _, _>(&post, "/org/members/{id}/restore", members::restore,
        Doc::new("Restore a person who was suspended or removed").takes_optional::<wire::people::MemberTurn>()
            .answers::<wire::people::Member>(200));
    routes.add::<ManagePeople, _, _>(&delete, "/org/members/{id}", members::remove,
        Doc::new("Remove a person: the keys that go back to it are revoked, or with `hand_over_to` go back to somebody else")
            .query(&["hand_over_to", "reason"]).answers::<wire::people::RemovedMember>(200));
    routes.add::<ReadPeople, _, _>(&get, "/org/members/{id}/sessions", members::sessions,
        Doc::new("List a person's sessions").answers::<wire::people::SessionList>(200));
    routes.add::<ManagePeople, _, _>(&delete, "/org/members/{id}/sessions", members::end_sessions,
        Doc::new("End every session of a person").answers::<wire::people::EndedSessions>(200));
    routes.add::<UseAccount, _, _>(&get, "/org/sessions", members::own_sessions,
        Doc::new("List your own sessions").answers::<wire::people::SessionList>(200));
    routes.add::<SignOut, _, _>(&delete, "/org/sessions", members::end_own_sessions,
        Doc::new("Sign out everywhere").answers::<wire::people::EndedSessions>(200));
    routes.add::<SignOut, _, _>(&delete, "/org/sessions/{id}", members::end_own_session,
        Doc::new("End one of your own sessions").answers::<wire::people::EndedSessions>(200));
}

/// Secrets that were found: these need no credential.
#[rustfmt::skip]
fn declare_reports(routes: &mut Routes) {
    let post = Method::POST;

    routes.add::<ReportFound, _, _>(&post, "/org/tokens/found", found::report,
        Doc::new("Report whole secrets that were found: they are ended, or with `dry_run` only looked at")
            .takes::<wire::found::FoundReport>().answers::<wire::found::FoundTokens>(200));
    routes.add::<ReportFound, _, _>(&post, "/integrations/github/secret-scanning", github::report,
        Doc::new("For GitHub's secret scanning, if it is turned on; the body must be signed by GitHub")
            .headers(&["Github-Public-Key-Identifier", "Github-Public-Key-Signature"])
            .takes::<wire::github::GithubMatches>().answers::<wire::github::GithubVerdicts>(200));
}

/// Ask and approve.
#[rustfmt::skip]
fn declare_requests(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.add::<AskForKey, _, _>(&post, "/org/requests", requests::ask,
        Doc::new("Ask for a key, or for more rights: a new key is made if somebody approves")
            .takes::<wire::requests::KeyAsk>().answers::<wire::requests::KeyRequest>(201));
    routes.add::<ReadRequests, _, _>(&get, "/org/requests", requests::list,
        Doc::new("List requests for keys, newest first: your own, or with `org:admin` those of the org")
            .query(&["status", "limit", "cursor"]).answers::<wire::requests::KeyRequestList>(200));
    routes.add::<ReadRequests, _, _>(&get, "/org/requests/{id}", requests::get,
        Doc::new("Get a request for a key").answers::<wire::requests::KeyRequest>(200));
    routes.add::<DecideRequest, _, _>(&post, "/org/requests/{id}/approve", requests::approve,
        Doc::new("Approve a request, or less than was asked; you become the minter of its key")
            .takes_optional::<wire::requests::ApprovalRequest>().answers::<wire::requests::KeyRequest>(200));
    routes.add::<DecideRequest, _, _>(&post, "/org/requests/{id}/deny", requests::deny,
        Doc::new("Deny a request").takes_optional::<wire::requests::DenialRequest>().answers::<wire::requests::KeyRequest>(200));
    routes.add::<WithdrawRequest, _, _>(&post, "/org/requests/{id}/withdraw", requests::withdraw,
        Doc::new("Take your own request back").takes_optional::<wire::requests::OwnRequestStep>().answers::<wire::requests::KeyRequest>(200));
    routes.add::<CollectKey, _, _>(&post, "/org/requests/{id}/collect", requests::collect,
        Doc::new("Collect the key of your own approved request; the one answer that shows its secret")
            .takes_optional::<wire::requests::OwnRequestStep>().answers::<wire::keys::MintedKey>(201));
}

/// Workspaces and what lies in them.
#[rustfmt::skip]
fn declare_workspaces(routes: &mut Routes) {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let (patch, delete) = (Method::PATCH, Method::DELETE);

    routes.add::<CreateWorkspace, _, _>(&post, "/workspaces", workspaces::create,
        Doc::new("Create a workspace").takes::<wire::workspaces::NewWorkspace>().answers::<wire::workspaces::Workspace>(201));
    routes.add::<ListWorkspaces, _, _>(&get, "/workspaces", workspaces::list,
        Doc::new("List the workspaces that you reach").query(&["limit", "cursor"]).answers::<wire::workspaces::WorkspaceList>(200));
    routes.add::<ReadWorkspace, _, _>(&get, "/workspaces/{id}", workspaces::get,
        Doc::new("Get a workspace").answers::<wire::workspaces::Workspace>(200));
    routes.add::<ChangeWorkspace, _, _>(&patch, "/workspaces/{id}", workspaces::change,
        Doc::new("Change a workspace's name or labels").takes::<wire::workspaces::WorkspaceChange>()
            .answers::<wire::workspaces::Workspace>(200));
    routes.add::<DeleteWorkspace, _, _>(&delete, "/workspaces/{id}", workspaces::delete,
        Doc::new("Delete a workspace with its channels, secrets and tokens").answers::<wire::workspaces::DeletedWorkspace>(200));

    routes.add::<WriteChannels, _, _>(&post, "/workspaces/{id}/channels", channels::create,
        Doc::new("Add a channel; its credentials are sealed and never come back")
            .takes::<wire::channels::NewChannel>().answers::<wire::channels::Channel>(201));
    routes.add::<ReadChannels, _, _>(&get, "/workspaces/{id}/channels", channels::list,
        Doc::new("List channels").query(&["limit", "cursor"]).answers::<wire::channels::ChannelList>(200));
    routes.add::<ReadChannels, _, _>(&get, "/workspaces/{id}/channels/{cid}", channels::get,
        Doc::new("Get a channel").answers::<wire::channels::Channel>(200));
    routes.add::<WriteChannels, _, _>(&patch, "/workspaces/{id}/channels/{cid}", channels::change,
        Doc::new("Change a channel").takes::<wire::channels::ChannelChange>().answers::<wire::channels::Channel>(200));
    routes.add::<WriteChannels, _, _>(&delete, "/workspaces/{id}/channels/{cid}", channels::delete,
        Doc::new("Delete a channel").answers::<wire::channels::Deleted>(200));

    routes.add::<WriteSecrets, _, _>(&post, "/workspaces/{id}/secrets", secrets::put,
        Doc::new("Set a secret").takes::<wire::secrets::NewSecret>().answers::<wire::secrets::Secret>(201));
    routes.add::<WriteSecrets, _, _>(&put, "/workspaces/{id}/secrets", secrets::put,
        Doc::new("Set a secret").takes::<wire::secrets::NewSecret>().answers::<wire::secrets::Secret>(200));
    routes.add::<ListSecrets, _, _>(&get, "/workspaces/{id}/secrets", secrets::list,
        Doc::new("List the names of secrets").query(&["limit", "cursor"]).answers::<wire::secrets::SecretList>(200));
    routes.add::<RevealSecrets, _, _>(&get, "/workspaces/{id}/secrets/values", secrets::reveal,
        Doc::new("Read the values of secrets").answers::<wire::secrets::SecretValues>(200));
    routes.add::<WriteSecrets, _, _>(&delete, "/workspaces/{id}/secrets/{key}", secrets::delete,
        Doc::new("Delete a secret").answers::<wire::channels::Deleted>(200));

    routes.add::<ManageWorkspaceTokens, _, _>(&post, "/workspaces/{id}/tokens", workspace_tokens::mint,
        Doc::new("Deprecated: make a workspace token").takes_optional::<wire::workspaces::NewWorkspaceToken>()
            .answers::<wire::workspaces::MintedWorkspaceToken>(201));
    routes.add::<ManageWorkspaceTokens, _, _>(&get, "/workspaces/{id}/tokens", workspace_tokens::list,
        Doc::new("Deprecated: list workspace tokens").query(&["limit", "cursor"]).answers::<wire::workspaces::WorkspaceTokenList>(200));
    routes.add::<ManageWorkspaceTokens, _, _>(&delete, "/workspaces/{id}/tokens/{tid}", workspace_tokens::revoke,
        Doc::new("Revoke a workspace token").answers::<wire::workspaces::RevokedWorkspaceToken>(200));
}

/// The audit trail, and the orgs themselves.
#[rustfmt::skip]
fn declare_org(routes: &mut Routes) {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);

    routes.add::<ReadPolicy, _, _>(&get, "/org/policy", policies::get,
        Doc::new("Read the org's policy").answers::<wire::policy::Policy>(200));
    routes.add::<WritePolicy, _, _>(&put, "/org/policy", policies::put,
        Doc::new("Set the org's policy, whole; with `dry_run=true`, say what it would do").query(&["dry_run"])
            .takes::<wire::policy::Policy>().answers::<wire::policy::PolicyEffect>(200));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit", audit::query,
        Doc::new("Read the audit trail, newest first; with `after`, oldest first after a number")
            .query(&["kind", "q", "actor", "token", "under", "about", "workspace", "route", "method", "status", "since", "until", "limit", "cursor", "after"])
            .answers::<wire::ledger::EventList>(200));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/stream", stream::of_trail,
        Doc::new("Follow the audit trail: an event for each record, its number for an id; the event `end` says why it ends")
            .query(&["kind", "q", "actor", "token", "under", "about", "workspace", "route", "method", "status", "since", "until", "after"])
            .headers(&["Last-Event-ID"]).streams(stream::EVENT_STREAM));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/export", export::export,
        Doc::new("Export the audit trail, oldest first: the exact bytes (`jsonl`), or as `csv`, `ocsf` or `cloudevents`")
            .query(&["kind", "q", "actor", "token", "under", "about", "workspace", "route", "method", "status", "since", "until", "format", "after"]).streams("application/jsonl"));
    declare_log(routes);

    routes.add::<ReadKeys, _, _>(&get, "/org/advice", advice::of_org,
        Doc::new("List the keys that should be looked at: never used, idle, over-broad, without an end")
            .query(&["unused_for", "idle_for", "limit", "cursor"]).answers::<wire::advice::OrgAdvice>(200));

    routes.add::<ManageOrgs, _, _>(&post, "/admin/orgs", orgs::create,
        Doc::new("Create an org").takes::<wire::orgs::NewOrg>().answers::<wire::orgs::Org>(201));
    routes.add::<ManageOrgs, _, _>(&get, "/admin/orgs", orgs::list,
        Doc::new("List orgs").query(&["limit", "cursor"]).answers::<wire::orgs::OrgList>(200));
    routes.add::<ManageOrgs, _, _>(&delete, "/admin/orgs/{id}", orgs::delete,
        Doc::new("Delete an org: its keys are refused from then on").answers::<wire::orgs::DeletedOrg>(200));
}

/// The audit trail as a log that outsiders verify.
#[rustfmt::skip]
fn declare_log(routes: &mut Routes) {
    let get = Method::GET;

    routes.add::<ReadAudit, _, _>(&get, "/org/audit/checkpoint", log::checkpoint,
        Doc::new("Get the signed size and root hash of the audit trail as it is now (C2SP tlog-checkpoint); with `cosigned=true` the newest that witnesses have signed too")
            .query(&["cosigned"]).streams(log::NOTE));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/key", log::keys,
        Doc::new("Get the public keys that sign the audit trail").answers::<wire::ledger::LogKeys>(200));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/proof", log::proof,
        Doc::new("Prove that the record `seq` is in the trail of `size` records, or that the trail of `from` is the beginning of the one of `to`")
            .query(&["seq", "size", "from", "to"]).answers::<wire::ledger::LogProof>(200));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/log/checkpoint", log::checkpoint,
        Doc::new("The same checkpoint, where tools for C2SP tlog-tiles look for it").query(&["cosigned"]).streams(log::NOTE));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/log/tile/{*path}", log::tile,
        Doc::new("Get a tile of hashes (`<L>/<N>`) or of records (`entries/<N>`), with `.p/<W>` if it is not full (C2SP tlog-tiles)")
            .streams(log::TILE));
    routes.add::<ReadAudit, _, _>(&get, "/org/audit/verify", verify::verify,
        Doc::new("Look at the trail as it is kept: records, tree, checkpoints, and every column beside them; a line for each finding, the verdict last")
            .streams("application/jsonl"));
}

/// The routes that need no credential. This list may only shrink.
pub const OPEN_ROUTES: &[(&str, &str)] = &[
    ("/healthz", "The process runs"),
    ("/readyz", "Requests can be authenticated"),
    (
        "/metrics",
        "Counters for Prometheus; on the main address for loopback peers alone",
    ),
    ("/openapi.json", "This document"),
    ("/docs", "This document as a page"),
    ("/docs/{file}", "The parts of that page"),
    (
        "/canvas/assets/{file}",
        "Styles, scripts and icons of the Canvas",
    ),
];

/// A route as data: for the reference, and for the table that the tests hold against every tier.
#[derive(Debug, Clone)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The pattern of the path.
    pub path: &'static str,
    /// The name of the action.
    pub action: &'static str,
    /// What the action needs.
    pub needs: Needs,
    /// What the action is about.
    pub scope: Scope,
    /// Whether it is a page of the Canvas: no part of the API.
    pub is_page: bool,
    pub(crate) doc: Doc,
}

/// Routes with their declarations. A handler of another action than the declared one does not fit,
/// and there is no way to add a handler without an action.
#[derive(Debug, Default)]
pub struct Routes {
    infos: Vec<RouteInfo>,
    router: Router<Arc<App>>,
}

impl Routes {
    fn add<A, F, Fut>(&mut self, method: &Method, path: &'static str, handler: F, doc: Doc)
    where
        A: Action,
        F: Fn(Call<A>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        let facts = RouteFacts {
            path,
            is_page: false,
        };
        self.place::<A>(method, facts, Handler::of(handler), doc);
    }

    /// Adds a page of the Canvas: it is for people, its failures are pages, and no part of the API.
    pub(crate) fn page<A, F, Fut>(&mut self, method: &Method, path: &'static str, handler: F)
    where
        A: Action,
        F: Fn(Call<A>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        let facts = RouteFacts {
            path,
            is_page: true,
        };
        self.place::<A>(method, facts, Handler::of(handler), Doc::new(""));
    }

    fn place<A: Action>(&mut self, method: &Method, facts: RouteFacts, handler: Handler, doc: Doc) {
        let RouteFacts { path, is_page } = facts;
        let Ok(filter) = MethodFilter::try_from(method.clone()) else {
            return;
        };
        let endpoint = endpoint(filter, facts, handler);
        self.router = std::mem::take(&mut self.router).route(path, endpoint);
        self.infos.push(RouteInfo {
            method: method.clone(),
            path,
            action: A::NAME,
            needs: A::NEEDS,
            scope: A::SCOPE,
            is_page,
            doc,
        });
    }
}

fn endpoint(filter: MethodFilter, facts: RouteFacts, handler: Handler) -> MethodRouter<Arc<App>> {
    on(
        filter,
        move |State(app): State<Arc<App>>, request: Request<Body>| {
            gate::serve(app, facts, handler.clone(), request)
        },
    )
}

/// Every route of the API that goes through the gate, in the order of its declaration.
#[must_use]
pub fn routes() -> Vec<RouteInfo> {
    let mut routes = Routes::default();
    declare(&mut routes);
    routes.infos.retain(|route| !route.is_page);
    routes.infos
}

/// Every page of the Canvas, and every form on one.
#[must_use]
pub fn pages() -> Vec<RouteInfo> {
    let mut routes = Routes::default();
    declare(&mut routes);
    routes.infos.retain(|route| route.is_page);
    routes.infos
}

/// The whole service as a router.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut routes = Routes::default();
    declare(&mut routes);
    let infos = Arc::new(routes.infos);
    let not_allowed = {
        let infos = Arc::clone(&infos);
        move |State(app): State<Arc<App>>, request: Request<Body>| {
            let allowed = allowed_methods(&infos, request.uri().path());
            no_method(app, allowed, request)
        }
    };
    routes
        .router
        .merge(operation::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(not_allowed)
        .with_state(app)
}

/// Nothing is at this path. A person who asked with a browser is told so on a page, and led on from
/// the root.
async fn no_route(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    if !web::is_navigation(&request) || web::is_page(path) {
        return gate::refuse(app, Failure::NoRoute, request).await;
    }
    if path == "/" {
        return web::to_the_canvas();
    }
    let theme = web::layout::Theme::of(request.headers());
    let answer = gate::refuse(app, Failure::NoRoute, request).await;
    web::no_such_page(theme, answer)
}

async fn no_method(app: Arc<App>, allowed: String, request: Request<Body>) -> Response {
    gate::refuse(app, Failure::NoMethod(allowed), request).await
}

/// The methods that the routes of this path take.
fn allowed_methods(infos: &[RouteInfo], path: &str) -> String {
    let matches = |pattern: &str| {
        let count = pattern.split('/').count();
        // `{*path}` takes the rest.
        let given: Vec<_> = if pattern.contains("{*") {
            path.splitn(count, '/').collect()
        } else {
            path.split('/').collect()
        };
        let mut pairs = pattern.split('/').zip(&given);
        given.len() == count && pairs.all(|(mine, given)| mine.starts_with('{') || mine == *given)
    };
    let matching: Vec<_> = infos.iter().filter(|info| matches(info.path)).collect();
    // Of `/org/tokens/found` and `/org/tokens/{id}` the router takes the plainer.
    let braces = |info: &RouteInfo| info.path.matches('{').count();
    let fewest = matching.iter().map(|info| braces(info)).min();
    let mut methods: Vec<&str> = matching
        .iter()
        .filter(|info| Some(braces(info)) == fewest)
        .map(|info| info.method.as_str())
        .collect();
    if methods.is_empty() || methods.contains(&"GET") {
        methods.extend(["GET", "HEAD"]);
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}
