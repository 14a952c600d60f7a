//! A key at a glance: who it is, how busy it is, where it stands among the others.

use askama::Template;
use claviger_core::{
    action::ReadKeys,
    id::KeyId,
    key::{OrgKey, Overlap},
    time::format_duration,
};
use claviger_store::{DayUse, Line, Page as Part};
use http::StatusCode;

use super::{Head, surroundings};
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Query, Reply},
    ops::{keys, lines},
    web::{
        charts::{Bar, Bars, Tree, TreeRow},
        html::html,
        keys::{
            effective,
            index::{DAY, DAYS, days, href, names_of, workspaces_of},
            status, words,
        },
        layout::Page,
        page,
        parts::{Badge, KeyStatus, Tone},
        time::{When, date},
        who::{self, KeyNames},
    },
};

/// How many keys below it the tree shows.
const BELOW_MAX: u32 = 50;

/// A rotation that lasts.
#[derive(Debug, Clone)]
pub(in crate::web::keys) struct Rotation {
    /// The secret that is replaced.
    pub(in crate::web::keys) old_prefix: String,
    /// When it was.
    pub(in crate::web::keys) replaced: When,
    /// When it ends.
    pub(in crate::web::keys) ends: When,
    /// What may end it earlier, in words; empty for nothing.
    pub(in crate::web::keys) rule: String,
    /// When it was last seen.
    pub(in crate::web::keys) old_seen: Option<When>,
    /// From where.
    pub(in crate::web::keys) old_seen_from: String,
    /// When the new one was last seen.
    pub(in crate::web::keys) new_seen: Option<When>,
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

pub(super) async fn show(
    call: &Call<ReadKeys>,
    id: KeyId,
    query: &Query,
) -> Result<Reply, Failure> {
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
    let stops = key.suspension.iter().map(|stop| &stop.by);
    let ends = key.revocation.iter().map(|end| &end.by);
    let stoppers = who::key_names(call, stops.chain(ends)).await?;
    let from = key.last_use.and_then(|last| last.from);
    let view = Overview {
        owner: who::owner(&call.app, key.org, &key.minter),
        made_by: who::maker(&call.app, key.org, &key.minter),
        grant: words::all_badges(&key.grant),
        place: words::workspaces(&key.grant.workspaces, &known),
        notices: notices(call, &line, &page, &stoppers),
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
fn notices(call: &Call<ReadKeys>, line: &Line, page: &Page, names: &KeyNames) -> Vec<Badge> {
    let (app, key) = (&call.app, &line.key);
    let mut said = Vec::new();
    let by = |actor| who::words(app, key.org, actor, names);
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
pub(in crate::web::keys) fn rotation(app: &App, key: &OrgKey, page: &Page) -> Option<Rotation> {
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
        name: who::words(app, line.key.org, &line.key.minter.root, &KeyNames::new()),
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
