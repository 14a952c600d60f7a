//! A server with a key, a workspace and a secret, and what it answers.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    bed::Bed,
    captured::last_lines,
    http::{Answer, Http},
    server::Server,
};

/// The longest that any answer may take, whatever has happened to the database.
pub(crate) const HANG: Duration = Duration::from_secs(12);
/// How long a service may take to be well again once the database is.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);
const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// A server that has been used.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) server: Server,
    key: String,
    workspace: String,
}

/// A request, and who sends it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    WhoAmI,
    ListWorkspaces,
    Mint,
    CreateWorkspace,
    Reveal,
    SetSecret,
}

/// What changes something, and what reads secrets.
pub(crate) const GUARDED: [Ask; 4] = [Ask::Mint, Ask::CreateWorkspace, Ask::Reveal, Ask::SetSecret];

impl Service {
    pub(crate) fn start(bed: &Bed, audit: &str) -> Self {
        let mut command = bed.serve(&["--audit", audit]);
        command.env("ADMIN_TOKEN", ADMIN_TOKEN);
        let mut service = Self {
            server: Server::start(command),
            key: ADMIN_TOKEN.to_owned(),
            workspace: String::new(),
        };
        let minted = service.ask(Ask::Mint);
        assert_eq!(minted.status, 201, "{}", minted.body);
        service.key = text(&minted, "auth_token");
        let made = service.ask(Ask::CreateWorkspace);
        assert_eq!(made.status, 201, "{}", made.body);
        service.workspace = text(&made, "id");
        service.expect_well();
        service
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask(&self, ask: Ask) -> Answer {
        let workspace = &self.workspace;
        let (line, body) = match ask {
            Ask::WhoAmI => ("GET /org/whoami".to_owned(), ""),
            Ask::ListWorkspaces => ("GET /workspaces".to_owned(), ""),
            Ask::Mint => ("POST /org/tokens".to_owned(), r#"{"name": "key"}"#),
            Ask::CreateWorkspace => ("POST /workspaces".to_owned(), r#"{"name": "place"}"#),
            Ask::Reveal => (format!("GET /workspaces/{workspace}/secrets/values"), ""),
            Ask::SetSecret => {
                let line = format!("PUT /workspaces/{workspace}/secrets");
                (line, r#"{"key": "NAME", "value": "value"}"#)
            }
        };
        self.send(&line, body)
    }

    /// The status of a route of operation, such as `/readyz`.
    pub(crate) fn status(&self, path: &str) -> u16 {
        self.send(&format!("GET {path}"), "").status
    }

    /// The audit trail, a record a line.
    pub(crate) fn trail(&self) -> String {
        let answer = self.send("GET /org/audit/export", "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    fn send(&self, line: &str, body: &str) -> Answer {
        let asked = Instant::now();
        let mut http = Http::connect(&self.server.url, HANG).expect("connected");
        let answer = http.ask(line, &self.key, body);
        answer.unwrap_or_else(|error| panic!("{line}: {error} after {:?}", asked.elapsed()))
    }

    /// Everything is answered as it should be.
    pub(crate) fn expect_well(&self) {
        for (ask, status) in [
            (Ask::WhoAmI, 200),
            (Ask::ListWorkspaces, 200),
            (Ask::Mint, 201),
            (Ask::CreateWorkspace, 201),
            (Ask::SetSecret, 200),
            (Ask::Reveal, 200),
        ] {
            let answer = self.ask(ask);
            assert_eq!(answer.status, status, "{ask:?}: {}", answer.body);
        }
        assert_eq!(self.status("/readyz"), 200);
    }

    /// Each of these, sent at the same time, is refused with 503 in time.
    pub(crate) fn expect_refused(&self, asks: &[Ask], limit: Duration) {
        thread::scope(|scope| {
            for ask in asks {
                scope.spawn(move || self.expect_refusal(*ask, limit));
            }
        });
    }

    fn expect_refusal(&self, ask: Ask, limit: Duration) {
        let asked = Instant::now();
        let answer = self.ask(ask);
        let took = asked.elapsed();
        assert_eq!(answer.status, 503, "{ask:?}: {}", answer.body);
        assert!(took <= limit, "{ask:?} took {took:?}");
        assert!(
            answer.header("retry-after").is_some(),
            "{ask:?}: {:?}",
            answer.head
        );
        let media_type = answer.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"), "{ask:?}");
        assert_eq!(answer.header("www-authenticate"), None, "{ask:?}");
        assert_eq!(answer.json()["status"], 503, "{ask:?}");
    }

    /// An outage is told in few words, however long it is and whatever is asked meanwhile.
    pub(crate) fn expect_few_words(&self) {
        let before = self.server.err.text().lines().count();
        for _ in 0..200 {
            let answer = self.ask(Ask::WhoAmI);
            assert!(matches!(answer.status, 200 | 503), "{}", answer.body);
        }
        let said = self.server.err.text();
        let count = said.lines().count() - before;
        let last = last_lines(&said);
        assert!(
            count < 100,
            "{count} lines in the log, the last of them:\n{last}"
        );
    }

    /// Waits until a change is accepted again, and then all is well.
    pub(crate) fn expect_recovery(&self) {
        let deadline = Instant::now() + RECOVERY_MAX;
        loop {
            let answer = self.ask(Ask::CreateWorkspace);
            if answer.status == 201 && self.status("/readyz") == 200 {
                return self.expect_well();
            }
            assert!(matches!(answer.status, 201 | 503), "{}", answer.body);
            let said = last_lines(&self.server.err.text());
            assert!(
                Instant::now() < deadline,
                "not well after {RECOVERY_MAX:?}:\n{said}"
            );
            thread::park_timeout(POLL_EVERY);
        }
    }
}

fn text(answer: &Answer, name: &str) -> String {
    answer.json()[name].as_str().expect("a text").to_owned()
}
