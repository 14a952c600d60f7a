//! Ask and approve: an agent asks for a key, an admin narrows and approves, the agent collects.

use crate::{
    bed::Bed,
    cli::{Cli, is_secret},
    server::Server,
};

/// The whole way, in pipes as scripts use them.
pub(crate) fn walk(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let admin = nobody.with(&nobody.mint("admin"));
    let reader = ["keys", "mint", "agent", "--preset", "reader"];
    let agent = admin.with(admin.text(&reader, "").trim());

    let why = "the nightly report sends to a channel";
    let ask = [
        "requests",
        "ask",
        "writer",
        "--why",
        why,
        "--preset",
        "editor",
        "--expires-in",
        "7d",
    ];
    let ended = agent.run(&ask, "");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let id = ended.out.trim();
    assert_eq!(ended.out, format!("{id}\n"), "the id and nothing else");
    assert!(id.starts_with("req_"), "{id}");
    assert!(ended.err.contains(why), "{}", ended.err);
    assert_eq!(agent.run(&["requests", "collect", id], "").code, Some(6));
    assert_eq!(agent.run(&["requests", "approve", id], "").code, Some(4));

    let list = admin.text(&["requests", "list", "--status", "pending"], "");
    assert!(list.contains(id) && list.contains(why), "{list}");
    let narrower = [
        "requests",
        "approve",
        id,
        "--permission",
        "channels:send",
        "--expires-in",
        "1d",
        "--note",
        "for a day",
    ];
    let shown = admin.text(&narrower, "");
    assert!(shown.contains("note\tfor a day\n"), "{shown}");
    let seen = agent.json(&["requests", "show", id], "");
    assert_eq!(seen["status"], "approved", "{seen}");
    assert_eq!(seen["approved"]["expires_in"], "1d", "{seen}");

    let ended = agent.run(&["requests", "collect", id], "");
    let secret = ended.out.trim();
    assert!(is_secret(secret), "{}{}", ended.out, ended.err);
    assert!(!ended.err.contains(secret), "{}", ended.err);
    let me = agent.with(secret).json(&["whoami"], "");
    assert_eq!(me["grant"]["permissions"][0], "channels:send", "{me}");
    assert_eq!(agent.run(&["requests", "collect", id], "").code, Some(6));

    let again = agent.text(&ask, "");
    let denied = admin.json(&["requests", "deny", again.trim(), "--note", "no"], "");
    assert_eq!(denied["decision_note"], "no", "{denied}");
    let again = agent.text(&ask, "");
    let gone = agent.json(&["requests", "withdraw", again.trim()], "");
    assert_eq!(gone["status"], "withdrawn", "{gone}");
    let all = admin.json(&["requests", "list"], "");
    let all = all["requests"].as_array().expect("a list");
    let statuses: Vec<_> = all
        .iter()
        .filter_map(|one| one["status"].as_str())
        .collect();
    assert_eq!(statuses, ["withdrawn", "denied", "collected"]);
    let (out, err) = server.stop();
    assert!(!out.contains(secret) && !err.contains(secret));
}
