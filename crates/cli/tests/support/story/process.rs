//! The process: one at a time, stopped gently, and started again on the same data.

use crate::{bed::Bed, cli::Cli, run::run, server::Server};

/// A second process on the same data is told so, and the first goes on.
pub(crate) fn second_process(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let refused = run(bed.serve(&[]), "");
    assert!(
        refused.code.is_some_and(|code| code != 0),
        "{}",
        refused.err
    );
    assert_eq!(refused.out, "");
    let sentence = refused.err.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("error: another "), "{}", refused.err);
    assert!(sentence.contains(" process serves the "), "{}", refused.err);
    let nobody = Cli::new(bed, &server, "");
    nobody.with(&nobody.mint("first")).json(&["whoami"], "");
    server.stop();
    // Nothing is left behind that would keep the next one out.
    Server::start(bed.serve(&[])).stop();
}

/// SIGTERM ends well and writes what was written behind; a restart finds all of it.
pub(crate) fn restart(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let first = nobody.with(&nobody.mint("first"));
    let second = first.with(&first.mint("second"));
    let made = first.json(&["workspaces", "create", "kept"], "");
    let workspace = made["id"].as_str().expect("an id");
    first.json(&["secrets", "set", workspace, "NAME"], "value");
    let me = second.json(&["whoami"], "");
    let id = me["key"]["id"].as_str().expect("an id");
    let used = first.json(&["keys", "show", id], "")["last_used_at"].clone();
    assert!(used.is_string(), "{used}");
    let trail = first.text(&["audit", "export"], "");
    let (out, _) = server.stop();
    let last = out.lines().last().unwrap_or_default();
    assert!(last.contains(" GET /org/audit/export 200 "), "{out}");

    let server = Server::start(bed.serve(&[]));
    let said = server.err.text();
    assert!(!said.contains("Tier 0 is open"), "{said}");
    let nobody = Cli::new(bed, &server, "");
    assert_eq!(nobody.run(&["keys", "mint", "again"], "").code, Some(3));
    let (first, second) = (nobody.with(&first.token), nobody.with(&second.token));
    let shown = first.json(&["keys", "show", id], "");
    assert_eq!(shown["last_used_at"], used, "{shown}");
    assert_eq!(first.json(&["workspaces", "show", workspace], ""), made);
    let reveal = ["secrets", "reveal", workspace, "NAME"];
    assert_eq!(second.text(&reveal, ""), "value\n");
    assert_eq!(second.json(&["whoami"], ""), me);
    let grown = first.text(&["audit", "export"], "");
    assert!(grown.starts_with(&trail), "the trail was rewritten");
    let export = grown.lines().nth(trail.lines().count()).unwrap_or_default();
    assert!(export.contains(r#""path":"/org/audit/export""#), "{export}");
}
