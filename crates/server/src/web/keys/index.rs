//! `/canvas/keys`: from the address of the list to its rows.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use claviger_core::{
    action::{ListWorkspaces, MintKey, ReadKeys, SuspendKey},
    grant::WorkspaceFacts,
    id::{KeyId, WorkspaceId},
    key::{KeyStatus as Kept, OrgKey},
};
use claviger_store::{KeyFilter, Page as Part, Span, Workspace};
use http::StatusCode;

use super::{
    list::{Filters, KeyRow, KeysPage, PATH},
    shelf::{self, Found, Wanted},
    status, words,
    words::WorkspaceNames,
};
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::{keys, workspaces},
    web::{
        charts::Spark,
        html::html,
        layout::{Nav, Page},
        page,
        parts::{Choice, KeyStatus, Pager},
        who,
    },
};

/// How many keys a page shows.
pub(super) const ROWS: u32 = 50;
/// How many keys of one tag are looked at.
const TAGGED_MAX: u32 = 10_000;
/// How many of them are read at once.
const TAGGED_PART: usize = 500;
/// How many workspaces are named, and offered to filter by.
const WORKSPACES_MAX: u32 = 200;
/// The same as a length: a list of so many may not be all of them.
pub(super) const WORKSPACES_SHOWN: usize = 200;
/// How many days a sparkline has.
pub(super) const DAYS: usize = 30;
/// One day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// `GET /canvas/keys`.
///
/// # Errors
/// 400 for a query that is not ours, 503.
pub(in crate::web) async fn list(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let known: Vec<&str> = Filters::NAMES
        .into_iter()
        .chain(["cursor", "done"])
        .collect();
    let query = call.query(&known)?;
    let filters = Filters::read(|name| query.get(name));
    let after = query.parse::<KeyId>("cursor", "the id of a key")?;
    let known = known_to(&call, &filters.workspace).await?;
    let mut found = found(&call, &filters, (after, &known)).await?;
    let mut surroundings = page::of(&call, "Org API Keys", Nav::Keys);
    surroundings.flash = page::flash(query.get("done"));
    let keys = rows_of(&call, &found.ids).await?;
    let rows = shown(&call, &surroundings, (&keys, &known)).await?;
    let tags = tags(&rows);
    let makers = std::mem::take(&mut found.makers);
    let makers = makers.into_iter();
    let view = KeysPage {
        counts: counts(&found),
        creators: makers
            .map(|(label, name)| Choice::new(label, name, &filters.created_by))
            .collect(),
        workspaces: known
            .iter()
            .map(|one| Choice::new(one.id.to_string(), one.name.as_str(), &filters.workspace))
            .collect(),
        tags,
        pager: pager(&filters, &found, after),
        has_keys: found.has_keys || !rows.is_empty() || filters.is_narrow(),
        is_sortable: !found.is_of_store,
        may_mint: page::may::<MintKey>(&call.trace),
        may_stop: page::may::<SuspendKey>(&call.trace),
        page: surroundings,
        rows,
        filters,
    };
    Ok(html(StatusCode::OK, &view))
}

fn workspace_id(text: &str) -> Result<Option<WorkspaceId>, Failure> {
    let id = (!text.is_empty()).then(|| text.parse::<WorkspaceId>());
    id.transpose().map_err(|_malformed| not_ours("workspace"))
}

/// The workspaces of [`workspaces_of`], and beyond them the one that is filtered by: a key that is
/// bound by labels is found by those of the workspace.
async fn known_to(call: &Call<ReadKeys>, filtered: &str) -> Result<Vec<Workspace>, Failure> {
    let mut known = workspaces_of(call).await?;
    let Some(id) = workspace_id(filtered)? else {
        return Ok(known);
    };
    if known.iter().any(|one| one.id == id) || known.len() < WORKSPACES_SHOWN {
        return Ok(known);
    }
    let found = call.app.store.find_workspace(call.org(), id).await?;
    known.extend(found.filter(|found| {
        call.permit.reaches(WorkspaceFacts {
            id,
            labels: Some(&found.labels),
        })
    }));
    Ok(known)
}

/// The workspaces that the reader may see, the first of them.
pub(super) async fn workspaces_of<A: claviger_core::action::Action>(
    call: &Call<A>,
) -> Result<Vec<Workspace>, Failure> {
    let permit = match call.ask::<ListWorkspaces>(None).await {
        Ok(permit) => permit,
        Err(Failure::Denied(_)) => return Ok(Vec::new()),
        Err(other) => return Err(other),
    };
    let part = Part {
        after: None,
        limit: WORKSPACES_MAX,
    };
    let (mut found, _) = workspaces::list(&call.app, &permit, part).await?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The names of workspaces, by id.
pub(super) fn names_of(known: &[Workspace]) -> WorkspaceNames {
    known.iter().map(|one| (one.id, one.name.clone())).collect()
}

/// The keys that the list shows, and where it stands.
async fn found(
    call: &Call<ReadKeys>,
    filters: &Filters,
    (after, known): (Option<KeyId>, &[Workspace]),
) -> Result<Found, Failure> {
    let (org, store) = (call.org(), &call.app.store);
    // A name alone stands for every value of it: what is typed always narrows the list.
    let tag = filters.tag.as_str();
    let tag = tag
        .split_once('=')
        .map_or((tag, None), |(name, value)| (name, Some(value)));
    let tagged = match filters.tag.as_str() {
        "" => None,
        _ => Some(store.keys_tagged(org, tag, TAGGED_MAX).await?),
    };
    let id = workspace_id(&filters.workspace)?;
    let labels = id.and_then(|id| known.iter().find(|one| one.id == id));
    let wanted = Wanted {
        org,
        now: clock::now(),
        filters,
        workspace: id.map(|id| WorkspaceFacts {
            id,
            labels: labels.map(|workspace| &workspace.labels),
        }),
        tagged: tagged.as_ref().map(|ids| ids.iter().copied().collect()),
        after,
        limit: usize::try_from(ROWS).unwrap_or(usize::MAX),
    };
    let in_memory = shelf::find(&call.app, &wanted);
    let has_dead = matches!(filters.status.as_str(), "all" | "revoked");
    match in_memory {
        Some(found) if !has_dead => Ok(found),
        counted => {
            let kept = of_store(call, &wanted, tagged).await?;
            let counted = counted.unwrap_or_default();
            Ok(Found {
                ids: kept.0,
                has_more: kept.1,
                fitting: 0,
                is_of_store: true,
                ..counted
            })
        }
    }
}

fn not_ours(field: &str) -> Failure {
    Failure::Malformed {
        code: "bad_query",
        field: Some(field.to_owned()),
        reason: format!("query parameter `{field}` is not what it should be"),
    }
}

/// The same asked of the database, newest first: it knows what was revoked long ago, too.
async fn of_store(
    call: &Call<ReadKeys>,
    wanted: &Wanted<'_>,
    tagged: Option<Vec<KeyId>>,
) -> Result<(Vec<KeyId>, bool), Failure> {
    let full = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let filters = wanted.filters;
    let place = call.app.scan_place().await?;
    let mut ids = if let Some(tagged) = tagged {
        of_tagged(call, wanted, &tagged).await?
    } else {
        let filter = KeyFilter {
            statuses: statuses(filters),
            now: wanted.now,
            text: Some(filters.q.clone()).filter(|text| !text.is_empty()),
            created_by: Some(filters.created_by.clone()).filter(|text| !text.is_empty()),
            workspace: wanted.workspace.map(|workspace| workspace.id),
            expires_before: None,
        };
        let part = Part {
            after: wanted.after,
            limit: ROWS + 1,
        };
        let keys = call.app.store.list_keys(wanted.org, filter, part).await?;
        keys.iter().map(|key| key.id).collect::<Vec<_>>()
    };
    drop(place);
    let has_more = ids.len() > full;
    ids.truncate(full);
    Ok((ids, has_more))
}

fn statuses(filters: &Filters) -> Vec<Kept> {
    match filters.status.as_str() {
        "all" => Kept::ALL.to_vec(),
        "" => vec![Kept::Active, Kept::NotYetValid, Kept::Suspended],
        "expiring" | "rotating" | "blocked" => vec![Kept::Active],
        word => Kept::ALL
            .iter()
            .filter(|status| status.as_str() == word)
            .copied()
            .collect(),
    }
}

/// Those of these keys that fit all other filters, one more than a page shows at most.
async fn of_tagged(
    call: &Call<ReadKeys>,
    wanted: &Wanted<'_>,
    tagged: &[KeyId],
) -> Result<Vec<KeyId>, Failure> {
    let filters = wanted.filters;
    let statuses = statuses(filters);
    let text = filters.q.to_lowercase();
    let fits = |key: &OrgKey| {
        let name = key.name.to_lowercase();
        let prefix = key.prefix.as_str().to_ascii_lowercase();
        let mut words = text.split_whitespace();
        let maker = key.minter.created_by.to_string();
        statuses.contains(&key.status(wanted.now))
            && (filters.created_by.is_empty() || filters.created_by == maker)
            && wanted
                .workspace
                .is_none_or(|workspace| key.grant.workspaces.reaches(workspace))
            && words.all(|word| name.contains(word) || prefix.contains(word))
    };
    let most = usize::try_from(ROWS + 1).unwrap_or(usize::MAX);
    let mut ids = Vec::new();
    for part in tagged.chunks(TAGGED_PART) {
        let rest = part.iter().copied();
        let rest: Vec<KeyId> = rest
            .filter(|id| wanted.after.is_none_or(|after| *id < after))
            .collect();
        let keys = call.app.store.find_keys(wanted.org, &rest).await?;
        let mut fitting: Vec<KeyId> = keys
            .iter()
            .filter(|key| fits(key))
            .map(|key| key.id)
            .collect();
        fitting.sort_unstable_by(|one, other| other.cmp(one));
        ids.extend(fitting);
        if ids.len() >= most {
            break;
        }
    }
    ids.truncate(most);
    Ok(ids)
}

/// These keys, in this order.
async fn rows_of(call: &Call<ReadKeys>, ids: &[KeyId]) -> Result<Vec<OrgKey>, Failure> {
    let keys = call.app.store.find_keys(call.org(), ids).await?;
    let mut by_id: HashMap<KeyId, OrgKey> = keys.into_iter().map(|key| (key.id, key)).collect();
    let mut keys: Vec<OrgKey> = ids.iter().filter_map(|id| by_id.remove(id)).collect();
    keys.iter_mut()
        .for_each(|key| keys::refresh_last_used(&call.app, key));
    Ok(keys)
}

async fn shown(
    call: &Call<ReadKeys>,
    surroundings: &Page,
    (keys, known): (&[OrgKey], &[Workspace]),
) -> Result<Vec<KeyRow>, Failure> {
    let now = surroundings.now;
    let ids: Vec<KeyId> = keys.iter().map(|key| key.id).collect();
    let span = days(now);
    let mut sparks: HashMap<KeyId, Vec<u64>> = HashMap::new();
    // The calls of the last moments too: "last used" beside them is exact.
    call.app.flush_usage().await?;
    for one in call.app.store.usage_by_day(call.org(), &ids, span).await? {
        let days = sparks.entry(one.key).or_insert_with(|| vec![0; DAYS]);
        let at = one.day.since(span.since).as_secs() / DAY.as_secs();
        if let Some(day) = usize::try_from(at).ok().and_then(|at| days.get_mut(at)) {
            *day = one.calls.saturating_add(one.refusals);
        }
    }
    let names = names_of(known);
    let row = |key: &OrgKey| {
        let days = sparks.remove(&key.id);
        let calls = Spark {
            days: days.unwrap_or_else(|| vec![0; DAYS]),
        };
        row(call, surroundings, key, (calls, &names))
    };
    Ok(keys.iter().map(row).collect())
}

/// The last 30 days up to now, from the beginning of a day on.
pub(super) fn days(now: claviger_core::time::Timestamp) -> Span {
    let day = i64::try_from(DAY.as_millis()).unwrap_or(1);
    let today = now.millis() - now.millis().rem_euclid(day);
    let before = u32::try_from(DAYS).unwrap_or(1) - 1;
    Span {
        since: claviger_core::time::Timestamp::from_millis(today).minus(DAY * before),
        until: now.plus(claviger_store::HOUR),
    }
}

fn row(
    call: &Call<ReadKeys>,
    surroundings: &Page,
    key: &OrgKey,
    (calls, names): (Spark, &WorkspaceNames),
) -> KeyRow {
    let (app, org) = (&call.app, key.org);
    let (workspaces, workspaces_title) = words::workspaces(&key.grant.workspaces, names);
    let used_from = key.last_use.and_then(|last| last.from);
    KeyRow {
        id: key.id.to_string(),
        name: key.name.clone(),
        prefix: key.prefix.to_string(),
        owner: who::owner(app, org, &key.minter),
        created_by: who::maker(app, org, &key.minter),
        created_by_label: key.minter.created_by.to_string(),
        grant: words::badges(&key.grant),
        workspaces,
        workspaces_title,
        status: status::of_key(app, key, surroundings.now),
        created: surroundings.when(key.created_at),
        last_used: key.last_use.map(|last| surroundings.when(last.at)),
        last_used_from: used_from.map(|from| from.to_string()).unwrap_or_default(),
        expires: key.expires_at.map(|at| surroundings.when(at)),
        revoked: key.revocation.as_ref().map(|end| surroundings.when(end.at)),
        calls,
        tags: key
            .metadata
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
    }
}

/// The tags of these rows, for whoever types one to filter by.
fn tags(rows: &[KeyRow]) -> Vec<String> {
    let shown = rows.iter().flat_map(|row| row.tags.iter().cloned());
    let all: BTreeSet<String> = shown.collect();
    all.into_iter().collect()
}

fn counts(found: &Found) -> Vec<(Option<KeyStatus>, Option<u64>)> {
    // An empty walk was too long, or there is nothing to count.
    let number = |status| (!found.counts.is_empty()).then(|| found.count(status));
    let each = KeyStatus::ALL.into_iter().map(Some);
    std::iter::once(None)
        .chain(each)
        .map(|status| match status {
            Some(KeyStatus::Revoked) => (status, None),
            status => (status, number(status)),
        })
        .collect()
}

fn pager(filters: &Filters, found: &Found, after: Option<KeyId>) -> Pager {
    let with_cursor = |id: &KeyId| {
        let address = filters.href();
        let mark = if address.contains('?') { '&' } else { '?' };
        format!("{address}{mark}cursor={id}")
    };
    let last = found.ids.last().filter(|_| found.has_more);
    Pager {
        shown: u64::try_from(found.ids.len()).unwrap_or(0),
        total: (found.fitting > 0).then_some(found.fitting),
        first: after.map(|_| filters.href()),
        next: last.map(with_cursor),
    }
}

/// The address of a key's page.
pub(super) fn href(id: KeyId) -> String {
    format!("{PATH}/{id}")
}
