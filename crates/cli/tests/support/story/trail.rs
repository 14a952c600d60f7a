//! The audit trail followed, and the blast radius of a key, on the command line.

use std::{fs, process::Stdio};

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

/// A file that was cut off is finished by the same command, in every format, and holds what one export at
/// once holds; a file of another format is left as it is.
pub(crate) fn exported(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let admin = nobody.with(&nobody.mint("admin"));
    for name in ["one", "two", "three", "four"] {
        admin.mint(name);
    }
    let folder = bed.data.with_file_name("exports");
    fs::create_dir(&folder).expect("made");
    let place = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    for format in ["jsonl", "csv", "ocsf", "cloudevents"] {
        // By the method: what the exports themselves leave in the trail does not fit.
        let words = |path| {
            [
                "audit", "export", "--format", format, "--method", "POST", "-o", path,
            ]
        };
        let (whole, part) = (
            place(&format!("{format}.whole")),
            place(&format!("{format}.part")),
        );
        admin.text(&words(&whole), "");
        let bytes = fs::read(&whole).expect("an export");
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, 5 + usize::from(format == "csv"), "{format}");
        for cut in [0, 3, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
            fs::write(&part, bytes.get(..cut).expect("a part")).expect("written");
            admin.text(&words(&part), "");
            let gone_on = fs::read(&part).expect("an export");
            assert!(
                gone_on == bytes,
                "{format} behind {cut} of {} bytes",
                bytes.len()
            );
        }
    }
    let notes = place("notes");
    fs::write(&notes, "my notes").expect("written");
    let refused = admin.run(&["audit", "export", "-o", &notes], "");
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert_eq!(fs::read(&notes).expect("notes"), b"my notes");
    let found = admin.json(
        &["audit", "query", "--text", "TOKENS", "--method", "post"],
        "",
    );
    assert_eq!(found["events"].as_array().map(Vec::len), Some(5));
}

/// A file of one org is not gone on with for another, in whatever format: it would be half of each.
pub(crate) fn exported_by_org(bed: &Bed) {
    let token = "a".repeat(32);
    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", &token);
    let server = Server::start(command);
    let admin = Cli::new(bed, &server, &token);
    admin.text(&["orgs", "create", "other"], "");
    for org in ["default", "other"] {
        for name in ["one", "two", "three"] {
            admin.text(&["--org", org, "keys", "mint", name], "");
        }
    }
    let folder = bed.data.with_file_name("exports-by-org");
    fs::create_dir(&folder).expect("made");
    for format in ["jsonl", "csv", "ocsf", "cloudevents"] {
        let file = folder.join(format);
        let path = file.to_str().expect("UTF-8");
        let words = |org| {
            [
                "--org", org, "audit", "export", "--format", format, "--method", "POST", "-o", path,
            ]
        };
        admin.text(&words("default"), "");
        let bytes = fs::read(&file).expect("an export");
        let refused = admin.run(&words("other"), "");
        assert_eq!(refused.code, Some(1), "{format}: {}", refused.err);
        let reason = "is not in this trail";
        assert!(refused.err.contains(reason), "{format}: {}", refused.err);
        assert!(fs::read(&file).expect("an export") == bytes, "{format}");
    }
}
