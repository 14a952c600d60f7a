//! The house rules, as tests over the text of the repository.
//!
//! Each rule is a function from files to findings, and a finding is one line: where, and what. The
//! words that a rule looks for are put together from pieces here, so that this file keeps it too. A
//! rule about a file that does not exist holds.

#![expect(
    clippy::expect_used,
    reason = "a repository that cannot be read has failed its tests"
)]

#[path = "tidy/backends.rs"]
mod backends;
#[path = "tidy/repository.rs"]
mod repository;

use std::collections::BTreeSet;

use backends::{differences_between_backends, differences_between_directories};
use repository::{File, finding, has_word, repository, root};

const LINES_PER_FILE_MAX: usize = 500;
const LINES_OF_ARCHITECTURE_MAX: usize = 150;

/// What a word in backticks begins with when it names a path of the repository.
const DOCUMENTED_ROOTS: [&str; 6] = ["crates/", "docs/", "bench/", "deploy/", ".ci/", "fuzz/"];

// ---- the rules ----------------------------------------------------------------------------------

#[test]
fn source_files_begin_by_saying_what_they_hold() {
    let findings = rust_files(|file| {
        let first = file.text.lines().next().unwrap_or_default();
        if first.starts_with("//! ") {
            vec![]
        } else {
            vec![finding(&file.path, 1, first)]
        }
    });
    expect_none(&findings, "begin the file with a line `//! What is here.`");
}

#[test]
fn source_files_are_short() {
    let findings = written_files(|file| {
        let lines = file.text.lines().count();
        let excess = (lines > LINES_PER_FILE_MAX).then(|| format!("{lines} lines"));
        excess
            .map(|what| finding(&file.path, LINES_PER_FILE_MAX + 1, &what))
            .into_iter()
            .collect()
    });
    expect_none(
        &findings,
        &format!("split the file by resource; {LINES_PER_FILE_MAX} lines are the most"),
    );
}

#[test]
fn lints_are_expected_and_never_allowed() {
    let plain = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let conditional = concat!(", ", "allow(");
    let findings = rust_files(|file| {
        file.objections(|line| {
            plain.iter().any(|attribute| line.contains(attribute))
                || (line.contains("cfg_attr(") && line.contains(conditional))
        })
    });
    expect_none(
        &findings,
        "use `expect` with a reason: it complains when it is needed no more",
    );
}

#[test]
fn tests_are_not_ignored() {
    let ignored = concat!("#[", "ignore");
    let findings = rust_files(|file| file.objections(|line| line.contains(ignored)));
    expect_none(&findings, "make the test pass, or remove it");
}

#[test]
fn nothing_is_left_to_be_written() {
    let macros = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
    ];
    let findings =
        rust_files(|file| file.objections(|line| macros.iter().any(|name| line.contains(name))));
    expect_none(
        &findings,
        "write what is missing, and remove what was for debugging",
    );
}

#[test]
fn tests_do_not_sleep() {
    let findings = rust_files(sleeps_in_tests);
    expect_none(
        &findings,
        "wait for the thing itself: a reply, a line, a condition with a deadline",
    );
}

#[test]
fn only_the_store_speaks_to_databases() {
    let clients = [
        concat!("rus", "qlite"),
        concat!("tokio_", "postgres"),
        concat!("deadpool_", "postgres"),
        concat!("refinery_", "core"),
    ];
    let findings = rust_files(|file| {
        if ["crates/store/", "bench/"]
            .iter()
            .any(|home| file.path.starts_with(home))
        {
            return vec![];
        }
        file.objections(|line| clients.iter().any(|client| has_word(line, client)))
    });
    expect_none(
        &findings,
        "move the SQL into crates/store, behind a method of its trait",
    );
}

#[test]
fn both_backends_have_the_same_functions_in_the_same_order() {
    let findings = differences_between_backends(&repository());
    expect_none(
        &findings,
        "write the function on the other side too, at the same place",
    );
}

#[test]
fn both_backends_have_the_same_migrations() {
    let sides = [
        "crates/store/migrations/sqlite/",
        "crates/store/migrations/postgres/",
    ];
    let findings = differences_between_directories(&repository(), sides);
    expect_none(
        &findings,
        "write the migration for the other database too, under the same name",
    );
}

#[test]
fn documents_name_paths_that_exist() {
    let root = root();
    let findings = documents(|file| dead_paths(file, |path| root.join(path).exists()));
    expect_none(&findings, "correct the path in the document");
}

#[test]
fn architecture_is_read_in_one_sitting() {
    let findings = documents(|file| {
        let lines = file.text.lines().count();
        let is_long = file.path == "ARCHITECTURE.md" && lines > LINES_OF_ARCHITECTURE_MAX;
        let excess = is_long.then(|| format!("{lines} lines"));
        excess
            .map(|what| finding(&file.path, LINES_OF_ARCHITECTURE_MAX + 1, &what))
            .into_iter()
            .collect()
    });
    expect_none(
        &findings,
        &format!("move details into docs; {LINES_OF_ARCHITECTURE_MAX} lines are the most"),
    );
}

#[test]
fn no_file_names_a_place_on_the_machine_it_was_written_on() {
    let places = [["/ro", "ot/"].concat(), ["/ho", "me/"].concat()];
    let findings = findings_in(
        |_| true,
        |file| {
            let wrong = file
                .lines()
                .filter(|(_, line)| places.iter().any(|place| line.contains(place)));
            wrong
                .map(|(number, line)| finding(&file.path, number, line.trim()))
                .collect()
        },
    );
    expect_none(
        &findings,
        "name the place from the root of the repository, or by a variable",
    );
}

#[test]
fn assets_are_readable() {
    let is_minified = |path: &str| path.ends_with(".min.js") || path.ends_with(".min.css");
    let findings = findings_in(
        |file| is_minified(&file.path),
        |file| vec![finding(&file.path, 1, "minified")],
    );
    expect_none(
        &findings,
        "keep the source of the asset instead, as small as it is",
    );
}

// ---- the longer rules ---------------------------------------------------------------------------

fn sleeps_in_tests(file: &File) -> Vec<String> {
    let calls = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
    let is_wrong = |line: &str| {
        let imports = line.trim_start().starts_with("use ")
            && ["sleep", "sleep_until"]
                .iter()
                .any(|name| has_word(line, name));
        imports || calls.iter().any(|call| line.contains(call))
    };
    let tests = if file.is_test() {
        (1..=file.text.lines().count()).collect()
    } else {
        test_lines(&file.text)
    };
    let wrong = file
        .code()
        .filter(|(number, line)| tests.contains(number) && is_wrong(line));
    wrong
        .map(|(number, line)| finding(&file.path, number, line.trim()))
        .collect()
}

/// The numbers of the lines below each `#[cfg(test)]`, up to the brace that closes what it is on.
/// Formatted code has that brace in the column of the attribute.
fn test_lines(text: &str) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    let mut end: Option<String> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match &end {
            None if line.trim() == "#[cfg(test)]" => {
                let indent = line.strip_suffix("#[cfg(test)]").unwrap_or_default();
                end = Some(indent.to_owned());
            }
            None => {}
            Some(indent) => {
                numbers.insert(number);
                let closes = line.strip_prefix(indent.as_str()).is_some_and(|rest| {
                    rest == "}" || (rest.ends_with(';') && !rest.starts_with(' '))
                });
                if closes {
                    end = None;
                }
            }
        }
    }
    numbers
}

/// Each path in backticks that does not exist. A path is looked up as far as it is literal: of
/// `crates/*/src` only `crates`.
fn dead_paths(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = vec![];
    let mut is_fenced = false;
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        if is_fenced {
            continue;
        }
        let words = line
            .split('`')
            .skip(1)
            .step_by(2)
            .flat_map(str::split_whitespace);
        for word in words.filter(|word| DOCUMENTED_ROOTS.iter().any(|root| word.starts_with(root)))
        {
            let path = word
                .split([':', '#', ',', ';', ')'])
                .next()
                .unwrap_or_default();
            let is_literal =
                |part: &&str| !part.contains("NNNN") && !part.contains(['*', '{', '<', '…', '$']);
            let literal: Vec<&str> = path.split('/').take_while(is_literal).collect();
            if !exists(&literal.join("/")) {
                findings.push(finding(
                    &file.path,
                    number,
                    &format!("`{word}` does not exist"),
                ));
            }
        }
    }
    findings
}

fn findings_in(
    concerns: impl Fn(&File) -> bool,
    rule: impl Fn(&File) -> Vec<String>,
) -> Vec<String> {
    repository()
        .iter()
        .filter(|file| concerns(file))
        .flat_map(rule)
        .collect()
}

fn rust_files(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    findings_in(File::is_rust, rule)
}

/// What is written by hand, in whatever language.
fn written_files(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    let endings = [".css", ".html", ".js", ".mjs"];
    let is_written =
        |file: &File| file.is_rust() || endings.iter().any(|ending| file.path.ends_with(ending));
    findings_in(is_written, rule)
}

fn documents(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    findings_in(File::is_document, rule)
}

fn expect_none(findings: &[String], advice: &str) {
    assert!(
        findings.is_empty(),
        "\n{}\n\nWhat to do: {advice}.\n",
        findings.join("\n")
    );
}

// ---- the rules do find something ----------------------------------------------------------------

/// A file for a rule to look at.
fn file(path: &str, lines: &[&str]) -> File {
    File {
        path: path.to_owned(),
        text: lines.join("\n"),
    }
}

#[test]
fn sleep_is_found_in_test_code_only() {
    let call = concat!("        thread::", "sleep(pause);");
    let module = [
        "fn poll() {",
        call,
        "}",
        "#[cfg(test)]",
        "mod tests {",
        "    fn it() {",
        call,
        "    }",
        "}",
        call,
    ];
    assert_eq!(
        sleeps_in_tests(&file("crates/x/src/lib.rs", &module)).len(),
        1
    );
    assert_eq!(
        sleeps_in_tests(&file("crates/x/tests/it.rs", &module)).len(),
        3
    );
    let import = file(
        "crates/x/tests/it.rs",
        &["use tokio::time::{Duration, sleep};", "use x::sleeper;"],
    );
    assert_eq!(
        sleeps_in_tests(&import),
        ["crates/x/tests/it.rs:1: use tokio::time::{Duration, sleep};"]
    );
}

#[test]
fn dead_path_is_found_and_placeholder_is_not() {
    let lines = [
        "See `crates/a.rs:12`, `crates/{a,b}/*.rs`, `docs/adr/NNNN-*.md`.",
        "```",
        "`docs/x`",
        "```",
        "`cat docs/gone.md`",
    ];
    let exists = |path: &str| ["crates/a.rs", "crates", "docs/adr"].contains(&path);
    assert_eq!(
        dead_paths(&file("README.md", &lines), exists),
        ["README.md:5: `docs/gone.md` does not exist"]
    );
}
