//! `Service`: a server in this process, its directory and its database, which outlive it.

use std::sync::{Mutex, OnceLock};

use claviger_server::{
    Running, ServeError,
    config::{Config, Flags},
};
use claviger_testkit::{Database, Postgres};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask::{Answer, Ask};

/// What a test sets as `ADMIN_TOKEN`.
pub(crate) const ADMIN: &str = "an-admin-token-for-tests-0123456789abcdef";

/// The kind of database under a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A copy of a database.
pub(crate) enum Backup {
    Sqlite(std::path::PathBuf),
    Postgres(Database),
}

/// A server with its directory and its database.
pub(crate) struct Service {
    running: Option<Running>,
    client: reqwest::Client,
    directory: TempDir,
    database: Option<Database>,
    flags: Flags,
    /// What its configuration says besides `ADMIN_TOKEN`.
    settings: String,
}

impl Service {
    /// A server as a newcomer starts it: nothing minted, tier 0 open to this machine.
    pub(crate) async fn fresh(backend: Backend) -> Self {
        Self::with(backend, |_| ()).await
    }

    /// A server with `ADMIN_TOKEN` set to [`ADMIN`].
    pub(crate) async fn guarded(backend: Backend) -> Self {
        Self::guarded_with(backend, |_| ()).await
    }

    /// A server with `ADMIN_TOKEN` and other settings.
    pub(crate) async fn guarded_with(backend: Backend, set: impl FnOnce(&mut Flags)) -> Self {
        let mut service = Self::stopped(backend);
        service.set_admin_token(ADMIN);
        set(&mut service.flags);
        service.start().await.expect("the server starts");
        service
    }

    /// A server with settings of its own.
    pub(crate) async fn with(backend: Backend, set: impl FnOnce(&mut Flags)) -> Self {
        let mut service = Self::stopped(backend);
        set(&mut service.flags);
        service.start().await.expect("the server starts");
        service
    }

    /// A server that does not run yet.
    pub(crate) fn stopped(backend: Backend) -> Self {
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Postgres::shared().database()),
        };
        Self::on(database)
    }

    /// A server that does not run yet, on this PostgreSQL database or on SQLite.
    pub(crate) fn on(database: Option<Database>) -> Self {
        capture_log();
        let directory = tempfile::tempdir().expect("a directory");
        let mut service = Self {
            running: None,
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()
                .expect("a client"),
            flags: Flags {
                listen: Some("127.0.0.1:0".to_owned()),
                data_dir: Some(path_text(&directory.path().join("data"))),
                database_url: database.as_ref().map(Database::url),
                ..Flags::default()
            },
            directory,
            database,
            settings: String::new(),
        };
        service.write_config("");
        service
    }

    /// Sets `ADMIN_TOKEN` for the next start.
    pub(crate) fn set_admin_token(&mut self, token: &str) {
        let file = self.admin_token_file();
        std::fs::write(&file, format!("{token}\n")).expect("a file");
        self.write_config(&format!("admin-token-file = {:?}\n", path_text(&file)));
    }

    /// Adds a setting, for the next start.
    pub(crate) fn add_setting(&mut self, name: &str, value: &str) {
        self.settings.push_str(&format!("{name} = {value:?}\n"));
    }

    /// Takes away what was added, for the next start.
    pub(crate) fn clear_settings(&mut self) {
        self.settings.clear();
    }

    /// The file that holds `ADMIN_TOKEN`.
    pub(crate) fn admin_token_file(&self) -> std::path::PathBuf {
        self.directory.path().join("admin-token")
    }

    fn write_config(&mut self, text: &str) {
        let file = self.directory.path().join("claviger.toml");
        let text = format!("{text}{}", self.settings);
        std::fs::write(&file, text).expect("a file");
        self.flags.config = Some(path_text(&file));
    }

    /// The settings, for the next start.
    pub(crate) fn flags(&mut self) -> &mut Flags {
        &mut self.flags
    }

    /// The configuration as the next start would read it.
    pub(crate) fn config(&self) -> Config {
        Config::load(&self.flags).expect("the settings can be used")
    }

    /// Starts it.
    pub(crate) async fn start(&mut self) -> Result<(), ServeError> {
        self.running = Some(Running::start(Config::load(&self.flags)?).await?);
        Ok(())
    }

    /// Reads the file with `ADMIN_TOKEN` again.
    pub(crate) fn reload_admin_token(&self) {
        let running = self.running.as_ref().expect("it runs");
        running.reload_admin_token().expect("a good token");
    }

    /// Does what the clock asks for at this instant.
    pub(crate) async fn sweep(&self, now: claviger_core::time::Timestamp) {
        let running = self.running.as_ref().expect("it runs");
        running.app.sweep(now).await.expect("a sweep");
    }

    /// Writes what is written behind.
    pub(crate) async fn flush(&self) {
        let running = self.running.as_ref().expect("it runs");
        running.app.flush_uses().await;
    }

    /// Records the signals that everything until now comes to.
    pub(crate) async fn tell_signals(&self) {
        self.flush().await;
        let running = self.running.as_ref().expect("it runs");
        running.app.tell_signals().await;
    }

    /// Asks who this bearer is, from `127.0.0.<end>`.
    pub(crate) async fn call_from(&self, end: u8, token: &str) {
        let here = std::net::IpAddr::from([127, 0, 0, end]);
        let client = reqwest::Client::builder().local_address(here).no_proxy();
        let url = format!("http://{}/org/whoami", self.address());
        let request = client.build().expect("a client").get(url);
        let answer = Ask(request).bearer(token).send().await;
        answer.ok(200);
    }

    /// Anchors what is new.
    pub(crate) async fn anchor(&self) {
        let running = self.running.as_ref().expect("it runs");
        running.app.anchor().await;
    }

    /// Copies the database; the server is stopped.
    pub(crate) fn backup(&self) -> Backup {
        assert!(self.running.is_none(), "it is stopped");
        match &self.database {
            Some(database) => Backup::Postgres(database.copy()),
            None => {
                let copy = self.directory.path().join("backup.db");
                std::fs::copy(self.data_dir().join("claviger.db"), &copy).expect("copied");
                Backup::Sqlite(copy)
            }
        }
    }

    /// Puts a copy in the place of the database; the server is stopped.
    pub(crate) fn restore(&mut self, backup: &Backup) {
        assert!(self.running.is_none(), "it is stopped");
        match backup {
            Backup::Postgres(copy) => {
                let copy = copy.copy();
                self.flags.database_url = Some(copy.url());
                self.database = Some(copy);
            }
            Backup::Sqlite(copy) => {
                for more in ["-wal", "-shm"] {
                    let path = self.data_dir().join(format!("claviger.db{more}"));
                    std::fs::remove_file(path).unwrap_or_default();
                }
                std::fs::copy(copy, self.data_dir().join("claviger.db")).expect("copied");
            }
        }
    }

    /// Puts another text in the place of one in every record that has it, as whoever owns the database
    /// can.
    pub(crate) fn rewrite_records(&self, from: &str, to: &str) {
        match &self.database {
            Some(database) => database.run(&format!(
                "update audit_runs set lines =
                     convert_to(replace(convert_from(lines, 'UTF8'), '{from}', '{to}'), 'UTF8')"
            )),
            None => {
                let mut shell = std::process::Command::new("sqlite3");
                shell.arg(self.data_dir().join("claviger.db"));
                shell.arg(".timeout 5000").arg(format!(
                    "update audit_runs set lines =
                         cast(replace(cast(lines as text), '{from}', '{to}') as blob)"
                ));
                let ended = shell.output().expect("`sqlite3` can be run");
                let words = String::from_utf8_lossy(&ended.stderr);
                assert!(ended.status.success(), "{words}");
            }
        }
    }

    /// Stops it; everything that was answered or written behind is on the disk then.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Stops it and starts it again on the same directory and database.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await.expect("the server starts again");
    }

    /// Takes everything out of the database and leaves the data directory as it is.
    pub(crate) async fn wipe_database(&mut self) {
        self.stop().await;
        match &mut self.database {
            Some(database) => {
                *database = Postgres::shared().database();
                self.flags.database_url = Some(database.url());
            }
            None => {
                let is_database = |name: &str| name.starts_with("claviger.db");
                for entry in std::fs::read_dir(self.data_dir()).expect("the data directory") {
                    let path = entry.expect("an entry").path();
                    let name = path.file_name().and_then(|name| name.to_str());
                    if name.is_some_and(is_database) {
                        std::fs::remove_file(&path).expect("the file goes");
                    }
                }
            }
        }
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// The PostgreSQL database, if it is on one.
    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// Runs statements in the database, behind the back of the server, which must not run.
    pub(crate) fn sql(&self, statements: &str) {
        assert!(self.running.is_none(), "it is stopped");
        claviger_testkit::execute(&self.config().database_url, statements);
    }

    /// The address of the PostgreSQL database, if it is on one.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(Database::url)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.running.as_ref().expect("it runs").address.to_string()
    }

    /// A request without a credential.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        let url = format!("http://{}{path}", self.address());
        let method = method.parse().expect("a method");
        Ask(self.client.request(method, url))
    }

    /// A request with a bearer.
    pub(crate) fn ask_as(&self, token: &str, method: &str, path: &str) -> Ask {
        self.ask(method, path).bearer(token)
    }

    /// `GET` with a bearer; the answer must be 200.
    pub(crate) async fn get(&self, token: &str, path: &str) -> Value {
        self.ask_as(token, "GET", path).send().await.ok(200)
    }

    /// `POST` with a bearer and a body; the answer must be 201.
    pub(crate) async fn make(&self, token: &str, path: &str, body: Value) -> Value {
        self.ask_as(token, "POST", path)
            .json(&body)
            .send()
            .await
            .ok(201)
    }

    /// Mints through `by`.
    pub(crate) async fn mint(&self, by: &str, body: Value) -> Minted {
        Minted::of(&self.make(by, "/org/tokens", body).await)
    }

    /// Mints the first key, through tier 0.
    pub(crate) async fn bootstrap(&self) -> Minted {
        let asked = self.ask("POST", "/org/tokens");
        let answer = asked.json(&json!({"name": "first"})).send().await;
        Minted::of(&answer.ok(201))
    }

    /// Makes a workspace and gives its id.
    pub(crate) async fn workspace(&self, token: &str) -> String {
        let made = self.make(token, "/workspaces", json!({"name": "w"})).await;
        text(&made["id"])
    }

    /// Makes a token of a workspace and gives its secret.
    pub(crate) async fn workspace_token(&self, token: &str, workspace: &str) -> String {
        let path = format!("/workspaces/{workspace}/tokens");
        let answer = self.ask_as(token, "POST", &path).send().await;
        text(&answer.ok(201)["auth_token"])
    }

    /// Signs in as a person, with a link that this token makes; gives the cookie.
    pub(crate) async fn sign_in(&self, by: &str) -> String {
        let made = self.ask_as(by, "POST", "/org/login-links").send().await;
        self.sign_in_with(&link_token(&made.ok(201))).await
    }

    /// Signs in with what stands behind `#` in a link.
    pub(crate) async fn sign_in_with(&self, token: &str) -> String {
        let answer = self.use_link(token).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").expect("a cookie");
        cookie.split(';').next().expect("a pair").to_owned()
    }

    /// Sends what stands behind `#` in a link.
    pub(crate) async fn use_link(&self, token: &str) -> Answer {
        let ask = self.ask("POST", "/canvas/link");
        let ask = ask.header("sec-fetch-site", "same-origin");
        ask.form(&[("token", token)]).send().await
    }

    /// A request from a page of ours, in a session.
    pub(crate) fn ask_in(&self, cookie: &str, method: &str, path: &str) -> Ask {
        self.ask(method, path).session(cookie)
    }

    /// Every record that the query selects, newest first.
    pub(crate) async fn audit(&self, token: &str, query: &str) -> Vec<Value> {
        let path = format!("/org/audit?limit=200{query}");
        let answer = self.get(token, &path).await;
        answer["events"].as_array().expect("events").clone()
    }

    /// Asks again and again until the answer is as awaited; gives up after some thousand times.
    pub(crate) async fn until(
        &self,
        ask: impl Fn(&Self) -> Ask,
        is_awaited: impl Fn(&Answer) -> bool,
    ) -> Answer {
        for _ in 0..20_000 {
            let answer = ask(self).send().await;
            if is_awaited(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
        panic!("the awaited answer did not come");
    }
}

/// A key as its minter sees it.
#[derive(Clone)]
pub(crate) struct Minted {
    pub(crate) id: String,
    pub(crate) prefix: String,
    pub(crate) secret: String,
}

impl Minted {
    pub(crate) fn of(answer: &Value) -> Self {
        Self {
            id: text(&answer["id"]),
            prefix: text(&answer["prefix"]),
            secret: text(&answer["auth_token"]),
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("/org/tokens/{}", self.id)
    }

    pub(crate) fn actor(&self) -> String {
        format!("org-token:{}", self.prefix)
    }
}

/// What stands behind `#` in a link.
pub(crate) fn link_token(link: &Value) -> String {
    let url = text(&link["url"]);
    url.split_once('#').expect("a fragment").1.to_owned()
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn path_text(path: &std::path::Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct LogWriter;

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().expect("no panic here").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects what every server of this process logs, down to the finest level.
fn capture_log() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(|| LogWriter)
            .init();
    });
}

/// The lines that were logged so far and hold this text.
pub(crate) fn logged(part: &str) -> Vec<String> {
    let log = LOG.lock().expect("no panic here");
    let text = String::from_utf8_lossy(&log);
    let found = text.lines().filter(|line| line.contains(part));
    found.map(str::to_owned).collect()
}
