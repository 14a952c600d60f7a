//! `ADMIN_TOKEN`: refused when short, replaced without a restart.

use std::{fs, process::Command};

use crate::{bed::Bed, cli::Cli, run::run, server::Server};

/// What the sentence promises of the command that follows.
const ADVICE: &str = "make a good one with: ";

/// A short one is refused at start, with the command that makes a good one.
pub(crate) fn short_token(bed: &Bed) {
    let short = "short-and-guessable";
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", short);
    let refused = run(command, "");
    assert!(
        refused.code.is_some_and(|code| code != 0),
        "{}",
        refused.err
    );
    assert_eq!(refused.out, "");
    assert!(refused.err.contains("needs at least 32"), "{}", refused.err);
    assert!(!refused.err.contains(short), "{}", refused.err);
    let advice = refused.err.split_once(ADVICE).expect("the command").1;
    let advice = advice.lines().next().expect("a line");

    let mut shell = Command::new("sh");
    shell.args(["-c", advice]);
    let made = run(shell, "");
    assert_eq!(made.code, Some(0), "`{advice}` failed: {}", made.err);
    let good = made.out.trim();
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", good);
    let server = Server::start(command);
    let said = server.err.text();
    assert!(said.contains("ADMIN_TOKEN (tier 2b) is set"), "{said}");
    assert!(!said.contains(good), "{said}");
    let admin = Cli::new(bed, &server, good);
    let me = admin.json(&["whoami"], "");
    assert_eq!(me["actor"], "admin-token", "{me}");
    assert_eq!(me["tier"], "2b", "{me}");
    // Tier 0 is not open beside it.
    assert_eq!(admin.with("").run(&["keys", "mint", "x"], "").code, Some(3));
    let list = admin.json(&["audit", "query", "--actor", "admin-token"], "");
    assert_eq!(list["events"][0]["kind"], "break_glass", "{list}");
}

/// SIGHUP reads the file again: the old token ends, the new one begins; a bad file changes nothing.
pub(crate) fn hangup(bed: &Bed) {
    let file = bed.data.with_file_name("admin-token");
    let (old, new) = ("a".repeat(32), "b".repeat(40));
    fs::write(&file, format!("{old}\n")).expect("written");
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN_FILE", &file);
    let server = Server::start(command);
    let old = Cli::new(bed, &server, &old);
    let new = old.with(&new);
    let enters = |cli: &Cli<'_>| match cli.run(&["whoami"], "").code {
        Some(0) => true,
        Some(3) => false,
        other => panic!("exit code {other:?}"),
    };
    assert!(enters(&old) && !enters(&new));
    let key = old.with(&old.mint("a key"));

    fs::write(&file, format!("{}\n", new.token)).expect("written");
    assert!(enters(&old), "nothing changes before the signal");
    server.signal("HUP");
    server.err.wait_for("the second reading", |text| {
        text.contains("ADMIN_TOKEN_FILE was read again")
            .then_some(())
    });
    assert!(!enters(&old) && enters(&new));

    for (round, bad) in (1..).zip(["too-short\n", "", "gone"]) {
        if bad == "gone" {
            fs::remove_file(&file).expect("removed");
        } else {
            fs::write(&file, bad).expect("written");
        }
        server.signal("HUP");
        server.err.wait_for("the refusal of a bad file", |text| {
            let count = text.matches("ADMIN_TOKEN stays as it was").count();
            (count == round).then_some(())
        });
        assert!(!enters(&old) && enters(&new), "{bad}");
    }
    assert!(enters(&key), "keys are not concerned");
}

/// Whatever id a provider gives somebody, a command reaches that person and nothing else.
pub(crate) fn people_of_any_id(bed: &Bed) {
    let token = "a".repeat(32);
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", &token);
    let server = Server::start(command);
    let admin = Cli::new(bed, &server, &token);
    for (id, path) in [
        ("auth0|5f7c", "/org/members/auth0|5f7c"),
        ("x?#{}", "/org/members/x%3F%23%7B%7D"),
        ("a/../b;c", "/org/members/~612f2e2e2f623b63"),
    ] {
        let ended = admin.run(&["members", "suspend", id], "");
        assert!(ended.err.contains("no such person"), "{id}: {}", ended.err);
        let line = format!("admin-token POST {path}/suspend 404");
        server
            .out
            .wait_for("the line", |text| text.contains(&line).then_some(()));
    }
    let refused = admin.run(&["members", "show", "two words"], "");
    assert!(refused.err.contains("no space"), "{}", refused.err);
}
