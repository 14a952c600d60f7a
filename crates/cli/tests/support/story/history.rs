//! `claviger scan` in repositories of git: the history, and the hook that the documents show.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use crate::{
    cli::prefix,
    run::{Ended, run},
    scan::{Tree, line, secret},
};

const PAGE: &str = include_str!("../../../../../docs/scan.md");

/// Runs git with no configuration but its own, and with the binary in its PATH.
fn git(tree: &Tree, words: &[&str]) -> Ended {
    let binary = Path::new(env!("CARGO_BIN_EXE_claviger"));
    let directory = binary.parent().expect("a directory");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", directory.display());
    let mut command = Command::new("git");
    command.env_clear().env("PATH", path).envs([
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ]);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "somebody");
        command.env(format!("GIT_{role}_EMAIL"), "somebody@example.com");
    }
    command.current_dir(&tree.root).args(words);
    run(command, "")
}

/// Runs git, and gives what it says.
fn git_says(tree: &Tree, words: &[&str]) -> String {
    let ended = git(tree, words);
    assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.err);
    ended.out.trim().to_owned()
}

fn commit_all(tree: &Tree, message: &str) {
    git_says(tree, &["add", "--all"]);
    git_says(tree, &["commit", "--quiet", "--message", message]);
}

fn repository() -> Tree {
    let tree = Tree::new();
    git_says(&tree, &["init", "--quiet", "--initial-branch", "main"]);
    tree
}

#[test]
fn removed_secret_is_found_in_the_history_in_its_newest_version() {
    let tree = repository();
    tree.expect(&["--history"], &[]);
    let (file, branch) = (secret(1), secret(2));
    tree.write("a b/c.txt", format!("x {file}"));
    commit_all(&tree, "first");
    tree.write("a b/c.txt", format!("x\ny {file} z"));
    commit_all(&tree, "second");
    let newest = git_says(&tree, &["rev-parse", "HEAD:a b/c.txt"]);
    git_says(&tree, &["rm", "--quiet", "a b/c.txt"]);
    tree.write("clean", "x");
    commit_all(&tree, "third");
    git_says(&tree, &["switch", "--quiet", "--create", "side"]);
    tree.write("side.bin", [b"\0\n\xff", branch.as_bytes()].concat());
    commit_all(&tree, "fourth");
    let side = git_says(&tree, &["rev-parse", "HEAD:side.bin"]);
    git_says(&tree, &["switch", "--quiet", "main"]);

    tree.expect(&[], &[]);
    let (file, branch) = (prefix(&file), prefix(&branch));
    let found = [
        format!("{branch}\tside.bin\t2\t2\t{side}\n"),
        format!("{file}\ta b/c.txt\t2\t3\t{newest}\n"),
    ];
    tree.expect(&["--history"], &found);
    tree.expect(&["--history", "."], &found);
    tree.expect(&["--history", "--except", file], &found[..1]);
}

#[test]
fn messages_of_commits_and_tags_and_names_of_files_are_scanned() {
    let tree = repository();
    let (message, tag, name) = (secret(1), secret(2), secret(3));
    tree.write(&format!("{name}.txt"), "x");
    commit_all(&tree, &format!("use {message}"));
    let words = ["tag", "--annotate", "v1", "--message", &tag];
    git_says(&tree, &words);

    let [commit, tag_object, file] = [
        git_says(&tree, &["rev-parse", "HEAD"]),
        git_says(&tree, &["rev-parse", "v1"]),
        git_says(&tree, &["rev-parse", &format!("HEAD:{name}.txt")]),
    ];
    let ended = tree.scan(&["--history"], "");
    assert_eq!(ended.code, Some(10), "{}", ended.err);
    let (message, tag, name) = (prefix(&message), prefix(&tag), prefix(&name));
    let mut lines: Vec<&str> = ended.out.lines().collect();
    let mut expected = [
        format!("{message}\t(commit)\t5\t5\t{commit}"),
        format!("{tag}\t(tag)\t6\t1\t{tag_object}"),
        format!("{name}\t{name}….txt\t-\t-\t{file}"),
    ];
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn shallow_clone_does_not_pass_for_a_whole_one() {
    let tree = repository();
    let secret = secret(1);
    tree.write("f", &secret);
    commit_all(&tree, "first");
    tree.write("f", "x");
    commit_all(&tree, "second");
    let origin = format!("file://{}", tree.root.display());
    git_says(
        &tree,
        &["clone", "--quiet", "--depth", "1", &origin, "clone"],
    );

    let ended = tree.scan(&["--history", "clone"], "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let warning = "warning: `clone` is a shallow clone";
    assert!(ended.err.starts_with(warning), "{}", ended.err);
    assert!(ended.err.contains("git fetch --unshallow"), "{}", ended.err);

    git_says(&tree, &["clone", "--quiet", &origin, "whole"]);
    let id = git_says(&tree, &["rev-parse", "HEAD~:f"]);
    let found = ["whole:f", "f"].map(|file| format!("{}\t{file}\t1\t1\t{id}\n", prefix(&secret)));
    tree.expect(&["--history", "whole", "."], &found);
}

#[test]
fn missing_objects_do_not_pass_for_clean_ones() {
    let tree = repository();
    tree.write("f", "x");
    tree.write("g", "y");
    commit_all(&tree, "first");
    let id = git_says(&tree, &["rev-parse", "HEAD:f"]);
    let (directory, file) = id.split_at(2);
    let object = tree.root.join(".git/objects").join(directory).join(file);
    fs::remove_file(object).expect("a loose object");
    let ended = tree.scan(&["--history"], "");
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(1), ""),
        "{}",
        ended.err
    );
    let warning = "warning: `.` lacks objects of its history, which were not scanned: 1;";
    assert!(ended.err.contains(warning), "{}", ended.err);
}

#[test]
fn history_without_git_or_a_repository_is_refused_with_a_sentence() {
    let tree = Tree::new();
    let refused = |words: &[&str], code: i32, sentence: &str| {
        let ended = tree.scan(words, "");
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""));
        assert!(ended.err.starts_with(sentence), "{words:?}: {}", ended.err);
    };
    refused(
        &["--history"],
        1,
        "error: `.` is no git repository: name one",
    );
    refused(
        &["--history", "gone"],
        1,
        "error: git cannot read `gone`; it says: ",
    );
    refused(
        &["--history", "-"],
        2,
        "error: standard input has no history",
    );

    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.env_clear().env("PATH", &tree.root);
    command.args(["scan", "--history"]).current_dir(&tree.root);
    let ended = run(command, "");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(
        ended.err.starts_with("error: there is no `git` in PATH"),
        "{}",
        ended.err
    );
}

#[test]
fn documented_hook_looks_at_what_is_about_to_be_committed() {
    let (_, hook) = PAGE.split_once("```sh\n").expect("a hook");
    let (hook, _) = hook.split_once("```").expect("its end");
    let tree = repository();
    let path = tree.root.join(".git/hooks/pre-commit");
    tree.write(".git/hooks/pre-commit", hook);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    let commit = ["commit", "--quiet", "--message", "x"];

    let secret = secret(1);
    tree.write("a b/leak", &secret);
    git_says(&tree, &["add", "--all"]);
    // What lies in the directory is clean again, but not what is to be committed.
    tree.write("a b/leak", "x");
    let refused = git(&tree, &commit);
    assert!(
        refused.code.is_some_and(|code| code != 0),
        "{}",
        refused.err
    );
    let said = format!("{}{}", refused.out, refused.err);
    let listed = line(&secret, "a b/leak", [1, 1]);
    assert!(said.contains(&listed), "{said}");
    assert!(!said.contains(&secret), "{said}");

    git_says(&tree, &["add", "--all"]);
    tree.write("a b/leak", &secret);
    git_says(&tree, &commit);
    git_says(&tree, &["rm", "--quiet", "--cached", "a b/leak"]);
    git_says(&tree, &commit);
}
