//! `/canvas/keys/{id}`: everything that is known of one key, in views that are asked for one by one.

use askama::Template;
use claviger_core::{
    action::{Action, ChangeKey, ReadAudit, ReadKeys, ResumeKey, SuspendKey},
    id::KeyId,
    key::{OrgKey, Overlap},
    permission::Permission,
    time::format_duration,
};
use claviger_store::{AuditFilter, DayUse, Line, Page as Part};
use http::StatusCode;

use super::{
    effective::{self, Effective},
    events::{self, EventPart, HAS_STREAM},
    index::{DAY, DAYS, days, href, names_of, workspaces_of},
    list::PATH,
    status, words,
};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::{
        advice::{self, Asked, Judged},
        audit::{self, Order},
        keys, lines,
    },
    web::{
        charts::{Bar, Bars, Tree, TreeRow},
        html::html,
        layout::{Nav, Page},
        names, page,
        parts::{Badge, KeyStatus, Tab, Tone},
        time::{When, date, thousands},
    },
};

/// How many keys below it the tree shows.
const BELOW_MAX: u32 = 50;
/// How many records a part of a trail shows.
const ROWS: u32 = 50;
/// How many routes are listed.
const ROUTES_MAX: usize = 20;

/// What every view of a key begins with.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// What it is now.
    pub status: KeyStatus,
    /// Its page.
    pub href: String,
    /// The views.
    pub tabs: Vec<Tab>,
    /// The reader may change it.
    pub may_change: bool,
    /// The reader may rotate it.
    pub may_rotate: bool,
    /// The reader may suspend it.
    pub may_suspend: bool,
    /// The reader may resume it.
    pub may_resume: bool,
    /// The reader may revoke it.
    pub may_revoke: bool,
    /// The reader may see what it reaches.
    pub may_see_reach: bool,
}

impl Head {
    /// A page below that of the key.
    #[must_use]
    pub fn to(&self, page: &str) -> String {
        format!("{}/{page}", self.href)
    }
}

/// A rotation that lasts.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The secret that is replaced.
    pub old_prefix: String,
    /// When it was.
    pub replaced: When,
    /// When it ends.
    pub ends: When,
    /// What may end it earlier, in words; empty for nothing.
    pub rule: String,
    /// When it was last seen.
    pub old_seen: Option<When>,
    /// From where.
    pub old_seen_from: String,
    /// When the new one was last seen.
    pub new_seen: Option<When>,
}

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_overview.html")]
struct Overview {
    page: Page,
    head: Head,
    owner: String,
    made_by: String,
    made_by_label: String,
    created: When,
    secret_since: When,
    last_used: Option<When>,
    last_used_from: String,
    expires: Option<When>,
    /// Name, value, and both as a list is filtered by them.
    tags: Vec<(String, String, String)>,
    grant: Vec<Badge>,
    place: (String, String),
    /// Why it is as it is, in sentences with a tone.
    notices: Vec<Badge>,
    rotation: Option<Rotation>,
    bars: Bars,
    tree: Tree,
    has_more_below: bool,
    waits: bool,
    rotation_due: Option<When>,
}

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_access.html")]
struct Access {
    page: Page,
    head: Head,
    grant: Vec<Badge>,
    effective: Effective,
}

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_events.html")]
struct EventsPage {
    page: Page,
    head: Head,
    title: &'static str,
    empty: (&'static str, &'static str),
    is_changes: bool,
    /// The reader may not see it.
    is_closed: bool,
    part: EventPart,
}

#[derive(Debug, Template)]
#[template(path = "canvas/keys/key_advice.html")]
struct AdvicePage {
    page: Page,
    head: Head,
    concerns: Vec<(String, String)>,
    window: (When, u64),
    /// A grant that would have been enough, in badges and lines; empty when it is what it holds.
    suggestion: Option<Suggestion>,
    used: Vec<UsedRoute>,
    unused: Vec<String>,
    cannot_say: bool,
}

/// A narrower grant.
#[derive(Debug)]
struct Suggestion {
    permissions: Vec<String>,
    lines: Vec<String>,
    refused: u64,
    href: String,
}

impl Suggestion {
    fn warning(&self) -> String {
        let calls = thousands(self.refused);
        format!("Before that time it made {calls} calls that this would have refused.")
    }
}

/// A route that was used.
#[derive(Debug)]
struct UsedRoute {
    method: String,
    route: String,
    calls: String,
}

/// `GET /canvas/keys/{id}`.
///
/// # Errors
/// 404, 503, 400 for a query that is not ours.
pub(in crate::web) async fn show(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let id: KeyId = call.id(0, "key")?;
    let query = call.query(&["tab", "cursor", "done"])?;
    match query.get("tab").unwrap_or_default() {
        "" | "overview" => overview(&call, id, &query).await,
        "access" => access(&call, id).await,
        "advice" => advice_of(&call, id).await,
        "activity" | "refused" | "changes" => trail(&call, id, &query).await,
        _ => Err(Failure::NotFound("page")),
    }
}

/// What surrounds a page about a key.
pub(super) async fn surroundings<A: Action>(
    call: &Call<A>,
    key: &OrgKey,
    tab: &str,
) -> Result<(Page, Head), Failure> {
    let mut page = page::of(call, &key.name, Nav::Keys).below("Org API Keys", PATH);
    page.now = clock::now();
    let head = head(call, key, (&page, tab)).await?;
    Ok((page, head))
}

async fn head<A: Action>(
    call: &Call<A>,
    key: &OrgKey,
    (page, tab): (&Page, &str),
) -> Result<Head, Failure> {
    let status = status::of_key(&call.app, key, page.now);
    let is_over = status == KeyStatus::Revoked;
    let is_suspended = status == KeyStatus::Suspended;
    let may_stop = !is_over && call.may::<SuspendKey>(None).await?;
    let may_mint = !is_over && call.may::<ChangeKey>(None).await?;
    let href = href(key.id);
    let view = |name: &str, label: &str| Tab {
        label: label.to_owned(),
        href: if name.is_empty() {
            href.clone()
        } else {
            format!("{href}?tab={name}")
        },
        count: None,
        is_current: name == tab,
    };
    Ok(Head {
        tabs: vec![
            view("", "Overview"),
            view("access", "Access"),
            view("activity", "Activity"),
            view("refused", "Refused"),
            view("changes", "Changes"),
            view("advice", "Advice"),
        ],
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        status,
        may_change: may_mint,
        may_rotate: may_mint && call.permit.has(Permission::TokensMint),
        may_suspend: may_stop && !is_suspended,
        may_resume: is_suspended && call.may::<ResumeKey>(None).await?,
        may_revoke: may_stop,
        may_see_reach: call.may::<ReadAudit>(None).await?,
        href,
    })
}

async fn overview(call: &Call<ReadKeys>, id: KeyId, query: &Query) -> Result<Reply, Failure> {
    let part = Part {
        after: None,
        limit: BELOW_MAX + 1,
    };
    let mut line = lines::lineage(&call.app, &call.permit, id, part).await?;
    let most = usize::try_from(BELOW_MAX).unwrap_or(usize::MAX);
    let has_more_below = line.below.len() > most;
    line.below.truncate(most);
    call.app.flush_usage().await?;
    let (mut page, head) = surroundings(call, &line.key, "").await?;
    page.flash = page::flash(query.get("done"));
    let span = days(page.now);
    let used = call.app.store.usage_by_day(call.org(), &[id], span).await?;
    let known = names_of(&workspaces_of(call).await?);
    let key = &line.key;
    let from = key.last_use.and_then(|last| last.from);
    let view = Overview {
        owner: names::of_owner(&call.app, key.org, &key.minter),
        made_by: names::of_maker(&call.app, key.org, &key.minter),
        grant: words::badges(&key.grant),
        place: words::workspaces(&key.grant.workspaces, &known),
        notices: notices(call, &line, &page),
        rotation: rotation(&call.app, key, &page),
        bars: bars(&used, &page),
        tree: tree(call, &line, &page),
        waits: key.last_use.is_none() && head.status == KeyStatus::Active,
        rotation_due: key.rotation_due_at().map(|at| page.when(at)),
        made_by_label: key.minter.created_by.to_string(),
        created: page.when(key.created_at),
        secret_since: page.when(key.secret.since),
        last_used: key.last_use.map(|last| page.when(last.at)),
        last_used_from: from.map(|from| from.to_string()).unwrap_or_default(),
        expires: key.expires_at.map(|at| page.when(at)),
        tags: key
            .metadata
            .iter()
            .map(|(name, value)| (name.clone(), value.clone(), format!("{name}={value}")))
            .collect(),
        has_more_below,
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}

/// Why a key is as it is.
fn notices(call: &Call<ReadKeys>, line: &Line, page: &Page) -> Vec<Badge> {
    let (app, key) = (&call.app, &line.key);
    let mut said = Vec::new();
    let by = |actor| names::of_actor(app, key.org, actor);
    let because = |reason: &Option<String>| match reason {
        Some(reason) => format!(" Reason: {reason}"),
        None => String::new(),
    };
    if let Some(end) = &key.revocation {
        let when = page.when(end.at).words();
        let text = format!("Revoked {when} by {}.{}", by(&end.by), because(&end.reason));
        said.push(Badge::new(Tone::Bad, text));
        return said;
    }
    if let Some(stop) = &key.suspension {
        let when = page.when(stop.at).words();
        let text = format!(
            "Suspended {when} by {}.{}",
            by(&stop.by),
            because(&stop.reason)
        );
        said.push(Badge::new(Tone::Warn, text));
        return said;
    }
    let effective = effective::of(app, line, (page.now, &words::WorkspaceNames::new()));
    if !effective.refused_because.is_empty() {
        let text = format!("It is refused now. {}", effective.refused_because);
        said.push(Badge::new(Tone::Bad, text));
    }
    if let Some(end) = key.expires_at
        && end > page.now
        && end <= page.now.plus(status::EXPIRING)
    {
        let text = format!("It ends on {}. Mint its successor before that.", date(end));
        said.push(Badge::new(Tone::Warn, text));
    }
    said
}

/// The rotation that lasts, if one does.
pub(super) fn rotation(app: &crate::app::App, key: &OrgKey, page: &Page) -> Option<Rotation> {
    let (old, digest) = app.old_secrets.get(key.id)?;
    let end = status::old_end(app, key.id)?;
    if end <= page.now || key.revocation.is_some() {
        return None;
    }
    let slot = app.keys.find(&digest)?;
    let seen = keys::newest_use(app, &slot, old.last_use);
    let from = seen.and_then(|seen| seen.from);
    Some(Rotation {
        old_prefix: old.prefix.to_string(),
        replaced: page.when(old.replaced_at),
        ends: page.when(end),
        rule: match old.overlap {
            Overlap::Fixed => String::new(),
            Overlap::OnFirstUse(span) => {
                format!(
                    "{} after the new secret is first used",
                    format_duration(span)
                )
            }
            Overlap::WhenQuiet(span) => {
                format!("once it was quiet for {}", format_duration(span))
            }
        },
        old_seen: seen.map(|seen| page.when(seen.at)),
        old_seen_from: from.map(|from| from.to_string()).unwrap_or_default(),
        new_seen: key.secret.last_use.map(|seen| page.when(seen.at)),
    })
}

fn bars(used: &[DayUse], page: &Page) -> Bars {
    let since = days(page.now).since;
    let bar = |at: usize| {
        let at = u32::try_from(at).unwrap_or(0);
        let day = since.plus(DAY * at);
        let of = used.iter().find(|one| one.day == day);
        let label = date(day);
        // The year says nothing within thirty days.
        let label = label.rsplit_once(' ').map_or("", |(day, _)| day);
        Bar {
            label: label.to_owned(),
            good: of.map_or(0, |one| one.calls),
            refused: of.map_or(0, |one| one.refusals),
        }
    };
    Bars {
        title: "Calls in 30 days".to_owned(),
        bars: (0..DAYS).map(bar).collect(),
    }
}

fn tree(call: &Call<ReadKeys>, line: &Line, page: &Page) -> Tree {
    let app = &call.app;
    let row = |key: &OrgKey, depth: usize| TreeRow {
        depth,
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        href: href(key.id),
        status: Some(status::of_key(app, key, page.now)),
        last_used: key.last_use.map(|last| page.when(last.at)),
        is_current: key.id == line.key.id,
    };
    let root = TreeRow {
        depth: 0,
        name: names::of_actor(app, line.key.org, &line.key.minter.root),
        prefix: String::new(),
        href: String::new(),
        status: None,
        last_used: None,
        is_current: false,
    };
    let mut rows = vec![root];
    let above = line.above.iter().rev();
    for (at, key) in above.chain([&line.key]).enumerate() {
        rows.push(row(key, at + 1));
    }
    push_below(
        line,
        (line.key.id, line.above.len() + 2),
        &mut |key, depth| {
            rows.push(row(key, depth));
        },
    );
    Tree { rows }
}

/// Each key before those that it made.
fn push_below(line: &Line, (parent, depth): (KeyId, usize), push: &mut impl FnMut(&OrgKey, usize)) {
    for key in line.below.iter().filter(|key| key.parent() == Some(parent)) {
        push(key, depth);
        push_below(line, (key.id, depth + 1), push);
    }
}

async fn access(call: &Call<ReadKeys>, id: KeyId) -> Result<Reply, Failure> {
    let part = Part {
        after: None,
        limit: 1,
    };
    let line = lines::lineage(&call.app, &call.permit, id, part).await?;
    let (page, head) = surroundings(call, &line.key, "access").await?;
    let known = names_of(&workspaces_of(call).await?);
    let view = Access {
        grant: words::badges(&line.key.grant),
        effective: effective::of(&call.app, &line, (page.now, &known)),
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}

async fn trail(call: &Call<ReadKeys>, id: KeyId, query: &Query) -> Result<Reply, Failure> {
    let key = keys::get(&call.app, &call.permit, id).await?;
    let tab = query.get("tab").unwrap_or_default();
    let after = query.parse::<u64>("cursor", "the number of a record")?;
    let (page, head) = surroundings(call, &key, tab).await?;
    let part = (Order::NewestFirst, Part { after, limit: ROWS });
    let refused = (tab == "refused").then_some((400, 499));
    let found = if tab == "changes" {
        let filter = AuditFilter {
            about: Some(id),
            ..AuditFilter::default()
        };
        match call.ask::<ReadAudit>(None).await {
            Ok(permit) => Some(audit::page(&call.app, &permit, filter, part).await?),
            Err(Failure::Denied(_)) => None,
            Err(other) => return Err(other),
        }
    } else {
        let filter = AuditFilter {
            status: refused,
            ..AuditFilter::default()
        };
        Some(audit::activity(&call.app, &call.permit, id, filter, part).await?)
    };
    let known = names_of(&workspaces_of(call).await?);
    let address = format!("{}?tab={tab}", head.href);
    let mut shown = found.as_ref().map_or_else(EventPart::default, |found| {
        events::part(
            &call.app,
            &page,
            (found, &known),
            (&address, after.is_none()),
        )
    });
    if after.is_none() && tab == "activity" && *HAS_STREAM {
        shown.live = format!("/org/tokens/{id}/activity/stream");
    }
    let (title, empty) = match tab {
        "activity" => (
            "Activity",
            (
                "No call yet",
                "What the key does is listed here, request by request.",
            ),
        ),
        "refused" => (
            "Refused calls",
            (
                "Nothing was refused",
                "Calls that the key was not let do are listed here.",
            ),
        ),
        _ => (
            "Changes of this key",
            (
                "No change is recorded",
                "What is done to the key is listed here.",
            ),
        ),
    };
    let view = EventsPage {
        is_changes: tab == "changes",
        is_closed: found.is_none(),
        part: shown,
        title,
        empty,
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}

async fn advice_of(call: &Call<ReadKeys>, id: KeyId) -> Result<Reply, Failure> {
    let asked = Asked {
        window: DAY * 30,
        wants_endpoints: false,
        wants_addresses: false,
    };
    let judged = advice::of_key(&call.app, &call.permit, id, asked).await?;
    let (page, head) = surroundings(call, &judged.key, "advice").await?;
    let known = names_of(&workspaces_of(call).await?);
    let concerns = judged.concerns.iter();
    let view = AdvicePage {
        concerns: concerns
            .map(|one| {
                let say = crate::web::sentence;
                (say(&one.text()), say(one.remedy()))
            })
            .collect(),
        window: (
            page.when(judged.judged_since),
            judged.used.iter().map(|one| one.calls).sum(),
        ),
        suggestion: suggestion(&judged, (&head.href, &known)),
        used: judged
            .used
            .iter()
            .take(ROUTES_MAX)
            .map(|one| UsedRoute {
                method: one.method.clone(),
                route: one.route.clone(),
                calls: thousands(one.calls),
            })
            .collect(),
        unused: judged.advice.as_ref().map_or_else(Vec::new, |advice| {
            advice.unused.iter().map(ToString::to_string).collect()
        }),
        cannot_say: judged.advice.is_none(),
        page,
        head,
    };
    Ok(html(StatusCode::OK, &view))
}

fn suggestion(
    judged: &Judged,
    (href, known): (&str, &words::WorkspaceNames),
) -> Option<Suggestion> {
    let narrow = &judged.advice.as_ref()?.suggestion;
    if *narrow == judged.key.grant {
        return None;
    }
    let mut lines = Vec::new();
    if narrow.workspaces != judged.key.grant.workspaces {
        let (place, all) = words::workspaces(&narrow.workspaces, known);
        lines.push(if all.is_empty() {
            place
        } else {
            format!("{place}: {all}")
        });
    }
    Some(Suggestion {
        permissions: narrow.permissions.patterns(),
        lines,
        refused: judged.refused.iter().map(|row| row.calls).sum(),
        href: format!("{href}/edit?advice=on"),
    })
}
