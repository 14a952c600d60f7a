//! The trail of a running server, verified from outside: what is proved by whose key, and what somebody
//! did to the database.

use serde_json::Value;

use crate::{bed::Bed, cli::Cli, server::Server};

/// The report of `audit verify --live`, and how it ended.
fn report(cli: &Cli<'_>, more: &[&str]) -> (Option<i32>, Value) {
    let words = [&["audit", "verify", "--live", "--json"], more].concat();
    let ended = cli.run(&words, "");
    let report = serde_json::from_str(&ended.out);
    (
        ended.code,
        report.unwrap_or_else(|_| panic!("{}", ended.err)),
    )
}

fn column_of(report: &Value, column: &str) -> Option<u64> {
    let findings = report["findings"].as_array().expect("a list");
    let found = findings.iter().find(|found| found["column"] == column)?;
    found["record"].as_u64()
}

pub(crate) fn verify(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let cli = nobody.with(&nobody.mint("first"));
    for _ in 0..30 {
        cli.text(&["whoami"], "");
    }
    let folder = bed.data.with_file_name("kept");
    let path = folder.to_str().expect("UTF-8");
    cli.text(&["audit", "export", "--format", "tlog", "-o", path], "");
    let (key, anchor) = (format!("{path}/key"), format!("{path}/checkpoint"));

    // Without a key nothing is proved to somebody who does not trust the server, and that is said.
    let said = cli.text(&["audit", "verify", "--live"], "");
    assert!(
        said.contains("all fits the key that the server gave"),
        "{said}"
    );
    assert!(said.contains("from the server itself"), "{said}");
    let (code, of_server) = report(&cli, &[]);
    assert_eq!(
        (code, &of_server["is_key_of_server"]),
        (Some(0), &true.into())
    );

    let kept = ["--key", &key, "--anchor", &anchor];
    let (code, whole) = report(&cli, &kept);
    assert_eq!(code, Some(0), "{whole}");
    assert_eq!(whole["is_proved"], true);
    assert_eq!(whole["is_key_of_server"], false);
    assert_eq!(whole["records"], whole["intact"]);
    assert!(whole["records"].as_u64() > Some(30));
    assert_eq!(whole["proved"]["source"], "server");
    let standings = whole["checkpoints"].as_array().expect("a list").iter();
    assert_eq!(standings.filter(|one| one["standing"] == "fits").count(), 2);
    let said = cli.text(&[&["audit", "verify", "--live"], &kept[..]].concat(), "");
    assert!(said.contains("all is proved"), "{said}");

    let usage = |words: &[&str]| assert_eq!(cli.run(words, "").code, Some(2), "{words:?}");
    usage(&["audit", "verify", "--live", path]);
    usage(&["audit", "verify"]);
    usage(&["audit", "verify", path]);
    let refused = nobody.run(&["audit", "verify", "--live"], "");
    assert_eq!(refused.code, Some(3), "{}", refused.err);
    server.stop();

    // A bound that filters rely on; then the bytes of a record.
    let url = bed.database_url();
    let url = url.unwrap_or_else(|| format!("sqlite:{}/claviger.db", bed.data.display()));
    claviger_testkit::execute(
        &url,
        "update audit_runs set at_max = at_max + 1 where first_seq = 5",
    );
    let server = Server::start(bed.serve(&[]));
    let cli = Cli::new(bed, &server, &cli.token);
    let (code, found) = report(&cli, &kept);
    assert_eq!(code, Some(12), "{found}");
    assert_eq!(column_of(&found, "audit_runs.at_max"), Some(5), "{found}");
    assert_eq!(
        found["records"], found["intact"],
        "the records themselves are proved"
    );
    server.stop();
    let flip = if bed.database_url().is_some() {
        "update audit_runs set lines = convert_to(replace(convert_from(lines, 'UTF8'), '/org/whoami', '/org/whoamy'), 'UTF8') where first_seq = 7"
    } else {
        "update audit_runs set lines = cast(replace(cast(lines as text), '/org/whoami', '/org/whoamy') as blob) where first_seq = 7"
    };
    claviger_testkit::execute(&url, flip);
    let server = Server::start(bed.serve(&[]));
    let cli = Cli::new(bed, &server, &cli.token);
    let (code, found) = report(&cli, &kept);
    assert_eq!(code, Some(12), "{found}");
    let kinds = found["findings"].as_array().expect("a list").iter();
    let kinds: Vec<&Value> = kinds.map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&"root_mismatch".into()), "{found}");
    server.stop();
}
