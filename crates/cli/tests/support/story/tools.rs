//! What needs no server: checks, completions, the manual, the reference, and what is refused before
//! anything is sent.

use std::process::Command;

use serde_json::Value;

use crate::{
    bed::Bed,
    cli::Cli,
    run::{Ended, run},
    server::Server,
};

fn offline(words: &[&str]) -> Ended {
    run(Bed::sqlite().claviger(words), "")
}

fn doctor(bed: &Bed, more: &[&str]) -> (Option<i32>, Value) {
    let mut command = bed.with_data(&["doctor", "--json"]);
    command.args(more);
    let ended = run(command, "");
    let report = serde_json::from_str(&ended.out);
    (
        ended.code,
        report.unwrap_or_else(|error| panic!("{error}: {}", ended.err)),
    )
}

fn levels(report: &Value, level: &str) -> Vec<String> {
    let findings = report["findings"].as_array().expect("a list").iter();
    let found = findings.filter(|finding| finding["level"] == level);
    found
        .filter_map(|finding| Some(finding["what"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn doctor_finds_nothing_bad_before_and_while_a_server_runs() {
    let bed = Bed::sqlite();
    let (code, report) = doctor(&bed, &["--url", "http://127.0.0.1:1"]);
    assert_eq!(
        (code, levels(&report, "bad")),
        (Some(0), vec![]),
        "{report}"
    );
    assert!(!bed.data.exists(), "doctor changes nothing");
    let server = Server::start(bed.serve(&[]));
    let (code, report) = doctor(&bed, &["--url", &server.url]);
    assert_eq!(
        (code, levels(&report, "bad")),
        (Some(0), vec![]),
        "{report}"
    );
    assert_eq!(levels(&report, "warning"), Vec::<String>::new(), "{report}");
    let settings = report["settings"].as_array().expect("a list");
    let data = settings
        .iter()
        .find(|setting| setting["name"] == "data-dir");
    assert_eq!(data.expect("the setting")["source"], "flag", "{report}");
}

#[test]
fn doctor_says_what_is_bad_and_exits_with_1() {
    let bed = Bed::sqlite();
    let mut command = bed.with_data(&["doctor"]);
    command.env("ADMIN_TOKEN", "short-and-guessable");
    let ended = run(command, "");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let row = ended
        .out
        .lines()
        .find(|line| line.starts_with("bad\tADMIN_TOKEN\t"));
    assert!(
        row.is_some_and(|row| row.contains("openssl rand -hex 32")),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("short-and-guessable"), "{}", ended.out);
}

#[test]
fn completions_are_a_script_that_the_shell_accepts() {
    let ended = offline(&["completions", "bash"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for word in ["claviger", "whoami", "workspaces", "complete "] {
        assert!(ended.out.contains(word), "{word}");
    }
    let mut shell = Command::new("sh");
    // Where there is no bash, nobody uses the script.
    shell.args([
        "-c",
        "if command -v bash >/dev/null; then bash -n; else cat >/dev/null; fi",
    ]);
    let checked = run(shell, &ended.out);
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
}

#[test]
fn manual_and_help_list_the_exit_codes() {
    for words in [&["man"][..], &["--help"]] {
        let ended = offline(words);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.out.contains("unauthenticated (401)"), "{}", ended.out);
    }
    let page = offline(&["man", "keys", "mint"]);
    assert_eq!(page.code, Some(0), "{}", page.err);
    assert!(page.out.contains(".TH "), "{}", page.out);
    assert_eq!(offline(&["man", "locks"]).code, Some(2));
}

#[test]
fn reference_is_the_one_that_the_server_serves() {
    let bed = Bed::sqlite();
    let printed = run(bed.claviger(&["openapi"]), "");
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let printed: Value = serde_json::from_str(&printed.out).expect("JSON");
    let version = printed["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1"), "{version}");
    let server = Server::start(bed.serve(&[]));
    let mut curl = Command::new("curl");
    curl.args([
        "-s",
        "--noproxy",
        "*",
        &format!("{}/openapi.json", server.url),
    ]);
    let served = run(curl, "");
    let served: Value = serde_json::from_str(&served.out).expect("JSON");
    assert_eq!(printed, served);
}

#[test]
fn secrets_are_never_arguments() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(&bed, &server, "");
    let cli = nobody.with(&nobody.mint("first"));
    let made = cli.json(&["workspaces", "create", "w"], "");
    let id = made["id"].as_str().expect("an id");
    let attempts: &[&[&str]] = &[
        &["whoami", "--token", "hush"],
        &["secrets", "set", id, "NAME", "hush"],
        &["secrets", "set", id, "NAME", "--value", "hush"],
        &[
            "channels",
            "add",
            id,
            "telegram",
            "--config",
            "bot_token=hush",
        ],
        &["channels", "add", id, "webhook", "--config", "url=hush"],
        &["serve", "--admin-token", "hush"],
        &["serve", "--master-key", "hush"],
    ];
    for words in attempts {
        let ended = cli.run(words, "");
        assert_eq!(ended.code, Some(2), "{words:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{words:?}");
    }
    let secrets = cli.json(&["secrets", "list", id], "");
    assert_eq!(
        secrets["secrets"].as_array().map(Vec::len),
        Some(0),
        "{secrets}"
    );
    let channels = cli.json(&["channels", "list", id], "");
    assert_eq!(
        channels["channels"].as_array().map(Vec::len),
        Some(0),
        "{channels}"
    );
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(&bed, &server, "");
    let cli = nobody.with(&nobody.mint("first"));
    let narrow = cli.text(&["keys", "mint", "narrow", "--preset", "reader"], "");
    let narrow = cli.with(narrow.trim());
    let nowhere = Cli {
        url: "http://127.0.0.1:1".to_owned(),
        ..cli.clone()
    };
    let mint = ["keys", "mint", "once", "--idempotency-key", "one"];
    let rows: &[(&Cli<'_>, &[&str], i32)] = &[
        (&cli, &["whoami"], 0),
        (&cli, &["keys", "mint", "x", "--expires-in", "soon"], 1),
        (&cli, &["keys", "mint"], 2),
        (&cli, &["keys", "revoke", "tok_x"], 2),
        (&nobody, &["whoami"], 3),
        (&narrow, &["workspaces", "create", "w"], 4),
        (&cli, &["keys", "show", "tok_x"], 5),
        (&cli, &mint, 0),
        (&cli, &mint, 6),
        (&nowhere, &["whoami"], 7),
    ];
    for (cli, words, code) in rows {
        let ended = cli.run(words, "");
        assert_eq!(ended.code, Some(*code), "{words:?}: {}", ended.err);
        assert_eq!(
            ended.err.contains("error: "),
            *code != 0,
            "{words:?}: {}",
            ended.err
        );
        assert_eq!(ended.out.is_empty(), *code != 0, "{words:?}: {}", ended.out);
    }
}

#[test]
fn log_in_a_pipe_holds_no_colour() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(&bed, &server, "");
    nobody.mint("first");
    let (out, err) = server.stop();
    assert!(err.contains("tier 0"), "{err}");
    for text in [out, err] {
        assert!(!text.contains('\u{1b}'), "{}", text.escape_debug());
    }
}
