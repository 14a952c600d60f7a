//! The master key: changed offline, recovered when that was interrupted, and never another one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::Value;

use crate::{
    bed::Bed,
    cli::Cli,
    run::{Ended, run},
    server::Server,
};

/// A well-formed master key that no database has: 32 zero bytes.
const STRANGER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
const VALUE: &str = "sealed-value";

/// A deployment that holds one secret and one channel.
struct Sealed<'a> {
    bed: &'a Bed,
    token: String,
    workspace: String,
}

impl<'a> Sealed<'a> {
    fn make(bed: &'a Bed) -> Self {
        let server = Server::start(bed.serve(&[]));
        let nobody = Cli::new(bed, &server, "");
        let cli = nobody.with(&nobody.mint("first"));
        let made = cli.json(&["workspaces", "create", "w"], "");
        let workspace = made["id"].as_str().expect("an id").to_owned();
        cli.json(&["secrets", "set", &workspace, "NAME"], VALUE);
        let add = [
            "channels",
            "add",
            &workspace,
            "webhook",
            "--credentials-stdin",
        ];
        cli.json(&add, r#"{"url": "https://example.com/hook"}"#);
        server.stop();
        Self {
            bed,
            token: cli.token,
            workspace,
        }
    }

    /// Starts the server, and expects the value to be readable.
    fn expect_readable(&self) {
        let server = Server::start(self.bed.serve(&[]));
        let cli = Cli::new(self.bed, &server, &self.token);
        let reveal = ["secrets", "reveal", &self.workspace, "NAME"];
        assert_eq!(cli.text(&reveal, ""), format!("{VALUE}\n"));
        server.stop();
    }

    /// Starts the server with another master key, and expects a refusal.
    fn expect_refused(&self, master_key: &str) {
        let file = self.bed.data.with_file_name("other.key");
        write_private(&file, master_key);
        let mut command = self.bed.serve(&[]);
        command.arg("--master-key-file").arg(&file);
        let refused = run(command, "");
        assert!(
            refused.code.is_some_and(|code| code != 0),
            "{}",
            refused.err
        );
        let sentence = "is not the one that this database was sealed with";
        assert!(refused.err.contains(sentence), "{}", refused.err);
        assert!(!refused.err.contains(master_key.trim()), "{}", refused.err);
    }
}

fn rekey(bed: &Bed, more: &[&str]) -> Ended {
    let mut command: Command = bed.with_data(&["secrets", "rekey", "--json"]);
    command.args(more);
    run(command, "")
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("made private");
}

fn expect_resealed(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let answer: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(answer["resealed"], 2, "{answer}");
}

/// Refused while a server runs; afterwards the new key opens everything and the old one nothing.
pub(crate) fn offline(bed: &Bed) {
    let sealed = Sealed::make(bed);
    let file = bed.data.join("master.key");
    let read = || fs::read_to_string(&file).expect("the master key");
    let old = read();

    let server = Server::start(bed.serve(&[]));
    let refused = rekey(bed, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(
        refused.err.contains("process serves the"),
        "{}",
        refused.err
    );
    assert_eq!(read(), old, "a refusal changes nothing");
    server.stop();
    sealed.expect_readable();

    expect_resealed(&rekey(bed, &[]));
    assert_ne!(read(), old);
    let mode = fs::metadata(&file).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    sealed.expect_readable();
    sealed.expect_refused(&old);

    let given = bed.data.with_file_name("given.key");
    write_private(&given, STRANGER);
    let given = given.to_str().expect("UTF-8");
    expect_resealed(&rekey(bed, &["--new-master-key-file", given]));
    assert_eq!(read(), STRANGER);
    sealed.expect_readable();

    let server = Server::start(bed.serve(&[]));
    let cli = Cli::new(bed, &server, &sealed.token);
    let list = cli.json(&["audit", "query", "--limit", "1000"], "");
    let events = list["events"].as_array().expect("a list");
    let rekeyed = events.iter().filter(|event| event["kind"] == "operation");
    let rekeyed: Vec<_> = rekeyed
        .map(|event| &event["change"]["rekeyed"]["sealed_values"])
        .collect();
    assert_eq!(rekeyed, [2, 2], "{list}");
}

/// Whichever of the two files the database was left with, the next start finds out.
pub(crate) fn interrupted(bed: &Bed) {
    let sealed = Sealed::make(bed);
    let (file, next) = (
        bed.data.join("master.key"),
        bed.data.join("master.key.next"),
    );
    let read = || fs::read_to_string(&file).expect("the master key");
    let old = read();

    // Before the database was changed: the new key was never used.
    write_private(&next, STRANGER);
    sealed.expect_readable();
    assert_eq!(read(), old);

    // And it is not in the way of the next attempt.
    write_private(&next, STRANGER);
    expect_resealed(&rekey(bed, &[]));
    let new = read();
    assert!(new != old && new != STRANGER);
    assert!(!next.exists());

    // After the database was changed: the new key has yet to take its place.
    write_private(&file, &old);
    write_private(&next, &new);
    sealed.expect_readable();
    assert_eq!(read(), new);
    assert!(!next.exists());

    // The same, and the operator tries again at once.
    write_private(&file, &old);
    write_private(&next, &new);
    expect_resealed(&rekey(bed, &[]));
    assert!(read() != old && read() != new);
    sealed.expect_readable();
}

/// A master key that is another, is missing or can be read by others keeps the server from starting.
pub(crate) fn other_master_key(bed: &Bed) {
    let sealed = Sealed::make(bed);
    sealed.expect_refused(STRANGER);
    let file = bed.data.join("master.key");
    let own = fs::read_to_string(&file).expect("the master key");
    let refusal = || {
        let refused = run(bed.serve(&[]), "");
        assert!(
            refused.code.is_some_and(|code| code != 0),
            "{}",
            refused.err
        );
        refused.err
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("exposed");
    assert!(refusal().contains("chmod 600"));
    fs::remove_file(&file).expect("removed");
    let said = refusal();
    assert!(said.contains("master key file"), "{said}");
    assert!(
        !file.exists(),
        "no new key is made for data that was sealed with another"
    );
    write_private(&file, &own);
    sealed.expect_readable();
}
