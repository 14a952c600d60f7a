//! Killed under load, again and again: whatever was answered is there after the restart.
//!
//! Clients mint, revoke and ask who they are, and keep in memory what they were told. After a
//! number of answers that a seed decides, the process is killed (SIGKILL) and started again on the
//! same data. Then every key that was minted is accepted, every key that was revoked is refused,
//! and every request that was answered is in the audit trail, whose numbers have no gap. Before the
//! restart a store is opened on the same data: its trees, records and checkpoints agree.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a loss that was found is told by a panic, and the seed beside it"
)]

#[path = "support/crash/agreement.rs"]
mod agreement;
#[path = "support/bed.rs"]
mod bed;
#[path = "support/captured.rs"]
mod captured;
#[path = "support/http.rs"]
mod http;
#[path = "support/crash/known.rs"]
mod known;
#[path = "support/crash/load.rs"]
mod load;
#[path = "support/server.rs"]
mod server;

use std::{
    collections::HashSet,
    fmt::Write as _,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use agreement::Agreement;
use bed::Bed;
use claviger_testkit::Postgres;
use http::Http;
use known::Known;
use load::{Dice, Report};
use server::Server;

/// How often a process is killed on each database, unless `CLAVIGER_CRASH_ROUNDS` says otherwise;
/// `./check --nightly` says 200.
const ROUNDS: usize = 50;
const CLIENTS: u64 = 4;
/// The process is killed after this many answers, or up to as many more.
const ANSWERS_MIN: u64 = 4;
const ANSWERS_MORE: u64 = 44;
/// How long a server may be silent before the test gives up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn killed_process_has_lost_nothing_that_was_answered_on_sqlite() {
    kill_again_and_again(&Bed::sqlite());
}

#[test]
fn killed_process_has_lost_nothing_that_was_answered_on_postgres() {
    kill_again_and_again(&Bed::postgres(Postgres::shared()));
}

fn kill_again_and_again(bed: &Bed) {
    let seed = RandomState::new().build_hasher().finish();
    // Shown when the test fails. The schedule of the threads is not in it.
    println!("seed {seed:#x}");
    let mut dice = Dice::new(seed);
    let mut trail = Trail::default();
    let mut known = Known::default();
    let mut agreement = Agreement::default();
    for round in 0..rounds() {
        println!("round {round}");
        let server = start(bed);
        trail.read_on(&server);
        trail.expect(&known.take_new_requests());
        known.check_new(&server.url);
        let answers = ANSWERS_MIN + dice.below(ANSWERS_MORE);
        run_until_killed(server, answers, &mut dice, &mut known);
        let file = || format!("sqlite:{}", bed.data.join("claviger.db").display());
        agreement.check(bed.database_url().unwrap_or_else(file));
    }
    let server = start(bed);
    trail.read_on(&server);
    trail.expect(&known.take_new_requests());
    known.check_all(&server.url);
    trail.expect_export(&server);
    println!("{known}, {} records", trail.ids.len());
    server.stop();
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of the product"
)]
fn rounds() -> usize {
    let asked = std::env::var("CLAVIGER_CRASH_ROUNDS").ok();
    asked.map_or(ROUNDS, |asked| asked.parse().expect("a number"))
}

fn start(bed: &Bed) -> Server {
    let mut command = bed.serve(&["--mints-per-minute", "1000000"]);
    command.env("ADMIN_TOKEN", ADMIN_TOKEN);
    Server::start(command)
}

/// Puts load on the server, and kills it when so many requests have been answered.
fn run_until_killed(server: Server, answers: u64, dice: &mut Dice, known: &mut Known) {
    let (reports, inbox) = channel::<Report>();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (url, reports) = (server.url.clone(), reports.clone());
            let dice = Dice::new(dice.next());
            scope.spawn(move || load::press(&url, dice, &reports));
        }
        drop(reports);
        let mut answered = 0;
        let mut server = Some(server);
        for report in inbox {
            answered += u64::from(matches!(report, Report::Answered { .. }));
            known.note(report);
            if answered == answers {
                drop(server.take());
            }
        }
        assert!(
            server.is_none(),
            "the clients gave up after {answered} answers"
        );
    });
}

/// The audit trail as far as it has been read.
#[derive(Default)]
struct Trail {
    ids: HashSet<String>,
    last_seq: u64,
}

impl Trail {
    /// Reads what was recorded since; each number follows the one before.
    fn read_on(&mut self, server: &Server) {
        let mut http = Http::connect(&server.url, SILENCE_MAX).expect("connected");
        loop {
            let line = format!("GET /org/audit?after={}&limit=100", self.last_seq);
            let answer = http.ask(&line, ADMIN_TOKEN, "").expect("answered");
            assert_eq!(answer.status, 200, "{}", answer.body);
            let list = answer.json();
            for event in list["events"].as_array().expect("a list") {
                assert_eq!(event["seq"], self.last_seq + 1, "a gap: {event}");
                self.last_seq += 1;
                let id = event["id"].as_str().expect("an id").to_owned();
                assert!(self.ids.insert(id), "twice: {event}");
            }
            if list["next_cursor"].is_null() {
                return;
            }
        }
    }

    fn expect(&self, requests: &[String]) {
        let lost = requests.iter().filter(|id| !self.ids.contains(*id));
        let lost: Vec<_> = lost.collect();
        assert!(lost.is_empty(), "answered, and not recorded: {lost:?}");
    }

    /// The export holds the same records, and those of its own reading.
    fn expect_export(&mut self, server: &Server) {
        let mut http = Http::connect(&server.url, SILENCE_MAX).expect("connected");
        let line = "GET /org/audit/export?format=jsonl";
        let answer = http.ask(line, ADMIN_TOKEN, "").expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut exported = HashSet::new();
        for line in answer.body.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            exported.insert(event["id"].as_str().expect("an id").to_owned());
        }
        let mut lost = String::new();
        for id in self.ids.difference(&exported) {
            writeln!(lost, "{id}").expect("written");
        }
        assert!(lost.is_empty(), "not in the export:\n{lost}");
        self.read_on(server);
        let excess: Vec<_> = exported.difference(&self.ids).collect();
        assert!(excess.is_empty(), "in the export alone: {excess:?}");
    }
}
