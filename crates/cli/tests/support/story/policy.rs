//! The org's policy, and many keys stopped at once, on the command line.

use crate::{bed::Bed, cli::Cli, server::Server};

/// What a policy would block is shown before it is set, and is not set in a pipe unless that is said.
pub(crate) fn walk(bed: &Bed) {
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", ADMIN);
    let server = Server::start(command);
    let admin = Cli::new(bed, &server, ADMIN);
    let agent = admin.with(&admin.mint("agent"));
    let policy = r#"{"require_expiry": true, "presets": ["editor"]}"#;
    let looked = admin.run(&["policy", "set", "-", "--dry-run"], policy);
    assert_eq!(looked.code, Some(0), "{}", looked.err);
    assert!(looked.out.contains("agent\t"), "{}", looked.out);
    assert!(looked.err.contains("1 would be blocked"), "{}", looked.err);
    let refused = admin.run(&["policy", "set", "-"], policy);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(
        refused.err.contains("--yes") && refused.err.contains("agent"),
        "{}",
        refused.err
    );
    assert_eq!(
        agent.run(&["whoami"], "").code,
        Some(0),
        "nothing is set yet"
    );
    let set = admin.run(&["policy", "set", "-", "--yes"], policy);
    assert_eq!(set.code, Some(0), "{}", set.err);
    assert!(
        admin
            .text(&["policy", "show"], "")
            .contains("expiry required\tyes\n")
    );
    let blocked = agent.run(&["whoami"], "");
    assert_eq!(blocked.code, Some(4), "{}", blocked.err);
    assert!(blocked.err.contains("policy_blocked"), "{}", blocked.err);
    let mint = ["keys", "mint", "short", "--expires-in", "1d"];
    let short = admin.with(admin.text(&mint, "").trim());
    assert!(
        short
            .text(&["whoami"], "")
            .contains("policy: permissions\t")
    );
    // What blocks nobody is set without a question.
    let open = admin.run(&["policy", "set", "-"], "{}");
    assert_eq!(open.code, Some(0), "{}", open.err);
    assert_eq!(agent.run(&["whoami"], "").code, Some(0));
    let wrong = admin.run(&["policy", "set", "-"], r#"{"expiry": true}"#);
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
}

/// A dry run, the stop, the line as a tree, and on again.
pub(crate) fn many(bed: &Bed) {
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", ADMIN);
    let server = Server::start(command);
    let admin = Cli::new(bed, &server, ADMIN);
    let mint = ["keys", "mint", "lead", "--metadata", "team=red"];
    let lead = admin.with(admin.text(&mint, "").trim());
    let helper = lead.with(&lead.mint("helper"));
    let look = ["keys", "suspend", "--tag", "team=red", "--dry-run"];
    let looked = admin.run(&look, "");
    assert!(
        looked.out.contains("lead\t") && looked.out.contains("with a key above"),
        "{}",
        looked.out
    );
    assert!(
        looked.err.contains("1 would be suspended"),
        "{}",
        looked.err
    );
    assert_eq!(helper.run(&["whoami"], "").code, Some(0));
    let unasked = admin.run(&["keys", "suspend", "--tag", "team=red"], "");
    assert_eq!(unasked.code, Some(2), "{}", unasked.err);
    assert!(
        unasked.err.contains("lead\t") && unasked.err.contains("--yes"),
        "{}",
        unasked.err
    );
    let stopped = admin.run(&["keys", "suspend", "--tag", "team=red", "--yes"], "");
    assert_eq!(stopped.code, Some(0), "{}", stopped.err);
    for caller in [&lead, &helper] {
        assert_eq!(caller.run(&["whoami"], "").code, Some(3));
    }
    let id = admin.json(&["keys", "list", "--q", "lead"], "")["tokens"][0]["id"].clone();
    let id = id.as_str().expect("an id");
    let line = admin.text(&["keys", "lineage", id], "");
    assert!(
        line.contains("> lead\t") && line.contains("helper\t"),
        "{line}"
    );
    let resumed = admin.run(&["keys", "resume", "--tag", "team=red", "--yes"], "");
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    assert_eq!(helper.run(&["whoami"], "").code, Some(0));
    let nothing = admin.run(&["keys", "suspend"], "");
    assert_eq!(nothing.code, Some(2), "{}", nothing.err);
}

/// What both servers are started with.
const ADMIN: &str = "an-admin-token-for-stories-0123456789abcdef";
