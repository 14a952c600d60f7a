//! Which keys a list shows, found in memory: every key that is not revoked is there, with its last
//! use, so a search, a filter and an order cost no scan of the database.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use claviger_core::{
    grant::WorkspaceFacts,
    id::{Key, KeyId, OrgId},
    key::{Credential, KeyState},
    tier::Minter,
    time::Timestamp,
};

use super::{list::Filters, status};
use crate::{
    app::App,
    index::Slot,
    ops::keys::last_used,
    policies::InForce,
    web::{parts::KeyStatus, who},
};

/// How many keys of an org are walked over for one page: of more, the database is asked, newest first.
const KEYS_MAX: usize = 200_000;
/// How many makers a list offers to filter by: those with the most keys.
const MAKERS_MAX: usize = 50;

/// What is looked for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) org: OrgId,
    pub(super) now: Timestamp,
    /// What the address of the page says.
    pub(super) filters: &'a Filters,
    /// The workspace that must be reached, if it exists.
    pub(super) workspace: Option<WorkspaceFacts<'a>>,
    /// The keys that carry the tag that is asked for.
    pub(super) tagged: Option<HashSet<KeyId>>,
    /// After which key to go on.
    pub(super) after: Option<KeyId>,
    /// How many.
    pub(super) limit: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The keys of this part of the list, in its order.
    pub(super) ids: Vec<KeyId>,
    /// How many fit in all.
    pub(super) fitting: u64,
    /// Whether there are more after these.
    pub(super) has_more: bool,
    /// How many there are of each status, whatever is looked for.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Labels of those who made keys, with their names, by name.
    pub(super) makers: Vec<(String, String)>,
    /// Whether the org has a key at all.
    pub(super) has_keys: bool,
    /// Whether the database was asked, which knows one order.
    pub(super) is_of_store: bool,
}

impl Found {
    /// How many there are of a status; `None` stands for every live key.
    pub(super) fn count(&self, status: Option<KeyStatus>) -> u64 {
        let of = |status: KeyStatus| self.counts.get(status.as_str()).copied().unwrap_or(0);
        match status {
            Some(status) => of(status),
            None => KeyStatus::ALL
                .iter()
                .filter(|status| !status.is_over())
                .map(|status| of(*status))
                .sum(),
        }
    }
}

/// By what a list is sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Time(Timestamp),
    Text(String),
}

/// A maker, as it is looked for and shown.
struct Maker {
    label: String,
    name: String,
    words: String,
    keys: u64,
}

struct Walk<'a> {
    app: &'a App,
    wanted: &'a Wanted<'a>,
    words: Vec<String>,
    policy: Option<Arc<InForce>>,
    makers: HashMap<*const Minter, Maker>,
    counts: BTreeMap<&'static str, u64>,
    ranked: Vec<(Rank, KeyId)>,
    keys: usize,
    has_keys: bool,
}

/// Looks for keys that are not revoked. `None` when the org has too many.
pub(super) fn find(app: &App, wanted: &Wanted<'_>) -> Option<Found> {
    let text = wanted.filters.q.to_lowercase();
    let mut walk = Walk {
        app,
        wanted,
        words: text.split_whitespace().map(str::to_owned).collect(),
        policy: app.policies.of(wanted.org),
        makers: HashMap::new(),
        counts: BTreeMap::new(),
        ranked: Vec::new(),
        keys: 0,
        has_keys: false,
    };
    app.keys.for_each_slot(|slot| walk.look_at(slot));
    (walk.keys <= KEYS_MAX).then(|| walk.finish())
}

impl Walk<'_> {
    fn look_at(&mut self, slot: &Slot<Key>) {
        let key = &slot.credential;
        if key.org != self.wanted.org || key.is_replaced {
            return;
        }
        self.has_keys = true;
        if key.state == KeyState::Revoked {
            return;
        }
        self.keys += 1;
        if self.keys > KEYS_MAX {
            return;
        }
        let status = status::of_credential(self.app, key, self.policy.as_deref(), self.wanted.now);
        *self.counts.entry(status.as_str()).or_default() += 1;
        if self.is_maker_wanted(key) && self.fits(key, status) {
            let rank = rank(self.app, &self.wanted.filters.sort, slot);
            self.ranked.push((rank, key.id));
        }
    }

    /// Counts the key with its maker, and says whether that one is looked for.
    fn is_maker_wanted(&mut self, key: &Credential<Key>) -> bool {
        let (app, wanted) = (self.app, self.wanted);
        let maker = self
            .makers
            .entry(Arc::as_ptr(&key.minter))
            .or_insert_with(|| {
                let name = who::maker(app, wanted.org, &key.minter);
                let owner = who::owner(app, wanted.org, &key.minter);
                Maker {
                    label: key.minter.created_by.to_string(),
                    words: format!("{name} {owner}").to_lowercase(),
                    name,
                    keys: 0,
                }
            });
        maker.keys += 1;
        let asked = &wanted.filters.created_by;
        if !asked.is_empty() && *asked != maker.label {
            return false;
        }
        if self.words.is_empty() {
            return true;
        }
        let name = key.name.to_lowercase();
        let prefix = key.prefix.as_str().to_ascii_lowercase();
        let (maker, app) = (&maker.words, self.app);
        // Whoever found an old secret looks for what it was called.
        let is_old = |word: &str| {
            let old = app.old_secrets.get(key.id);
            old.is_some_and(|(old, _)| old.prefix.as_str().to_ascii_lowercase().contains(word))
        };
        self.words.iter().all(|word| {
            name.contains(word) || prefix.contains(word) || maker.contains(word) || is_old(word)
        })
    }

    fn fits(&self, key: &Credential<Key>, status: KeyStatus) -> bool {
        let wanted = self.wanted;
        let is_status = match wanted.filters.status.as_str() {
            "" => !status.is_over(),
            word => word == status.as_str(),
        };
        is_status
            && wanted
                .workspace
                .is_none_or(|workspace| key.grant.workspaces.reaches(workspace))
            && wanted
                .tagged
                .as_ref()
                .is_none_or(|tagged| tagged.contains(&key.id))
    }

    fn finish(mut self) -> Found {
        let sort = self.wanted.filters.sort.as_str();
        // What is newest comes first, unless another order is asked for.
        let is_down = sort.is_empty() || sort.starts_with('-');
        let order = |one: &(Rank, KeyId), other: &(Rank, KeyId)| {
            let order = one.cmp(other);
            if is_down { order.reverse() } else { order }
        };
        let fitting = u64::try_from(self.ranked.len()).unwrap_or(u64::MAX);
        if let Some(slot) = self
            .wanted
            .after
            .and_then(|id| self.app.keys.find_by_id(id))
        {
            let last = (rank(self.app, sort, &slot), slot.credential.id);
            self.ranked.retain(|one| order(one, &last).is_gt());
        }
        let limit = self.wanted.limit;
        let has_more = self.ranked.len() > limit;
        if has_more {
            self.ranked.select_nth_unstable_by(limit, order);
            self.ranked.truncate(limit);
        }
        self.ranked.sort_unstable_by(order);
        Found {
            ids: self.ranked.into_iter().map(|(_, id)| id).collect(),
            fitting,
            has_more,
            counts: self.counts,
            makers: most_busy(self.makers.into_values()),
            has_keys: self.has_keys,
            is_of_store: false,
        }
    }
}

/// Those who made the most keys, by name.
fn most_busy(makers: impl Iterator<Item = Maker>) -> Vec<(String, String)> {
    let mut by_label: HashMap<String, (String, u64)> = HashMap::new();
    for maker in makers {
        by_label.entry(maker.label).or_insert((maker.name, 0)).1 += maker.keys;
    }
    let mut all: Vec<_> = by_label.into_iter().collect();
    all.sort_unstable_by(|(one, a), (other, b)| b.1.cmp(&a.1).then_with(|| one.cmp(other)));
    all.truncate(MAKERS_MAX);
    let mut named: Vec<_> = all
        .into_iter()
        .map(|(label, (name, _))| (label, name))
        .collect();
    named.sort_unstable_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
    named
}

fn rank(app: &App, sort: &str, slot: &Slot<Key>) -> Rank {
    let key = &slot.credential;
    match sort.trim_start_matches('-') {
        "name" => Rank::Text(key.name.to_lowercase()),
        "last_used" => Rank::Time(last_used(app, slot).unwrap_or(Timestamp::from_millis(0))),
        "expires" => Rank::Time(key.expires_at),
        _ => Rank::Time(key.id.created_at()),
    }
}
