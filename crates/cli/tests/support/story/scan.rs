//! `claviger scan`: leaked secrets in files and on standard input.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use claviger_core::token::{Brand, Secret};
use serde_json::{Value, json};

use crate::{
    bed::Bed,
    cli::{Cli, prefix},
    run::{Ended, run},
    server::Server,
};

/// A directory in which files are made and scanned.
pub(crate) struct Tree {
    bed: Bed,
    pub(crate) root: PathBuf,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let bed = Bed::sqlite();
        let root = bed.data.with_file_name("tree");
        fs::create_dir(&root).expect("made");
        Self { bed, root }
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// Scans from within the directory.
    pub(crate) fn scan(&self, words: &[&str], input: &str) -> Ended {
        let mut command = self.bed.claviger(&["scan"]);
        command.args(words).current_dir(&self.root);
        run(command, input)
    }

    /// Scans, and expects these lines and the code that goes with them, and no secret.
    pub(crate) fn expect(&self, words: &[&str], lines: &[String]) {
        let ended = self.scan(words, "");
        assert_eq!(ended.out, lines.concat(), "{words:?}: {}", ended.err);
        let expected = if lines.is_empty() { 0 } else { 10 };
        assert_eq!(ended.code, Some(expected), "{words:?}: {}", ended.err);
        let advice = format!("error: secrets found: {}\n", lines.len());
        assert_eq!(ended.err.is_empty(), lines.is_empty(), "{}", ended.err);
        assert!(
            lines.is_empty() || ended.err.starts_with(&advice),
            "{}",
            ended.err
        );
    }
}

/// The secret of an org key, another one for each number.
pub(crate) fn secret(number: u8) -> String {
    let secret = Secret::from_entropy(&Brand::ORG_KEY, &[number; 32]);
    secret.expose().to_owned()
}

/// The line for a secret that was found.
pub(crate) fn line(secret: &str, file: &str, place: [usize; 2]) -> String {
    let [line, column] = place;
    format!("{}\t{file}\t{line}\t{column}\n", prefix(secret))
}

#[test]
fn minted_secrets_of_both_kinds_are_found() {
    let bed = Bed::sqlite();
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(&bed, &server, "");
    let key = nobody.mint("first");
    let cli = nobody.with(&key);
    let made = cli.json(&["workspaces", "create", "w"], "");
    let workspace = made["id"].as_str().expect("an id");
    let made = cli.json(&["workspaces", "tokens", "mint", workspace], "");
    let token = made["auth_token"].as_str().expect("a secret").to_owned();
    server.stop();

    let tree = Tree::new();
    tree.write(".env", format!("A=1\nexport CLAVIGER_TOKEN={key}\n"));
    tree.write("src/old.py", format!("token = '{token}'"));
    tree.expect(
        &[],
        &[
            line(&key, ".env", [2, 23]),
            line(&token, "src/old.py", [1, 10]),
        ],
    );
}

#[test]
fn nothing_found_is_silent() {
    let tree = Tree::new();
    tree.expect(&[], &[]);
    let almost = secret(1).replace("mole_", "mole-");
    tree.write("a.txt", format!("mole_ mole_a1b2c3d4 {almost}"));
    tree.expect(&[], &[]);
    let ended = tree.scan(&["--json"], "");
    let report: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let expected = json!({"findings": [], "scanned": 1, "bytes": 74, "unreadable": 0,
        "complete": true});
    assert_eq!(report, expected);
}

#[test]
fn every_place_is_listed_in_the_order_of_names_and_no_secret_is_shown() {
    let tree = Tree::new();
    let (one, other) = (secret(1), secret(2));
    tree.write("b/two.txt", format!("{one} {other}\n{one}"));
    tree.write(
        "a.bin",
        [b"\0\xff\n\n\xc3\0KEY", other.as_bytes(), b"9\0"].concat(),
    );
    tree.write("c/.hidden/d", format!("\u{feff}{one}"));
    let lines = [
        line(&other, "a.bin", [3, 6]),
        line(&one, "b/two.txt", [1, 1]),
        line(&other, "b/two.txt", [1, 56]),
        line(&one, "b/two.txt", [2, 1]),
        line(&one, "c/.hidden/d", [1, 4]),
    ];
    tree.expect(&[], &lines);
    tree.expect(&["."], &lines);
    tree.expect(&["c", "a.bin"], &[lines[4].clone(), lines[0].clone()]);

    let ended = tree.scan(&["--json", "c"], "");
    assert_eq!(ended.code, Some(10), "{}", ended.err);
    let report: Value = serde_json::from_str(&ended.out).expect("JSON");
    let finding = json!({"prefix": prefix(&one), "file": "c/.hidden/d", "line": 1, "column": 4});
    let expected = json!({"findings": [finding], "scanned": 1, "bytes": 57, "unreadable": 0,
        "complete": true});
    assert_eq!(report, expected);
}

#[test]
fn standard_input_is_scanned_when_it_is_named() {
    let tree = Tree::new();
    let secret = secret(1);
    let ended = tree.scan(&["-"], &format!("x\ny {secret}\n"));
    assert_eq!(
        (ended.code, ended.out),
        (Some(10), line(&secret, "-", [2, 3]))
    );
    let ended = tree.scan(&[], &secret);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
}

#[test]
fn reader_that_has_gone_away_does_not_make_it_a_success() {
    let tree = Tree::new();
    tree.write("f", secret(1));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = tree.bed.claviger(&["scan"]);
    command.current_dir(&tree.root).stdout(writer);
    let ended = command.output().expect("it runs");
    assert_eq!(ended.status.code(), Some(10));
}

#[test]
fn secrets_are_found_wherever_a_large_file_is_cut() {
    const STEP: usize = 64 * 1024;
    let tree = Tree::new();
    let (mut content, mut lines) = (vec![], vec![]);
    for number in 1..=16 {
        let secret = secret(number);
        let start = usize::from(number) * (STEP - 3);
        content.resize(start, b'-');
        content.extend(secret.as_bytes());
        lines.push(line(&secret, "large", [1, content.len() - 53]));
    }
    tree.write("large", content);
    tree.expect(&[], &lines);
}

#[test]
fn scan_with_too_many_findings_stops_and_says_so() {
    let tree = Tree::new();
    let many = format!("{}\n", secret(1)).repeat(10_001);
    tree.write("a", many);
    tree.write("b", secret(2));
    let ended = tree.scan(&["--json"], "");
    assert_eq!(ended.code, Some(10), "{}", ended.err);
    let report: Value = serde_json::from_str(&ended.out).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    assert_eq!(
        (findings.len(), &report["complete"]),
        (10_000, &json!(false))
    );
    let warning = "warning: the scan stopped at 10000 findings";
    assert!(ended.err.starts_with(warning), "{}", ended.err);
}

#[test]
fn git_directories_and_symbolic_links_are_not_entered() {
    let tree = Tree::new();
    let secret = secret(1);
    tree.write("in/.git/config", &secret);
    tree.write("in/.gitignore", "x");
    tree.write("elsewhere/file", &secret);
    symlink("../elsewhere", tree.root.join("in/directory")).expect("linked");
    symlink("../elsewhere/file", tree.root.join("in/link")).expect("linked");
    symlink("nowhere", tree.root.join("in/dangling")).expect("linked");
    symlink(".", tree.root.join("in/circle")).expect("linked");
    tree.expect(&["in"], &[]);
    // What is named is meant.
    tree.expect(&["in/link"], &[line(&secret, "in/link", [1, 1])]);
    tree.expect(
        &["in/directory"],
        &[line(&secret, "in/directory/file", [1, 1])],
    );
    tree.expect(&["in/.git"], &[line(&secret, "in/.git/config", [1, 1])]);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_scanned() {
    let tree = Tree::new();
    let secret = secret(1);
    tree.write("clean", "x");
    let ended = tree.scan(&["gone", "clean"], "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let warning = "warning: `gone` was not scanned: ";
    assert!(ended.err.starts_with(warning), "{}", ended.err);
    assert!(
        ended.err.contains("error: no secret was found in what"),
        "{}",
        ended.err
    );

    tree.write("leak", &secret);
    let ended = tree.scan(&["gone", "leak"], "");
    assert_eq!(
        (ended.code, ended.out),
        (Some(10), line(&secret, "leak", [1, 1]))
    );
    assert!(ended.err.starts_with(warning), "{}", ended.err);

    // A path is no way for a secret to be shown.
    let ended = tree.scan(&[&secret], "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(!ended.err.contains(&secret), "{}", ended.err);
    assert!(ended.err.contains(prefix(&secret)), "{}", ended.err);
}

#[test]
fn secret_in_a_name_is_found_and_not_shown() {
    let tree = Tree::new();
    let (file, directory) = (secret(1), secret(2));
    tree.write(&format!("{directory}/{file}.txt"), "x");
    let (short, below) = (prefix(&directory), prefix(&file));
    let lines = [
        format!("{short}\t{short}…\t-\t-\n"),
        format!("{below}\t{short}…/{below}….txt\t-\t-\n"),
    ];
    tree.expect(&[], &lines);
}

#[test]
fn brands_are_chosen_and_known_keys_are_left_out() {
    let tree = Tree::new();
    let acme: Brand = "acme".parse().expect("a brand");
    let acme = Secret::from_entropy(&acme, &[1; 32]).expose().to_owned();
    let old = Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &[1; 32]);
    let (old, key) = (old.expose().to_owned(), secret(1));
    tree.write("f", format!("{acme}\n{key}\n{old}\n"));
    let (acme, key, old) = (
        line(&acme, "f", [1, 1]),
        line(&key, "f", [2, 1]),
        line(&old, "f", [3, 1]),
    );
    let all = [acme, key, old];
    tree.expect(&[], &all[1..]);
    tree.expect(&["--brand", "mole", "--brand", "acme"], &all);
    tree.expect(&["--brand", "acme"], &[all[0].clone(), all[2].clone()]);
    let except = ["--except", prefix(&all[1]), "--except", prefix(&all[2])];
    tree.expect(&except, &[]);

    for words in [["--brand", "Acme"], ["--except", "mole_"]] {
        assert_eq!(tree.scan(&words, "").code, Some(2), "{words:?}");
    }
    let ended = tree.scan(&["--except", &secret(1)], "");
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(!ended.err.contains(&secret(1)), "{}", ended.err);
}
