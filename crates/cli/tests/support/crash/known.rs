//! What the clients were told, and whether a server that was started again agrees.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use crate::{
    SILENCE_MAX,
    http::Http,
    load::{Key, Report},
};

/// Everything that was answered.
#[derive(Debug, Default)]
pub(crate) struct Known {
    keys: HashMap<String, Key>,
    /// In the order of their mints.
    order: Vec<String>,
    tried: HashSet<String>,
    revoked: HashSet<String>,
    requests: Vec<String>,
    /// How many of `order` have been checked.
    checked: usize,
    /// Keys that were checked, and have been touched since.
    touched: HashSet<String>,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minted, revoked) = (self.keys.len(), self.revoked.len());
        write!(f, "{minted} mints, {revoked} revocations")
    }
}

impl Known {
    pub(crate) fn note(&mut self, report: Report) {
        match report {
            Report::Answered { request } => self.requests.push(request),
            Report::Minted(key) => {
                self.order.push(key.id.clone());
                self.keys.insert(key.id.clone(), key);
            }
            Report::Revoking { id } => {
                self.touched.insert(id.clone());
                self.tried.insert(id);
            }
            Report::Revoked { id } => {
                self.revoked.insert(id);
            }
        }
    }

    /// The requests that were answered since the last call.
    pub(crate) fn take_new_requests(&mut self) -> Vec<String> {
        std::mem::take(&mut self.requests)
    }

    /// Checks the keys of the last round.
    pub(crate) fn check_new(&mut self, url: &str) {
        let mut ids: Vec<String> = self.order.split_off(self.checked);
        self.order.extend(ids.iter().cloned());
        self.checked = self.order.len();
        let new: HashSet<&String> = ids.iter().collect();
        let older = self.touched.iter().filter(|id| !new.contains(id));
        let older: Vec<String> = older.cloned().collect();
        ids.extend(older);
        self.touched.clear();
        self.check(url, &ids);
    }

    /// Checks every key of every round.
    pub(crate) fn check_all(&self, url: &str) {
        self.check(url, &self.order);
    }

    fn check(&self, url: &str, ids: &[String]) {
        let mut http = Http::connect(url, SILENCE_MAX).expect("connected");
        let mut accepted = HashMap::new();
        for id in ids {
            let key = self.keys.get(id).expect("it was minted");
            let answer = http
                .ask("GET /org/whoami", &key.secret, "")
                .expect("answered");
            let body = answer.json();
            let is_accepted = match (answer.status, body["code"].as_str()) {
                (200, _) => true,
                (401, Some("token_revoked")) => false,
                other => panic!("{key:?}: {other:?}: {body}"),
            };
            assert!(
                is_accepted || self.above(key).any(|id| self.tried.contains(id)),
                "minted, never revoked, and refused: {key:?}"
            );
            assert!(
                !is_accepted || !self.above(key).any(|id| self.revoked.contains(id)),
                "revoked, and accepted: {key:?}"
            );
            // A revocation that was not answered happened whole or not at all.
            let parent = key.parent.as_ref().and_then(|parent| accepted.get(parent));
            if let Some(parent) = parent.filter(|_| !self.tried.contains(id)) {
                assert_eq!(&is_accepted, parent, "half of a revocation: {key:?}");
            }
            accepted.insert(id.clone(), is_accepted);
        }
    }

    /// The key and those that it descends from.
    fn above<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a String> {
        let parent = |key: &&'a Key| self.keys.get(key.parent.as_ref()?);
        std::iter::successors(Some(key), parent).map(|key| &key.id)
    }
}
