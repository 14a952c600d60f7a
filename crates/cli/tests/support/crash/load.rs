//! The clients: what they do, and what they report.

use std::sync::mpsc::Sender;

use crate::{ADMIN_TOKEN, SILENCE_MAX, http::Http};

/// What a client tells, in the order in which it happens.
#[derive(Debug)]
pub(crate) enum Report {
    /// A request was answered.
    Answered { request: String },
    /// A mint was answered.
    Minted(Key),
    /// A revocation is about to be sent.
    Revoking { id: String },
    /// A revocation was answered.
    Revoked { id: String },
}

/// A key as the answer to its mint said it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// The key that minted it; none for `ADMIN_TOKEN`.
    pub(crate) parent: Option<String>,
}

/// Pseudo-random numbers from a seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Sends requests until the server is gone.
pub(crate) fn press(url: &str, dice: Dice, reports: &Sender<Report>) {
    // The server may be killed before this client has come to connect.
    let Ok(http) = Http::connect(url, SILENCE_MAX) else {
        return;
    };
    let mut client = Client {
        http,
        dice,
        reports,
        keys: vec![],
    };
    while client.step().is_some() {}
}

struct Client<'a> {
    http: Http,
    dice: Dice,
    reports: &'a Sender<Report>,
    /// The keys that it minted and has not tried to revoke, oldest first.
    keys: Vec<Key>,
}

impl Client<'_> {
    /// One request; nothing when the server is gone.
    fn step(&mut self) -> Option<()> {
        match self.dice.below(10) {
            0..3 => self.mint(None),
            3 => {
                let parent = self.pick();
                self.mint(parent)
            }
            4..7 => self.revoke(),
            _ => self.whoami(),
        }
    }

    fn pick(&mut self) -> Option<Key> {
        let count = u64::try_from(self.keys.len()).expect("a small number");
        let at = self.dice.below(count.max(1));
        self.keys
            .get(usize::try_from(at).expect("a small number"))
            .cloned()
    }

    fn mint(&mut self, parent: Option<Key>) -> Option<()> {
        let token = parent
            .as_ref()
            .map_or(ADMIN_TOKEN, |key| &key.secret)
            .to_owned();
        let answer = self.ask("POST /org/tokens", &token, r#"{"name": "load"}"#, 201)?;
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        let key = Key {
            id: text("id"),
            secret: text("auth_token"),
            parent: parent.map(|parent| parent.id),
        };
        self.tell(Report::Minted(key.clone()));
        self.keys.push(key);
        Some(())
    }

    fn revoke(&mut self) -> Option<()> {
        let Some(key) = self.pick() else {
            return self.whoami();
        };
        // What it minted dies with it, and must not be used on purpose: the trail counts repeated
        // refusals instead of keeping each.
        let mut dead = vec![key.id.clone()];
        for other in &self.keys {
            if other
                .parent
                .as_ref()
                .is_some_and(|parent| dead.contains(parent))
            {
                dead.push(other.id.clone());
            }
        }
        self.keys.retain(|other| !dead.contains(&other.id));
        self.tell(Report::Revoking { id: key.id.clone() });
        let line = format!("DELETE /org/tokens/{}", key.id);
        // Half of them end themselves.
        let is_own = self.dice.below(2) == 0;
        let token = if is_own {
            key.secret.as_str()
        } else {
            ADMIN_TOKEN
        };
        let answer = self.ask(&line, token, "", 200)?;
        assert_eq!(answer["revoked"], key.id, "{answer}");
        self.tell(Report::Revoked { id: key.id });
        Some(())
    }

    fn whoami(&mut self) -> Option<()> {
        let token = self.pick().map_or(ADMIN_TOKEN.to_owned(), |key| key.secret);
        self.ask("GET /org/whoami", &token, "", 200).map(drop)
    }

    /// The body of the answer, which must have this status; nothing when no whole answer came.
    fn ask(
        &mut self,
        line: &str,
        token: &str,
        body: &str,
        status: u16,
    ) -> Option<serde_json::Value> {
        let answer = self.http.ask(line, token, body).ok()?;
        assert_eq!(answer.status, status, "{line}: {}", answer.body);
        let request = answer.header("x-request-id").expect("a request id");
        self.tell(Report::Answered {
            request: request.to_owned(),
        });
        Some(answer.json())
    }

    fn tell(&self, report: Report) {
        self.reports.send(report).expect("somebody listens");
    }
}
