//! A key is narrowed to what it uses, as the page for it says.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{bed::Bed, cli::Cli, run::run, server::Server};

const PAGE: &str = include_str!("../../../../../docs/tasks/least-privilege.md");

/// Every command of the page, in its order, in one shell that ends at the first failure.
pub(crate) fn page(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let admin = first_key(bed, &server);
    let mut script = "set -eu\n".to_owned();
    for (at, block) in PAGE.split("```").enumerate() {
        if let Some(commands) = block.strip_prefix("sh\n").filter(|_| at % 2 == 1) {
            script.push_str(commands);
        }
    }
    assert!(script.contains("claviger keys narrow"), "{script}");
    let binary = Path::new(env!("CARGO_BIN_EXE_claviger"));
    let directory = binary.parent().expect("a directory").display();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("PATH={directory}:$PATH\n{script}")])
        .env("CLAVIGER_URL", &admin.url)
        .env("CLAVIGER_TOKEN", &admin.token);
    let ended = run(shell, "");
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("secrets:read"), "{}", ended.out);
    assert!(ended.err.contains("secrets:reveal"), "{}", ended.err);
}

/// In a pipe nothing is changed without a yes; what was never used is not narrowed.
pub(crate) fn narrow(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let admin = first_key(bed, &server);
    let agent = admin.with(&admin.mint("agent"));
    let list = admin.json(&["keys", "list", "--q", "agent"], "");
    let id = list["tokens"][0]["id"].as_str().expect("an id").to_owned();
    let unused = admin.run(&["keys", "narrow", &id, "--yes"], "");
    assert_eq!(unused.code, Some(1), "{}", unused.err);
    assert!(unused.err.contains("nothing to narrow"), "{}", unused.err);
    assert!(unused.err.contains("never used"), "{}", unused.err);
    agent.text(&["keys", "list"], "");
    let unasked = admin.run(&["keys", "narrow", &id], "");
    assert_eq!(unasked.code, Some(2), "{}", unasked.err);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let usage = admin.text(&["keys", "usage", &id], "");
    assert!(usage.contains("GET\t/org/tokens\t-\t1\t0\n"), "{usage}");
    assert!(usage.contains("127.0.0.1\t"), "{usage}");
    let advice = admin.text(&["keys", "advice", &id], "");
    assert!(
        advice.contains("permissions\torg.tokens:read\n"),
        "{advice}"
    );
    let report = admin.text(&["keys", "report"], "");
    assert!(report.contains("no_expiry"), "{report}");
    let words = [
        "keys",
        "narrow",
        &id,
        "--window",
        "1h",
        "--endpoints",
        "--addresses",
        "--yes",
    ];
    let narrowed = admin.json(&words, "");
    let grant = json!({
        "permissions": ["org.tokens:read"], "workspaces": [],
        "endpoints": ["GET /org/tokens"], "ip_allow": ["127.0.0.1/32"]
    });
    assert_eq!(narrowed["grant"], grant);
    agent.text(&["keys", "list"], "");
    assert_eq!(agent.run(&["workspaces", "list"], "").code, Some(4));
}

fn first_key<'a>(bed: &'a Bed, server: &Server) -> Cli<'a> {
    let nobody = Cli::new(bed, server, "");
    nobody.with(&nobody.mint("admin"))
}
