//! The audit trail followed, and the blast radius of a key, on the command line.

use std::process::Stdio;

use crate::{
    bed::Bed,
    captured::Captured,
    cli::{Cli, prefix},
    server::Server,
};

/// What one key does is told as it happens; other keys, and the look itself, are not.
pub(crate) fn followed(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let admin = nobody.with(&nobody.mint("admin"));
    let (watched, other) = (admin.mint("watched"), admin.mint("other"));
    let id = id(&admin, &watched);
    let mut command = bed.claviger(&["audit", "tail", "--follow", "--token", &id]);
    command
        .env("CLAVIGER_URL", &server.url)
        .env("CLAVIGER_TOKEN", &admin.token);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    let out = Captured::of(child.stdout.take().expect("it is piped"));
    for key in [&watched, &other, &watched] {
        admin.with(key).text(&["whoami"], "");
    }
    admin.with(&watched).text(&["workspaces", "list"], "");
    let text = out.wait_for("the last call", |text| {
        text.contains("GET /workspaces").then(|| text.to_owned())
    });
    assert_eq!(text.matches("GET /org/whoami").count(), 2, "{text}");
    assert!(!text.contains(prefix(&other)), "{text}");
    assert!(!text.contains("/org/audit"), "{text}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

fn id(admin: &Cli<'_>, secret: &str) -> String {
    let list = admin.json(&["keys", "list", "--q", prefix(secret)], "");
    list["tokens"][0]["id"].as_str().expect("an id").to_owned()
}

/// What a key could have reached, and what was done with it and to it.
pub(crate) fn radius(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let admin = nobody.with(&nobody.mint("admin"));
    let leaked = admin.mint("leaked");
    let workspace = admin.json(&["workspaces", "create", "w"], "");
    let workspace = workspace["id"].as_str().expect("an id");
    admin.text(&["secrets", "set", workspace, "NAME"], "value");
    let thief = admin.with(&leaked);
    thief.text(&["secrets", "reveal", workspace], "");
    let id = id(&admin, &leaked);
    let told = admin.text(&["keys", "blast-radius", &id], "");
    for words in [
        "accepted now\tyes",
        "it reads the values of secrets",
        "NAME",
        "127.0.0.1",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    admin.text(&["keys", "revoke", &id, "--yes"], "");
    let told = admin.json(&["keys", "blast-radius", &id], "");
    assert_eq!(told["refused_because"], "revoked");
    assert_eq!(told["reveals"][0]["unchanged"][0], "NAME");
    let since = [
        "keys",
        "blast-radius",
        &id,
        "--since",
        "2999-01-01T00:00:00Z",
    ];
    assert_eq!(
        admin.json(&since, "")["reveals"].as_array().map(Vec::len),
        Some(0)
    );
}
