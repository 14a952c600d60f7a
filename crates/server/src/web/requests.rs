//! Requests for keys: the inbox, one request, and what is decided.

mod decide;

use askama::Template;
use claviger_core::{
    action::{CollectKey, DecideRequest, ReadRequests, WithdrawRequest},
    id::RequestId,
    request::{Asker, KeyRequest, Lifetime, Status},
    time::Timestamp,
};
use claviger_store::RequestFilter;
use http::{Method, StatusCode};

use self::decide::Fields;

use super::{
    fault::Fault,
    grants::{self, GrantWords},
    html,
    layout::{Nav, Page},
    mint::base_url,
    page,
    parts::{Pager, Tab, Tone},
    shown::Shown,
    time::{When, date},
    who::{self, KeyNames},
};
use crate::{
    api::{keys::next_cursor, requests as api},
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::requests,
    router::Routes,
};

/// The path of the inbox.
const PATH: &str = "/canvas/requests";

/// The inbox.
#[derive(Debug, Template)]
#[template(path = "canvas/requests/list.html")]
struct RequestsPage {
    page: Page,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    pager: Pager,
    is_pending: bool,
}

/// A request as a row.
#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    asked_by: String,
    asked_by_label: String,
    asked_at: When,
    justification: String,
    asks_for: String,
    status: Status,
    tone: &'static str,
    ends: When,
}

/// One request.
#[derive(Debug, Template)]
#[template(path = "canvas/requests/one.html")]
struct RequestPage {
    page: Page,
    request: KeyRequest,
    status: Status,
    tone: &'static str,
    asked_by: String,
    asked_at: When,
    ends: When,
    lifetime: String,
    words: GrantWords,
    decided_by: String,
    decided_at: Option<When>,
    /// What was approved, where that is less than what was asked.
    approved: Option<(GrantWords, String)>,
    fields: Fields,
    fault: Fault,
    is_own: bool,
    may_decide: bool,
}

/// The key of a request, with its secret.
#[derive(Template)]
#[template(path = "canvas/requests/collected.html")]
struct CollectedPage {
    page: Page,
    shown: Shown,
    href: String,
}

/// Which requests a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Pending,
    Approved,
    Closed,
    Own,
}

impl View {
    const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Closed, Self::Own];

    const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Closed => "closed",
            Self::Own => "own",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Approved => "To be collected",
            Self::Closed => "Closed",
            Self::Own => "Your own",
        }
    }

    fn statuses(self) -> Vec<Status> {
        match self {
            Self::Pending => vec![Status::Pending],
            Self::Approved => vec![Status::Approved],
            Self::Closed => vec![
                Status::Denied,
                Status::Expired,
                Status::Withdrawn,
                Status::Collected,
            ],
            Self::Own => Status::ALL.to_vec(),
        }
    }

    fn href(self) -> String {
        match self {
            Self::Pending => PATH.to_owned(),
            other => format!("{PATH}?show={}", other.word()),
        }
    }
}

/// The pages of requests for keys, and their forms.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ReadRequests, _, _>(&get, "/canvas/requests", list);
    routes.page::<ReadRequests, _, _>(&get, "/canvas/requests/{id}", one);
    routes.page::<DecideRequest, _, _>(&post, "/canvas/requests/{id}/approve", approve);
    routes.page::<DecideRequest, _, _>(&post, "/canvas/requests/{id}/deny", deny);
    routes.page::<WithdrawRequest, _, _>(&post, "/canvas/requests/{id}/withdraw", withdraw);
    routes.page::<CollectKey, _, _>(&post, "/canvas/requests/{id}/collect", collect);
}

/// `GET /canvas/requests`.
async fn list(call: Call<ReadRequests>) -> Result<Reply, Failure> {
    let query = call.query(&["show", "cursor", "limit", "done"])?.filled();
    let shown = query.get("show").unwrap_or(View::Pending.word());
    let view = View::ALL.into_iter().find(|view| view.word() == shown);
    let view = view.ok_or(Failure::NotFound("page"))?;
    let part = query.page::<RequestId>()?;
    let mut page = page::of(&call, "Requests", Nav::Requests);
    page.flash = page::flash(query.get("done"));
    let asker = match view {
        View::Own => Some(Asker::of(call.permit.principal())),
        View::Pending | View::Approved | View::Closed => requests::seen(&call.permit, &call.trace),
    };
    let filter = RequestFilter {
        statuses: view.statuses(),
        now: page.now,
        asker: asker.map(|asker| asker.to_string()),
    };
    let (limit, is_first) = (part.limit, part.after.is_none());
    let place = call.app.scan_place().await?;
    let found = call
        .app
        .store
        .list_requests(call.org(), filter, part)
        .await?;
    drop(place);
    let names = who::key_names(&call, found.iter().map(|one| &one.asked_by)).await?;
    let next = next_cursor(&found, limit, |request| request.id.to_string());
    let first = view.href();
    let join = if first.contains('?') { '&' } else { '?' };
    let page = RequestsPage {
        tabs: tabs(view, page.requests_waiting),
        rows: found
            .iter()
            .map(|one| Row::of(&call.app, one, &names, &page))
            .collect(),
        pager: Pager {
            shown: u64::try_from(found.len()).unwrap_or(u64::MAX),
            total: None,
            next: next.map(|next| format!("{first}{join}cursor={next}")),
            first: (!is_first).then_some(first),
        },
        is_pending: view == View::Pending,
        page,
    };
    Ok(html::html(StatusCode::OK, &page))
}

fn tabs(current: View, waiting: u64) -> Vec<Tab> {
    let tab = |view: View| Tab {
        label: view.label().to_owned(),
        href: view.href(),
        count: (view == View::Pending && waiting > 0).then_some(waiting),
        is_current: view == current,
    };
    View::ALL.into_iter().map(tab).collect()
}

impl Row {
    fn of(app: &App, request: &KeyRequest, names: &KeyNames, page: &Page) -> Self {
        let status = request.status(page.now);
        Self {
            id: request.id.to_string(),
            name: request.wanted.name.clone(),
            asked_by: who::words(app, request.org, &request.asked_by, names),
            asked_by_label: request.asked_by.to_string(),
            asked_at: page.when(request.asked_at),
            justification: request.justification.clone(),
            asks_for: grants::brief(&request.wanted.grant),
            tone: tone(status).as_str(),
            status,
            ends: page.when(request.expires_at),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.status, Status::Pending | Status::Approved)
    }
}

const fn tone(status: Status) -> Tone {
    match status {
        Status::Pending => Tone::Warn,
        Status::Approved => Tone::Info,
        Status::Collected => Tone::Good,
        Status::Denied => Tone::Bad,
        Status::Expired | Status::Withdrawn => Tone::Neutral,
    }
}

/// `GET /canvas/requests/{id}`.
async fn one(call: Call<ReadRequests>) -> Result<Reply, Failure> {
    let query = call.query(&["done"])?;
    let request =
        requests::get(&call.app, &call.permit, call.id(0, "request")?, &call.trace).await?;
    let mut page = page_of(&call, request, None, Fault::default()).await?;
    page.page.flash = page::flash(query.get("done"));
    Ok(html::html(StatusCode::OK, &page))
}

async fn page_of<A: claviger_core::action::Action>(
    call: &Call<A>,
    request: KeyRequest,
    fields: Option<Fields>,
    fault: Fault,
) -> Result<RequestPage, Failure> {
    let page = page::of(call, &request.wanted.name, Nav::Requests).below("Requests", PATH);
    let app = &call.app;
    let names = grants::workspaces(app, request.org, &request.wanted.grant).await?;
    let status = request.status(page.now);
    let approved = request.approved.as_ref().filter(|approved| {
        approved.grant != request.wanted.grant || approved.lifetime != request.wanted.lifetime
    });
    let approved = approved.map(|approved| {
        let words = GrantWords::of(&approved.grant, &names);
        (words, lifetime_words(approved.lifetime, page.now))
    });
    let decision = request.decision.as_ref();
    let deciders = decision.iter().map(|decision| &decision.by);
    let known = who::key_names(call, deciders.chain([&request.asked_by])).await?;
    let is_own = request.asker == Asker::of(call.permit.principal());
    Ok(RequestPage {
        tone: tone(status).as_str(),
        asked_by: who::words(app, request.org, &request.asked_by, &known),
        asked_at: page.when(request.asked_at),
        ends: page.when(request.expires_at),
        lifetime: lifetime_words(request.wanted.lifetime, page.now),
        words: GrantWords::of(&request.wanted.grant, &names),
        decided_by: decision
            .map(|decision| who::words(app, request.org, &decision.by, &known))
            .unwrap_or_default(),
        decided_at: decision.map(|decision| page.when(decision.at)),
        approved,
        fields: fields.unwrap_or_else(|| Fields::of(&request.wanted, &names)),
        may_decide: !is_own && page::may::<DecideRequest>(&call.trace),
        page,
        status,
        fault,
        is_own,
        request,
    })
}

impl RequestPage {
    fn is_pending(&self) -> bool {
        self.status == Status::Pending
    }

    fn is_open(&self) -> bool {
        matches!(self.status, Status::Pending | Status::Approved)
    }

    fn denial_title(&self) -> &'static str {
        if self.is_pending() {
            "Deny"
        } else {
            "Take the approval back"
        }
    }

    /// What is wrong with the note of the form that denies: the other form has one too.
    fn denial_error(&self) -> &str {
        if self.fields.denial.is_empty() {
            ""
        } else {
            self.fault.at("note")
        }
    }

    fn is_approved(&self) -> bool {
        self.status == Status::Approved
    }
}

fn lifetime_words(lifetime: Lifetime, now: Timestamp) -> String {
    match lifetime {
        Lifetime::Open => "as long as whoever approves".to_owned(),
        Lifetime::For(span) => format!(
            "{} from its collection on",
            claviger_core::time::format_duration(span)
        ),
        Lifetime::Until(at) => match (date(at), When::new(at, now).words()) {
            // Far ahead the one is the other.
            (date, words) if date == words => format!("until {date}"),
            (date, words) => format!("until {date} ({words})"),
        },
    }
}

/// `POST /canvas/requests/{id}/approve`.
async fn approve(mut call: Call<DecideRequest>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let form = call.form().await?;
    let found = call.app.store.find_request(call.org(), id).await?;
    let request = found.ok_or(Failure::NotFound("request"))?;
    let fields = Fields::read(&form);
    let outcome = match fields.asked(&request.wanted) {
        Ok(body) => api::approve_as(&call, id, &body, StatusCode::SEE_OTHER).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(written) => {
            Ok(html::see_other(&format!("{PATH}?done=approved")).written(written.receipt))
        }
        Err(failure) => Err(refused(&call, request, fields, failure).await?),
    }
}

/// `POST /canvas/requests/{id}/deny`.
async fn deny(mut call: Call<DecideRequest>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let form = call.form().await?;
    match api::deny_as(&call, id, form.get("reason"), StatusCode::SEE_OTHER).await {
        Ok(written) => Ok(html::see_other(&format!("{PATH}?done=denied")).written(written.receipt)),
        Err(failure) => {
            let found = call.app.store.find_request(call.org(), id).await?;
            let Some(request) = found else {
                return Err(failure);
            };
            let fields = Fields::denying(form.get("reason").unwrap_or_default());
            Err(refused(&call, request, fields, failure).await?)
        }
    }
}

/// The page again, with what is wrong and what was typed.
async fn refused(
    call: &Call<DecideRequest>,
    request: KeyRequest,
    typed: Fields,
    failure: Failure,
) -> Result<Failure, Failure> {
    let Some(fault) = Fault::of(&failure) else {
        return Ok(failure);
    };
    let names = grants::workspaces(&call.app, request.org, &request.wanted.grant).await?;
    let fields = typed.over(&Fields::of(&request.wanted, &names));
    let page = page_of(call, request, Some(fields), fault).await?;
    Ok(html::refused(failure, &page))
}

/// `POST /canvas/requests/{id}/withdraw`.
async fn withdraw(call: Call<WithdrawRequest>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let written = api::withdraw_as(&call, id, StatusCode::SEE_OTHER).await?;
    Ok(html::see_other(&format!("{PATH}?show=own&done=withdrawn")).written(written.receipt))
}

/// `POST /canvas/requests/{id}/collect`: the one page that shows the secret. A request is collected
/// once, so the form that is sent again is told that.
async fn collect(call: Call<CollectKey>) -> Result<Reply, Failure> {
    let id: RequestId = call.id(0, "request")?;
    let minted = requests::collect(&call.app, &call.permit, id, &call.trace).await?;
    let page = page::of(&call, "Your key", Nav::Requests).below("Requests", PATH);
    let page = CollectedPage {
        page,
        href: format!("/canvas/keys/{}", minted.key.id),
        shown: Shown::of(
            &minted.secret,
            &minted.key.name,
            &base_url(&call.app, &call.headers),
        ),
    };
    Ok(html::html(StatusCode::CREATED, &page).written(minted.receipt))
}
