//! The security page: what should be looked at, and what to do about it.

mod remedy;
mod review;
mod show;
mod tokens;

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use claviger_core::{
    action::{ChangeKey, DecideRequest, MintKey, ReadAudit, ReadKeys, RevokeKey, SuspendKey},
    advice::Concern,
    id::{KeyId, WorkspaceTokenId},
    key::{KeyState, OrgKey},
    ledger::record::Record,
    time::Timestamp,
};
use claviger_store::{AuditFilter, Page as Part};
use http::{Method, StatusCode};

use remedy::{
    ask_for_end, ask_to_narrow, ask_to_revoke, ask_to_suspend, narrow, revoke, set_end, suspend,
};
pub(crate) use review::Reviews;
use review::{Mark, Review};
use show::Show;
use tokens::TokenRow;

use super::{
    fault::sentence,
    grants, html,
    layout::{Nav, Page},
    page,
    parts::{Badge, Pager, Tone},
    time::{When, thousands},
    who,
};
use crate::{
    app::App,
    failure::Failure,
    gate::{Call, Reply},
    ops::{
        advice::{IDLE, UNUSED, left},
        audit::{self, Order},
        keys::refresh_last_used,
    },
    router::Routes,
};

/// How many keys, uses or tokens a page shows.
const ROWS: usize = 25;
/// How far back uses of `ADMIN_TOKEN` count as lately.
const LATELY: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// A card.
#[derive(Debug)]
struct Card {
    label: &'static str,
    value: String,
    hint: String,
    href: String,
    tone: &'static str,
    is_active: bool,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "canvas/security/list.html")]
struct SecurityPage {
    page: Page,
    cards: Vec<Card>,
    show: Show,
    keys: Vec<KeyRow>,
    uses: Vec<UseRow>,
    tokens: Vec<TokenRow>,
    sunset: Timestamp,
    /// Absent while the keys are looked at for the first time.
    looked_at: Option<When>,
    is_whole: bool,
    pager: Pager,
    may_change: bool,
    may_stop: bool,
    may_rotate: bool,
}

/// A key with what speaks against it.
#[derive(Debug)]
struct KeyRow {
    id: String,
    name: String,
    prefix: String,
    created_by: String,
    created: When,
    may_do: String,
    last_used: Option<When>,
    reasons: Vec<Badge>,
    is_suspended: bool,
    has_no_end: bool,
    is_over_broad: bool,
    /// Somebody who is not here may know its secret.
    is_known_elsewhere: bool,
}

/// A use of `ADMIN_TOKEN`.
#[derive(Debug)]
struct UseRow {
    seq: u64,
    at: When,
    method: String,
    path: String,
    status: u16,
    client: String,
}

/// The pages of what should be looked at, and their forms.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ReadKeys, _, _>(&get, "/canvas/security", list);
    routes.page::<ChangeKey, _, _>(&get, "/canvas/security/{id}/narrow", ask_to_narrow);
    routes.page::<ChangeKey, _, _>(&post, "/canvas/security/{id}/narrow", narrow);
    routes.page::<ChangeKey, _, _>(&get, "/canvas/security/{id}/end", ask_for_end);
    routes.page::<ChangeKey, _, _>(&post, "/canvas/security/{id}/end", set_end);
    routes.page::<SuspendKey, _, _>(&get, "/canvas/security/{id}/suspend", ask_to_suspend);
    routes.page::<SuspendKey, _, _>(&post, "/canvas/security/{id}/suspend", suspend);
    routes.page::<RevokeKey, _, _>(&get, "/canvas/security/{id}/revoke", ask_to_revoke);
    routes.page::<RevokeKey, _, _>(&post, "/canvas/security/{id}/revoke", revoke);
}

/// `GET /canvas/security`.
async fn list(call: Call<ReadKeys>) -> Result<Reply, Failure> {
    let query = call.query(&["show", "cursor", "done"])?.filled();
    let word = query.get("show").unwrap_or_default();
    let show = Show::ALL.into_iter().find(|show| show.word() == word);
    let show = show.ok_or(Failure::NotFound("page"))?;
    let mut page = page::of(&call, "Security", Nav::Security);
    page.flash = page::flash(query.get("done"));
    let review = review::of(&call).await?;
    let audit = match call.ask::<ReadAudit>(None).await {
        Ok(permit) => Some(permit),
        Err(Failure::Denied(_)) => None,
        Err(other) => return Err(other),
    };
    let cursor = query.parse::<u64>("cursor", "the number of a record");
    let last = match &audit {
        Some(permit) => uses(&call, permit, (None, 1), &page).await?.0,
        None => vec![],
    };
    let mut shown = SecurityPage {
        cards: vec![],
        show,
        keys: vec![],
        uses: vec![],
        tokens: vec![],
        sunset: call.app.config.workspace_tokens_sunset,
        looked_at: review.as_ref().map(|review| page.when(review.at)),
        is_whole: review.as_ref().is_none_or(|review| review.is_whole),
        pager: Pager::default(),
        may_change: page::may::<ChangeKey>(&call.trace),
        may_stop: page::may::<SuspendKey>(&call.trace),
        may_rotate: page::may::<MintKey>(&call.trace),
        page,
    };
    let manages = page::may::<DecideRequest>(&call.trace);
    let tokens = manages.then(|| tokens::living(&call));
    shown.cards = cards(
        show,
        review.as_deref(),
        (audit.is_some(), last.first()),
        tokens.as_deref(),
    );
    match show {
        Show::All | Show::Marked(_) => {
            let after = query.parse::<KeyId>("cursor", "the id of a key")?;
            if let Some(review) = &review {
                shown.fill_keys(&call, review, after).await?;
            }
        }
        Show::AdminToken => {
            let permit = call.ask::<ReadAudit>(None).await?;
            let cursor = cursor?;
            let limit = u32::try_from(ROWS).unwrap_or(u32::MAX);
            let (rows, next) = uses(&call, &permit, (cursor, limit), &shown.page).await?;
            shown.uses = rows;
            shown.pager = pager(
                show,
                shown.uses.len(),
                cursor.is_none(),
                next.map(|n| n.to_string()),
            );
        }
        Show::WorkspaceTokens => {
            let after = query.parse::<WorkspaceTokenId>("cursor", "the id of a token")?;
            shown
                .fill_tokens(&call, &tokens.unwrap_or_default(), after)
                .await?;
        }
    }
    Ok(html::html(StatusCode::OK, &shown))
}

fn pager(show: Show, shown: usize, is_first: bool, next: Option<String>) -> Pager {
    let first = show.href();
    let join = if first.contains('?') { '&' } else { '?' };
    Pager {
        shown: u64::try_from(shown).unwrap_or(u64::MAX),
        total: None,
        next: next.map(|next| format!("{first}{join}cursor={next}")),
        first: (!is_first).then_some(first),
    }
}

fn cards(
    show: Show,
    review: Option<&Review>,
    (sees_uses, last): (bool, Option<&UseRow>),
    tokens: Option<&[tokens::Living]>,
) -> Vec<Card> {
    let card = |of: Show, value: String, hint: &str, tone| Card {
        label: of.label(),
        value,
        hint: hint.to_owned(),
        // A card that is in force leads back to all.
        href: if show == of {
            Show::All.href()
        } else {
            of.href()
        },
        tone,
        is_active: show == of,
    };
    let mut cards: Vec<_> = Mark::ALL
        .into_iter()
        .map(|mark| {
            let count = review.map(|review| review.count(mark));
            let value = count.map_or_else(|| "…".to_owned(), thousands);
            let (tone, hint) = match mark {
                Mark::NoExpiry => ("warn", "keys that never end"),
                Mark::NeverUsed => ("warn", "for a week or more"),
                Mark::Idle => ("warn", "keys nobody uses"),
                Mark::OverBroad => ("bad", "keys that use little of it"),
                Mark::MakerLeft => ("bad", "who may still know the secret"),
            };
            let tone = if count.unwrap_or(0) > 0 { tone } else { "good" };
            card(Show::Marked(mark), value, hint, tone)
        })
        .collect();
    if sees_uses {
        let (value, tone) = match last {
            Some(used) => (used.at.words(), "bad"),
            None => ("not lately".to_owned(), "good"),
        };
        cards.push(card(
            Show::AdminToken,
            value,
            "last used, within 30 days",
            tone,
        ));
    }
    if let Some(tokens) = tokens {
        let count = u64::try_from(tokens.len()).unwrap_or(u64::MAX);
        let tone = if count > 0 { "warn" } else { "good" };
        cards.push(card(
            Show::WorkspaceTokens,
            thousands(count),
            "deprecated, still accepted",
            tone,
        ));
    }
    cards
}

impl SecurityPage {
    /// The tokens after this one, as far as they have room.
    async fn fill_tokens(
        &mut self,
        call: &Call<ReadKeys>,
        living: &[tokens::Living],
        after: Option<WorkspaceTokenId>,
    ) -> Result<(), Failure> {
        let begin = tokens::begin_after(living, after);
        let end = living.len().min(begin + ROWS);
        self.tokens =
            tokens::rows(call, living.get(begin..end).unwrap_or_default(), &self.page).await?;
        let next = self.tokens.last().filter(|_| end < living.len());
        let next = next.map(|last| last.id.clone());
        self.pager = pager(self.show, self.tokens.len(), begin == 0, next);
        self.pager.total = u64::try_from(living.len()).ok();
        Ok(())
    }

    /// The keys that the page shows, as they are now: what was done about one meanwhile counts.
    async fn fill_keys(
        &mut self,
        call: &Call<ReadKeys>,
        review: &Arc<Review>,
        after: Option<KeyId>,
    ) -> Result<(), Failure> {
        let is_meant = |finding: &&review::Finding| match self.show {
            Show::Marked(mark) => finding.has(mark),
            Show::All | Show::AdminToken | Show::WorkspaceTokens => true,
        };
        // Newest first: the ids fall.
        let rest = review.found.iter().filter(is_meant);
        let rest = rest.filter(|one| after.is_none_or(|after| one.id < after));
        let part: Vec<_> = rest.take(ROWS + 1).copied().collect();
        let ids: Vec<_> = part.iter().take(ROWS).map(|one| one.id).collect();
        let mut known: HashMap<_, _> = HashMap::new();
        for mut key in call.app.store.find_keys(call.org(), &ids).await? {
            refresh_last_used(&call.app, &mut key);
            known.insert(key.id, key);
        }
        let keys = part.iter().take(ROWS).filter_map(|finding| {
            let key = known.get(&finding.id)?;
            KeyRow::of(&call.app, key, finding, &self.page)
        });
        self.keys = keys.collect();
        let next = ids.last().filter(|_| part.len() > ROWS);
        self.pager = pager(
            self.show,
            self.keys.len(),
            after.is_none(),
            next.map(KeyId::to_string),
        );
        Ok(())
    }
}

impl KeyRow {
    /// The row of a key; nothing for one against which nothing speaks any more.
    fn of(app: &App, key: &OrgKey, finding: &review::Finding, page: &Page) -> Option<Self> {
        let now = page.now;
        let is_over = key.expires_at.is_some_and(|end| end <= now);
        if key.state() == KeyState::Revoked || is_over {
            return None;
        }
        let last = key.last_use.map(|last| last.at);
        let concerns = [
            left(app, key, (IDLE, now)).map(Concern::MakerLeft),
            (finding.has(Mark::NeverUsed) && last.is_none()).then_some(Concern::NeverUsed),
            last.filter(|last| last.plus(IDLE) <= now)
                .map(|_| Concern::Idle(IDLE)),
            (finding.has(Mark::OverBroad)).then_some(Concern::OverBroad(finding.unused)),
            key.expires_at.is_none().then_some(Concern::NoExpiry),
        ];
        let concerns: Vec<_> = concerns.into_iter().flatten().collect();
        if concerns.is_empty() {
            return None;
        }
        let badge = |concern: &Concern| {
            let tone = match concern {
                Concern::OverBroad(_) | Concern::MakerLeft(_) => Tone::Bad,
                Concern::NeverUsed | Concern::Idle(_) | Concern::NoExpiry => Tone::Warn,
            };
            Badge::new(tone, concern.title()).titled(sentence(&concern.text()))
        };
        Some(Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.to_string(),
            created_by: who::words(app, key.org, &key.minter.created_by),
            created: page.when(key.created_at),
            may_do: grants::brief(&key.grant),
            last_used: last.map(|at| page.when(at)),
            reasons: concerns.iter().map(badge).collect(),
            is_suspended: key.suspension.is_some(),
            has_no_end: key.expires_at.is_none(),
            is_over_broad: finding.has(Mark::OverBroad),
            is_known_elsewhere: matches!(concerns.first(), Some(Concern::MakerLeft(_))),
        })
    }
}

/// Uses of `ADMIN_TOKEN` lately, newest first. One call looks through so much of the trail and no more.
async fn uses(
    call: &Call<ReadKeys>,
    permit: &claviger_core::authorize::Permit<ReadAudit>,
    (after, limit): (Option<u64>, u32),
    page: &Page,
) -> Result<(Vec<UseRow>, Option<u64>), Failure> {
    let filter = AuditFilter {
        actor: Some("admin-token".to_owned()),
        since: Some(page.now.minus(LATELY)),
        ..AuditFilter::default()
    };
    let part = Part { after, limit };
    let found = audit::rows(&call.app, permit, filter, (Order::NewestFirst, part)).await?;
    let rows = found.rows.iter().filter_map(|row| {
        let record = Record::read(&row.bytes)?;
        Some(UseRow {
            seq: row.seq,
            at: page.when(record.at),
            method: record.method,
            path: record.path,
            status: record.status,
            client: record
                .client
                .map(|from| from.to_string())
                .unwrap_or_default(),
        })
    });
    Ok((rows.collect(), found.next))
}

/// From which age on a key that was never used is looked at.
const _: () = assert!(UNUSED.as_secs() == 7 * 86_400, "the page says a week");
