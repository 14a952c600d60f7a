//! From the first start to the first revocation.

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

use crate::{
    bed::Bed,
    cli::{Cli, is_secret, prefix},
    run::run,
    server::Server,
};

const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
const WEBHOOK: &str = "https://hooks.slack.com/services/T0/B0/do-not-tell";
const VALUE: &str = "sk-a-value-that-nobody-logs";

/// Starts, mints as told, and calls every workspace route; each call is seen and attributed.
pub(crate) fn walk(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let secret = mint_as_told(&server);
    let mut walk = Walk {
        cli: Cli::new(bed, &server, &secret),
        steps: vec![],
    };
    walk.step(&["whoami"], "", "GET /org/whoami 200");
    let workspace = visit_workspaces(&mut walk);
    visit_channels(&mut walk, &workspace);
    visit_secrets(&mut walk, &workspace);
    visit_tokens(&mut walk, &workspace);
    visit_keys(&mut walk);
    let deleted = walk.step(
        &["workspaces", "delete", &workspace, "--yes"],
        "",
        &format!("DELETE /workspaces/{workspace} 200"),
    );
    assert_eq!(deleted["channels"], 1, "{deleted}");
    assert_eq!(deleted["secrets"], 1, "{deleted}");
    walk.expect_lines(&server);
    walk.expect_records();
    walk.expect_every_workspace_route();
    let (out, err) = server.stop();
    for hidden in [secret.as_str(), WEBHOOK, "do-not-tell", VALUE] {
        assert!(!out.contains(hidden) && !err.contains(hidden), "{hidden}");
        expect_in_no_file(bed, hidden);
    }
}

/// Runs exactly the command that the server printed, twice: the first mint closes tier 0.
fn mint_as_told(server: &Server) -> String {
    let line = server.err.wait_for("the curl line", |text| {
        let mut lines = text.lines().map(str::trim);
        lines
            .find(|line| line.starts_with("curl "))
            .map(str::to_owned)
    });
    let said = server.err.text();
    assert!(said.contains("Tier 0 is open"), "{said}");
    assert!(said.contains(&server.url), "{said}");
    let minted = shell(&line);
    let secret = minted["auth_token"].as_str().expect("a secret").to_owned();
    assert!(is_secret(&secret), "{minted}");
    assert_eq!(minted["name"], "my-first-key", "{minted}");
    assert_eq!(minted["prefix"], prefix(&secret), "{minted}");
    assert_eq!(minted["created_by"], "bootstrap", "{minted}");
    let warning = "copy this token now; it will not be shown again";
    assert_eq!(minted["warning"], warning, "{minted}");
    assert!(
        minted["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("tok_"))
    );

    let refused = shell(&line);
    assert_eq!(refused["status"], 401, "{refused}");
    assert_eq!(refused.get("auth_token"), None, "{refused}");

    let line = server.out.wait_for("the line of the mint", |text| {
        text.lines().next().map(str::to_owned)
    });
    assert_eq!(without_duration(&line), "bootstrap POST /org/tokens 201");
    server.err.wait_for("the warning about tier 0", |text| {
        let mut lines = text.lines();
        lines
            .find(|line| line.contains("WARN") && line.contains("tier 0"))
            .map(drop)
    });
    secret
}

/// Runs a line of a shell, and reads what it prints as JSON.
fn shell(line: &str) -> Value {
    let is_there = run(command("command -v curl"), "").code == Some(0);
    assert!(
        is_there,
        "`curl` is not installed: run `apt-get install curl`"
    );
    let ended = run(command(line), "");
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.err);
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out))
}

fn command(line: &str) -> Command {
    let mut command = Command::new("sh");
    // A proxy of the machine cannot reach this server.
    command.args(["-c", line]).env("NO_PROXY", "*");
    command
}

/// One caller's way through the service, and what it must leave behind.
struct Walk<'a> {
    cli: Cli<'a>,
    steps: Vec<String>,
}

impl Walk<'_> {
    /// Runs a command with `--json`; `expected` is the audit line without actor and duration.
    fn step(&mut self, words: &[&str], input: &str, expected: &str) -> Value {
        let answer = self.cli.json(words, input);
        self.steps.push(expected.to_owned());
        answer
    }

    /// Each step, once and in order, is a line on standard output.
    fn expect_lines(&self, server: &Server) {
        let actor = format!("org-token:{} ", prefix(&self.cli.token));
        let lines = server.out.wait_for("the line of the last step", |text| {
            let own = text.lines().filter_map(|line| line.strip_prefix(&actor));
            let own: Vec<String> = own.map(without_duration).collect();
            (own.len() >= self.steps.len()).then_some(own)
        });
        assert_eq!(lines, self.steps);
    }

    /// Each step is a record in the trail: as JSON, and as lines of a table in a pipe.
    fn expect_records(&self) {
        let actor = format!("org-token:{}", prefix(&self.cli.token));
        let query = ["audit", "query", "--actor", &actor, "--limit", "1000"];
        let list = self.cli.json(&query, "");
        let mut events = list["events"].as_array().expect("a list").clone();
        events.reverse();
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let line = |event: &Value| {
            let (method, path) = (text(event, "method"), text(event, "path"));
            format!("{method} {path} {}", event["status"])
        };
        assert_eq!(events.iter().map(line).collect::<Vec<_>>(), self.steps);
        for event in &events {
            assert_eq!(event["kind"], "request", "{event}");
            assert_eq!(event["tier"], "2a", "{event}");
            assert_eq!(event["root"], "bootstrap", "{event}");
        }
        let table = self.cli.text(&query, "");
        let rows = table.lines().filter(|row| row.contains("\t/org/whoami\t"));
        let rows: Vec<&str> = rows.collect();
        assert_eq!(rows.len(), 1, "{table}");
        assert!(
            rows.concat()
                .contains(&format!("\t{actor}\tGET\t/org/whoami\t200\t"))
        );
    }

    /// Whatever route on workspaces the reference knows has been called, but for the other spelling
    /// of setting a secret.
    fn expect_every_workspace_route(&self) {
        let reference = self.cli.text(&["openapi"], "");
        let reference: Value = serde_json::from_str(&reference).expect("JSON");
        let paths = reference["paths"].as_object().expect("paths");
        let mut documented = BTreeSet::new();
        for (path, item) in paths
            .iter()
            .filter(|(path, _)| path.starts_with("/workspaces"))
        {
            for method in ["get", "post", "put", "patch", "delete"] {
                if item.get(method).is_some() {
                    documented.insert(format!("{} {path}", method.to_uppercase()));
                }
            }
        }
        let list = self.cli.json(&["audit", "query", "--limit", "1000"], "");
        let events = list["events"].as_array().expect("a list");
        let visited: BTreeSet<String> = events
            .iter()
            .filter_map(|event| {
                let (method, route) = (event["method"].as_str()?, event["route"].as_str()?);
                Some(format!("{method} {route}"))
            })
            .collect();
        let missed: Vec<_> = documented.difference(&visited).collect();
        assert_eq!(missed, ["POST /workspaces/{id}/secrets"]);
        assert!(documented.len() >= 18, "{documented:?}");
    }
}

fn visit_workspaces(walk: &mut Walk<'_>) -> String {
    let create = ["workspaces", "create", "data", "--label", "agent=pipeline"];
    let made = walk.step(&create, "", "POST /workspaces 201");
    assert_eq!(made["labels"], json!({"agent": "pipeline"}), "{made}");
    let id = made["id"].as_str().expect("an id").to_owned();
    let list = walk.step(&["workspaces", "list"], "", "GET /workspaces 200");
    assert_eq!(list["workspaces"], json!([made]), "{list}");
    let path = format!("/workspaces/{id}");
    let shown = walk.step(&["workspaces", "show", &id], "", &format!("GET {path} 200"));
    assert_eq!(shown, made);
    let update = ["workspaces", "update", &id, "--name", "data-pipeline"];
    let changed = walk.step(&update, "", &format!("PATCH {path} 200"));
    assert_eq!(changed["name"], "data-pipeline", "{changed}");
    assert_eq!(changed["labels"], made["labels"], "{changed}");
    id
}

fn visit_channels(walk: &mut Walk<'_>, workspace: &str) {
    let path = format!("/workspaces/{workspace}/channels");
    let credentials = json!({"webhook_url": WEBHOOK}).to_string();
    for name in ["alerts", "spare"] {
        let add = [
            "channels",
            "add",
            workspace,
            "slack",
            "--name",
            name,
            "--credentials-stdin",
        ];
        let added = walk.step(&add, &credentials, &format!("POST {path} 201"));
        assert_eq!(added["credentials"], json!(["webhook_url"]), "{added}");
        assert!(!added.to_string().contains("do-not-tell"), "{added}");
    }
    let list = walk.step(
        &["channels", "list", workspace],
        "",
        &format!("GET {path} 200"),
    );
    assert!(!list.to_string().contains("do-not-tell"), "{list}");
    let channels = list["channels"].as_array().expect("a list");
    assert_eq!(channels.len(), 2, "{list}");
    let named = |name: &str| channels.iter().find(|channel| channel["name"] == name);
    let id = named("alerts")
        .and_then(|channel| channel["id"].as_str())
        .expect("an id");
    let spare = named("spare")
        .and_then(|channel| channel["id"].as_str())
        .expect("an id");
    let show = ["channels", "show", workspace, id];
    let shown = walk.step(&show, "", &format!("GET {path}/{id} 200"));
    assert_eq!(Some(&shown), named("alerts"));
    let update = ["channels", "update", workspace, id, "--disable"];
    let changed = walk.step(&update, "", &format!("PATCH {path}/{id} 200"));
    assert_eq!(changed["enabled"], false, "{changed}");
    let remove = ["channels", "remove", workspace, spare];
    let removed = walk.step(&remove, "", &format!("DELETE {path}/{spare} 200"));
    assert_eq!(removed, json!({"deleted": spare}));
}

fn visit_secrets(walk: &mut Walk<'_>, workspace: &str) {
    let path = format!("/workspaces/{workspace}/secrets");
    for name in ["OPENAI_API_KEY", "SPARE"] {
        let set = ["secrets", "set", workspace, name];
        let kept = walk.step(&set, &format!("{VALUE}\n"), &format!("PUT {path} 200"));
        assert_eq!(kept["key"], name, "{kept}");
        assert!(!kept.to_string().contains(VALUE), "{kept}");
    }
    let list = walk.step(
        &["secrets", "list", workspace],
        "",
        &format!("GET {path} 200"),
    );
    assert!(!list.to_string().contains(VALUE), "{list}");
    let remove = ["secrets", "delete", workspace, "SPARE"];
    let removed = walk.step(&remove, "", &format!("DELETE {path}/SPARE 200"));
    assert_eq!(removed, json!({"deleted": "SPARE"}));
    let reveal = ["secrets", "reveal", workspace];
    let values = walk.step(&reveal, "", &format!("GET {path}/values 200"));
    assert_eq!(values, json!({"OPENAI_API_KEY": VALUE}));
    let one = ["secrets", "reveal", workspace, "OPENAI_API_KEY"];
    assert_eq!(walk.cli.text(&one, ""), format!("{VALUE}\n"));
    walk.steps.push(format!("GET {path}/values 200"));
}

fn visit_tokens(walk: &mut Walk<'_>, workspace: &str) {
    let path = format!("/workspaces/{workspace}/tokens");
    let mint = ["workspaces", "tokens", "mint", workspace, "--name", "old"];
    let minted = walk.step(&mint, "", &format!("POST {path} 201"));
    let secret = minted["auth_token"].as_str().expect("a secret");
    assert!(secret.starts_with("molw_"), "{minted}");
    let list = ["workspaces", "tokens", "list", workspace];
    let listed = walk.step(&list, "", &format!("GET {path} 200"));
    assert!(!listed.to_string().contains(secret), "{listed}");
    let holder = walk.cli.with(secret);
    holder.json(&["channels", "list", workspace], "");
    let id = minted["id"].as_str().expect("an id");
    let revoke = ["workspaces", "tokens", "revoke", workspace, id];
    let revoked = walk.step(&revoke, "", &format!("DELETE {path}/{id} 200"));
    assert_eq!(revoked["revoked"], id, "{revoked}");
    assert_eq!(
        holder.run(&["channels", "list", workspace], "").code,
        Some(3)
    );
}

fn visit_keys(walk: &mut Walk<'_>) {
    let list = walk.step(&["keys", "list"], "", "GET /org/tokens 200");
    let id = list["tokens"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/org/tokens/{id}");
    let shown = walk.step(&["keys", "show", &id], "", &format!("GET {path} 200"));
    assert_eq!(shown["status"], "active", "{shown}");
    assert!(shown["last_used_at"].is_string(), "{shown}");
    let update = ["keys", "update", &id, "--name", "laptop"];
    let changed = walk.step(&update, "", &format!("PATCH {path} 200"));
    assert_eq!(changed["name"], "laptop", "{changed}");
}

/// The line without its last field, which must be a duration.
fn without_duration(line: &str) -> String {
    let (rest, duration) = line.rsplit_once(' ').expect("more than one field");
    let digits = duration.strip_suffix("us").or(duration.strip_suffix("ms"));
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    assert!(
        digits.is_some_and(is_number),
        "no duration at the end of: {line}"
    );
    rest.to_owned()
}

fn expect_in_no_file(bed: &Bed, hidden: &str) {
    for entry in bed.data.read_dir().expect("the data directory") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        let is_there = bytes
            .windows(hidden.len())
            .any(|part| part == hidden.as_bytes());
        assert!(!is_there, "{hidden} stands in {}", path.display());
    }
}

/// Mints a successor, uses it, and revokes the first key, whose next request is refused. The
/// successor comes from `ADMIN_TOKEN`: one that the first key minted would die with it.
pub(crate) fn rotation(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let first = Cli::new(bed, &server, "").mint("first");
    server.stop();

    let mut command = bed.serve(&[]);
    command.env("ADMIN_TOKEN", ADMIN_TOKEN);
    let server = Server::start(command);
    let first = Cli::new(bed, &server, &first);
    let second = first.with(&first.with(ADMIN_TOKEN).mint("second"));
    let me = second.json(&["whoami"], "");
    assert_eq!(me["actor"], format!("org-token:{}", prefix(&second.token)));
    assert_eq!(me["key"]["created_by"], "admin-token", "{me}");

    let old = first.json(&["whoami"], "")["key"]["id"].clone();
    let old = old.as_str().expect("an id");
    let revoke = ["keys", "revoke", old, "--yes", "--reason", "rotated"];
    let revoked = second.json(&revoke, "");
    assert_eq!(revoked["revoked"], old, "{revoked}");
    assert_eq!(
        revoked["prefixes"],
        json!([prefix(&first.token)]),
        "{revoked}"
    );
    assert_eq!(revoked["descendants"], json!([]), "{revoked}");

    let refused = first.run(&["whoami"], "");
    assert_eq!(refused.code, Some(3), "{}", refused.err);
    assert!(refused.err.contains("revoked"), "{}", refused.err);
    assert_eq!(refused.out, "");
    second.json(&["whoami"], "");
    let shown = second.json(&["keys", "show", old], "");
    assert_eq!(shown["status"], "revoked", "{shown}");
    assert_eq!(shown["revoked_reason"], "rotated", "{shown}");
    let actor = format!("org-token:{}", prefix(&first.token));
    let query = ["audit", "query", "--actor", &actor, "--status", "401"];
    let refusals = second.json(&query, "");
    assert_eq!(refusals["events"][0]["code"], "token_revoked", "{refusals}");
    let line = format!("{actor} GET /org/whoami 401 ");
    server.out.wait_for("the line of the refusal", |text| {
        text.lines()
            .any(|known| known.starts_with(&line))
            .then_some(())
    });
}

/// What a key minted is refused from the moment that the key is revoked.
pub(crate) fn descendants(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let parent = nobody.with(&nobody.mint("parent"));
    let child = parent.with(&parent.mint("child"));
    let grandchild = child.with(&child.mint("grandchild"));
    let me = child.json(&["whoami"], "");
    let id = me["key"]["id"].as_str().expect("an id");
    let revoked = parent.json(&["keys", "revoke", id, "--yes"], "");
    let dead = json!([prefix(&child.token), prefix(&grandchild.token)]);
    assert_eq!(revoked["prefixes"], dead, "{revoked}");
    for gone in [&child, &grandchild] {
        assert_eq!(gone.run(&["whoami"], "").code, Some(3));
    }
    parent.json(&["whoami"], "");
}
