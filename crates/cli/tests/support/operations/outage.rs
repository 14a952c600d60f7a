//! PostgreSQL that does not answer, or is not there.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use claviger_testkit::Postgres;

use crate::{
    bed::Bed,
    service::{Ask, GUARDED, HANG, Service},
};

/// How fast a request is refused when the server is known to be down.
const REFUSAL_MAX: Duration = Duration::from_secs(2);

/// Every request of a kind, twice: the first of them finds out.
fn every_ask() -> Vec<Ask> {
    let kinds = [&GUARDED[..], &[Ask::WhoAmI, Ask::ListWorkspaces]].concat();
    kinds.repeat(2)
}

#[test]
fn silent_database_is_503_in_time_and_service_resumes_by_itself() {
    let mut postgres = Postgres::spawn();
    let bed = Bed::postgres(&postgres);
    let service = Service::start(&bed, "durable");
    for _ in 0..2 {
        postgres.pause();
        service.expect_refused(&every_ask(), HANG);
        assert_eq!(
            (service.status("/healthz"), service.status("/readyz")),
            (200, 503)
        );
        // By now it is known.
        service.expect_refused(&[Ask::WhoAmI], REFUSAL_MAX);
        postgres.resume();
        service.expect_recovery();
    }
    service.server.stop();
}

#[test]
fn silent_database_does_not_hold_up_relaxed_reads_from_memory() {
    let mut postgres = Postgres::spawn();
    let bed = Bed::postgres(&postgres);
    let service = Service::start(&bed, "relaxed");
    postgres.pause();
    let asked = Instant::now();
    let answer = service.ask(Ask::WhoAmI);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(asked.elapsed() < REFUSAL_MAX, "took {:?}", asked.elapsed());
    let id = answer.header("x-request-id").expect("a request id");
    service.expect_refused(&GUARDED, HANG);
    service.expect_refused(&[Ask::ListWorkspaces], HANG);
    assert_eq!(service.ask(Ask::WhoAmI).status, 200);
    postgres.resume();
    service.expect_recovery();
    assert!(
        service.trail().contains(id),
        "{id} was answered and is lost"
    );
    service.server.stop();
}

#[test]
fn vanished_database_is_503_and_service_resumes_by_itself() {
    let mut postgres = Postgres::spawn();
    let bed = Bed::postgres(&postgres);
    let service = Service::start(&bed, "durable");
    for _ in 0..2 {
        postgres.stop_immediate();
        service.expect_refused(&every_ask(), HANG);
        assert_eq!(
            (service.status("/healthz"), service.status("/readyz")),
            (200, 503)
        );
        service.expect_refused(&every_ask(), REFUSAL_MAX);
        postgres.start();
        service.expect_recovery();
    }
    service.server.stop();
}

#[test]
fn database_that_vanishes_under_load_never_makes_a_good_key_a_bad_one() {
    let mut postgres = Postgres::spawn();
    let bed = Bed::postgres(&postgres);
    let service = Service::start(&bed, "durable");
    thread::scope(|scope| {
        let presses: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| press_until_refused(&service)))
            .collect();
        postgres.stop_immediate();
        for press in presses {
            press.join().expect("answered by 200 and then by 503");
        }
    });
    postgres.start();
    service.expect_recovery();
    service.server.stop();
}

fn press_until_refused(service: &Service) {
    let deadline = Instant::now() + HANG;
    loop {
        let answer = service.ask(Ask::WhoAmI);
        match answer.status {
            200 => assert!(Instant::now() < deadline, "nobody noticed"),
            503 => return,
            other => panic!("{other}: {}", answer.body),
        }
    }
}

/// As some hosts do when a disk runs full: transactions are for reading unless they say otherwise.
#[test]
fn database_turned_read_only_is_no_error_of_the_caller_and_service_resumes_by_itself() {
    let postgres = Postgres::spawn();
    let database = postgres.database();
    let turn = |word: &str| {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--dbname",
            &database.url(),
            "--command",
        ]);
        psql.arg(format!(
            "alter system set default_transaction_read_only = {word}"
        ));
        psql.args(["--command", "select pg_reload_conf()"]);
        match psql.output() {
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{reason}");
                true
            }
            Err(error) => {
                println!("skipped: `psql` cannot be run here: {error}");
                false
            }
        }
    };
    for audit in ["relaxed", "durable"] {
        let bed = Bed::postgres(&postgres);
        let service = Service::start(&bed, audit);
        if !turn("on") {
            return;
        }
        for ask in every_ask() {
            let answer = service.ask(ask);
            assert!(
                matches!(answer.status, 200 | 201 | 503),
                "{ask:?}: {}",
                answer.body
            );
        }
        service.expect_few_words();
        turn("off");
        service.expect_recovery();
        service.server.stop();
    }
}

#[test]
fn server_stops_in_time_while_its_database_is_silent_or_gone() {
    let mut postgres = Postgres::spawn();
    let bed = Bed::postgres(&postgres);
    let service = Service::start(&bed, "durable");
    postgres.pause();
    service.expect_refused(&[Ask::WhoAmI], HANG);
    service.server.stop();
    postgres.resume();

    let service = Service::start(&bed, "durable");
    postgres.stop_immediate();
    service.expect_refused(&[Ask::WhoAmI], HANG);
    service.server.stop();
    postgres.start();
    Service::start(&bed, "durable").server.stop();
}
