//! A start that cannot succeed ends with a sentence.

use std::{
    fs,
    time::{Duration, Instant},
};

use claviger_testkit::{Postgres, free_port};

use crate::{
    bed::Bed,
    run::{Ended, run},
    server::Server,
};

const START_MAX: Duration = Duration::from_secs(15);

fn refused(bed: &Bed, more: &[&str]) -> Ended {
    let asked = Instant::now();
    let ended = run(bed.serve(more), "");
    assert!(asked.elapsed() < START_MAX, "took {:?}", asked.elapsed());
    assert!(ended.code.is_some_and(|code| code != 0), "{}", ended.err);
    assert_eq!(ended.out, "");
    let sentence = ended.err.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("error: "), "{}", ended.err);
    assert!(!ended.err.contains("listens on"), "{}", ended.err);
    assert!(!ended.err.contains("hush"), "{}", ended.err);
    ended
}

#[test]
fn unreachable_database_is_refused_and_its_password_is_not_said() {
    let bed = Bed::sqlite();
    let url = format!("postgres://me:hush@127.0.0.1:{}/keys", free_port());
    let ended = refused(&bed, &["--database-url", &url]);
    assert!(
        ended.err.contains("cannot open the database"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("refused"), "{}", ended.err);
    // And no other kind of database is opened in its place.
    assert!(!bed.data.join("claviger.db").exists());
}

#[test]
fn silent_or_missing_database_is_refused() {
    let mut postgres = Postgres::spawn();
    let bed = Bed::postgres(&postgres);
    Server::start(bed.serve(&[])).stop();
    postgres.pause();
    refused(&bed, &[]);
    postgres.resume();
    Server::start(bed.serve(&[])).stop();
    postgres.stop_immediate();
    refused(&bed, &[]);
}

#[test]
fn database_of_another_kind_is_refused() {
    let bed = Bed::sqlite();
    for url in [
        "mysql://me:hush@localhost/keys",
        "keys.db",
        "postgres://me:hush@db:x/keys",
    ] {
        refused(&bed, &["--database-url", url]);
    }
}

#[test]
fn data_directory_that_cannot_be_made_is_refused() {
    let bed = Bed::sqlite();
    fs::write(&bed.data, "a file").expect("written");
    let ended = refused(&bed, &[]);
    assert!(ended.err.contains("data directory"), "{}", ended.err);
}

#[test]
fn address_that_is_taken_is_refused_and_named() {
    let bed = Bed::sqlite();
    let first = Server::start(bed.serve(&[]));
    let address = first
        .url
        .strip_prefix("http://")
        .expect("an address")
        .to_owned();
    let other = Bed::sqlite();
    let mut command = other.with_data(&["serve"]);
    command.args(["--listen", &address]);
    let ended = run(command, "");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let sentence = format!("cannot listen on {address}");
    assert!(ended.err.contains(&sentence), "{}", ended.err);
}

#[test]
fn file_that_is_no_database_is_refused_and_kept() {
    let bed = Bed::sqlite();
    fs::create_dir(&bed.data).expect("made");
    let file = bed.data.join("claviger.db");
    let text = "not a database, but somebody's diary\n".repeat(200);
    fs::write(&file, &text).expect("written");
    refused(&bed, &[]);
    assert_eq!(fs::read_to_string(&file).expect("read"), text);
}
