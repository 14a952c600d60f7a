//! `claviger scan --check` and `--revoke`: what the server says of what was found.

use std::fs;

use serde_json::{Value, json};

use crate::{
    bed::Bed,
    cli::{Cli, prefix},
    run::{Ended, run},
    scan::{Tree, line, secret},
    server::Server,
};

/// Scans `leak.txt` in the directory of the bed, as nobody.
fn scan(bed: &Bed, url: &str, words: &[&str]) -> Ended {
    let mut command = bed.claviger(&["scan", "leak.txt"]);
    command.args(words).env("CLAVIGER_URL", url);
    run(command, "")
}

fn write(bed: &Bed, content: &str) {
    fs::write(bed.data.with_file_name("leak.txt"), content).expect("written");
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err))
}

fn with_status(secret: &str, row: usize, status: &str) -> String {
    let line = line(secret, "leak.txt", [row, 1]);
    line.replace('\n', &format!("\t{status}\n"))
}

fn expect(ended: &Ended, code: i32, lines: &[String]) {
    let found = (ended.code, ended.out.clone());
    assert_eq!(found, (Some(code), lines.concat()), "{}", ended.err);
}

pub(crate) fn checked_and_revoked(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let admin = nobody.with(&nobody.mint("admin"));
    let (leaked, dead) = (admin.mint("leaked"), admin.mint("dead"));
    let child = admin.with(&leaked).mint("child");
    let id = |secret: &str| {
        let list = admin.json(&["keys", "list", "--all", "--q", prefix(secret)], "");
        list["tokens"][0]["id"].as_str().expect("an id").to_owned()
    };
    admin.text(&["keys", "revoke", &id(&dead), "--yes"], "");
    let stranger = secret(1);
    write(bed, &format!("{leaked}\n{dead}\n{stranger}\n{leaked}\n"));

    let ended = scan(bed, &server.url, &["--check"]);
    let expected = [
        with_status(&leaked, 1, "live"),
        with_status(&dead, 2, "already_revoked"),
        with_status(&stranger, 3, "unknown"),
        with_status(&leaked, 4, "live"),
    ];
    expect(&ended, 11, &expected);
    let sentence = "error: secrets found: 4, and live ones among them: 2\n";
    assert!(ended.err.starts_with(sentence), "{}", ended.err);
    let report = document(&scan(bed, &server.url, &["--check", "--json"]));
    let expected = json!({"prefix": prefix(&leaked), "file": "leak.txt", "line": 1, "column": 1,
        "status": "live", "token_id": id(&leaked)});
    assert_eq!(report["findings"][0], expected);
    assert_eq!(report["findings"][2]["status"], "unknown");
    admin.with(&leaked).text(&["whoami"], "");

    // In a pipe nobody can be asked, and nothing is done without a yes.
    let ended = scan(bed, &server.url, &["--revoke"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("--yes"), "{}", ended.err);
    admin.with(&leaked).text(&["whoami"], "");

    let ended = scan(bed, &server.url, &["--revoke", "--yes"]);
    let expected = [
        with_status(&leaked, 1, "revoked"),
        with_status(&dead, 2, "already_revoked"),
        with_status(&stranger, 3, "unknown"),
        with_status(&leaked, 4, "revoked"),
    ];
    expect(&ended, 10, &expected);
    let said = format!(
        "revoked: {} ({}), and what it minted: 1\n",
        prefix(&leaked),
        id(&leaked)
    );
    let whole = format!("{said}error: secrets found: 4, none of them live\n");
    assert!(ended.err.starts_with(&whole), "{}", ended.err);
    for secret in [&leaked, &child] {
        assert_eq!(admin.with(secret).run(&["whoami"], "").code, Some(3));
    }
    let key = admin.json(&["keys", "show", &id(&leaked)], "");
    assert_eq!(key["revoked_by"], "anonymous");
    assert_eq!(
        key["revoked_reason"],
        "reported as found: claviger scan: leak.txt"
    );
    // Nothing is left to be done.
    let ended = scan(bed, &server.url, &["--revoke", "--yes", "--json"]);
    assert_eq!(ended.code, Some(10), "{}", ended.err);
    assert_eq!(document(&ended)["findings"][0]["status"], "already_revoked");
    let (out, err) = server.stop();
    for secret in [&leaked, &child, &dead] {
        assert!(!out.contains(&**secret) && !err.contains(&**secret));
    }
}

#[test]
fn token_that_is_itself_the_leak_is_left_out() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(&bed, &server, "");
    let leaked = nobody.mint("leaked");
    write(&bed, &leaked);
    let revoke = |name: &str| {
        let mut command = bed.claviger(&["scan", "leak.txt", "--revoke", "--yes", "--json"]);
        command.env("CLAVIGER_URL", &server.url);
        command.env("CLAVIGER_TOKEN", &leaked);
        let ended = run(command, "");
        assert_eq!(ended.code, Some(10), "{name}: {}", ended.err);
        (document(&ended)["findings"][0]["status"].clone(), ended.err)
    };
    let (status, err) = revoke("it is accepted still");
    assert_eq!(status, "revoked", "{err}");
    let (status, err) = revoke("it is no longer");
    assert_eq!(status, "already_revoked");
    assert!(
        err.starts_with("warning: the token is not accepted"),
        "{err}"
    );
}

#[test]
fn more_secrets_than_go_into_one_call_are_all_checked() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let live = Cli::new(&bed, &server, "").mint("live");
    let mut all: Vec<_> = (1..=150).map(secret).collect();
    all.push(live);
    write(&bed, &all.join("\n"));
    let ended = scan(&bed, &server.url, &["--check", "--json"]);
    assert_eq!(ended.code, Some(11), "{}", ended.err);
    let report = document(&ended);
    let findings = report["findings"].as_array().expect("a list");
    let statuses: Vec<_> = findings.iter().map(|one| one["status"].as_str()).collect();
    let mut expected = vec![Some("unknown"); 150];
    expected.push(Some("live"));
    assert_eq!(statuses, expected);
}

#[test]
fn server_that_does_not_answer_loses_no_finding() {
    let tree = Tree::new();
    let secret = secret(1);
    tree.write("f", &secret);
    let ended = tree.scan(&["--check", "--url", "http://127.0.0.1:1"], "");
    assert_eq!(
        (ended.code, ended.out),
        (Some(1), line(&secret, "f", [1, 1])),
        "{}",
        ended.err
    );
    let sentence = "error: the secrets that were found could not be checked: no connection to \
                    http://127.0.0.1:1";
    assert!(ended.err.starts_with(sentence), "{}", ended.err);
    // Who finds nothing has nobody to ask.
    tree.write("f", "clean");
    let ended = tree.scan(&["--check", "--url", "http://127.0.0.1:1"], "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
}

#[test]
fn secrets_do_not_travel_in_the_clear_unless_that_is_said() {
    let tree = Tree::new();
    let secret = secret(1);
    tree.write("f", &secret);
    let elsewhere = ["--check", "--url", "http://claviger.invalid:1"];
    let ended = tree.scan(&elsewhere, "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("--insecure-http"), "{}", ended.err);
    // Said so, it is tried: there is nobody of that name.
    let ended = tree.scan(&[&elsewhere[..], &["--insecure-http"]].concat(), "");
    assert_eq!(
        (ended.code, ended.out),
        (Some(1), line(&secret, "f", [1, 1]))
    );
    assert!(ended.err.contains("no connection to"), "{}", ended.err);
    let ended = tree.scan(&["--yes"], "");
    assert_eq!(ended.code, Some(2), "--yes is for --revoke");
}

/// The page for whoever is in a hurry, as it stands.
const PAGE: &str = include_str!("../../../../../docs/tasks/leaked-key.md");

/// What stands in the blocks of shell commands of a page, in order.
fn shell_blocks(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

#[test]
fn page_about_a_leaked_key_works_as_it_stands() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(&bed, &server, "");
    let admin = nobody.with(&nobody.mint("admin"));
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_claviger"));
    let home = binary.parent().expect("a directory").display();
    let has_curl = std::process::Command::new("curl")
        .arg("-V")
        .output()
        .is_ok();
    let commands: String = shell_blocks(PAGE)
        .into_iter()
        .filter(|block| has_curl || !block.contains("curl"))
        .collect();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", &format!("PATH={home}:$PATH\n{commands}")]);
    shell.current_dir(bed.data.parent().expect("a directory"));
    shell.env("CLAVIGER_URL", &server.url);
    shell.env("CLAVIGER_TOKEN", &admin.token);
    let ended = run(shell, "");
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    for said in [
        "exit code 10",
        "exit code 11",
        "already_revoked",
        "revoked: mole_",
    ] {
        let is_said = ended.out.contains(said) || ended.err.contains(said) || !has_curl;
        assert!(is_said, "{said}: {}\n{}", ended.out, ended.err);
    }
    let list = admin.json(&["keys", "list", "--all", "--q", "leak-drill"], "");
    let statuses: Vec<_> = list["tokens"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| (key["name"].as_str(), key["status"].as_str()))
        .collect();
    let expected = [
        (Some("leak-drill-2"), Some("active")),
        (Some("leak-drill"), Some("revoked")),
    ];
    assert_eq!(statuses, expected);
}
