//! The house rules, as tests over the text of the repository.
//!
//! Each rule is a function from files to findings, and a finding is one line: where, and what. The
//! words that a rule looks for are put together from pieces here, so that this file keeps it too.

#![expect(
    clippy::expect_used,
    reason = "a repository that cannot be read has failed its tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_PER_FILE_MAX: usize = 500;
const LINES_OF_ARCHITECTURE_MAX: usize = 150;

/// Directories that are made by building or running, and are no part of the repository.
const SKIPPED_DIRECTORIES: [&str; 4] = ["target", ".git", "claviger-data", "node_modules"];

const DOCUMENTS_AT_THE_ROOT: [&str; 3] = ["README.md", "ARCHITECTURE.md", "SECURITY.md"];

/// What a word in backticks begins with when it names a path of the repository.
const DOCUMENTED_ROOTS: [&str; 6] = ["crates/", "docs/", "bench/", "deploy/", ".ci/", "fuzz/"];

const SQLITE: &str = "crates/store/src/sqlite/";
const POSTGRES: &str = "crates/store/src/postgres/";

/// A file of the repository: its path from the root, with `/`, and its text; a binary file has none.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        let is_source = ["crates/", "bench/", "fuzz/"]
            .iter()
            .any(|root| self.path.starts_with(root));
        is_source && self.path.ends_with(".rs")
    }

    fn is_document(&self) -> bool {
        let is_guide = self.path.starts_with("docs/") && self.path.ends_with(".md");
        is_guide || DOCUMENTS_AT_THE_ROOT.contains(&self.path.as_str())
    }

    /// Whether all of it is test code, by its place or its name.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Its lines, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Its lines without those that are only a comment.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// One finding for each line of code that the rule objects to.
    fn objections(&self, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let wrong = self.code().filter(|(_, line)| is_wrong(line));
        wrong
            .map(|(number, line)| finding(&self.path, number, line.trim()))
            .collect()
    }
}

fn finding(path: &str, line: usize, what: &str) -> String {
    format!("{path}:{line}: {what}")
}

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
    let findings = rust_files(|file| {
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

fn differences_between_backends(files: &[File]) -> Vec<String> {
    let mut findings = differences_between_directories(files, [SQLITE, POSTGRES]);
    let store = files
        .iter()
        .filter(|file| file.path.starts_with("crates/store/src/"));
    let traits: BTreeSet<&str> = store
        .flat_map(|file| file.text.lines())
        .filter_map(trait_name)
        .collect();
    for sqlite in files.iter().filter(|file| file.path.starts_with(SQLITE)) {
        let counterpart = sqlite.path.replacen(SQLITE, POSTGRES, 1);
        let Some(postgres) = files.iter().find(|file| file.path == counterpart) else {
            continue;
        };
        let (ours, theirs) = (functions(sqlite, &traits), functions(postgres, &traits));
        let same = ours
            .iter()
            .zip(&theirs)
            .take_while(|(our, their)| our.1 == their.1)
            .count();
        let describe = |file: &File, function: Option<&(usize, String)>| match function {
            Some((number, name)) => finding(&file.path, *number, &format!("`{name}`")),
            None => format!("{}: nothing", file.path),
        };
        if same < ours.len().max(theirs.len()) {
            let (our, their) = (
                describe(sqlite, ours.get(same)),
                describe(postgres, theirs.get(same)),
            );
            findings.push(format!("{our}, where the other side has {their}"));
        }
    }
    findings
}

fn differences_between_directories(files: &[File], [one, other]: [&str; 2]) -> Vec<String> {
    let names = |directory: &str| -> BTreeSet<&str> {
        files
            .iter()
            .filter_map(|file| file.path.strip_prefix(directory))
            .collect()
    };
    let (in_one, in_other) = (names(one), names(other));
    let missing = |from: &str, name: &&str| format!("{from}{name}:1: missing");
    let in_one_only = in_one
        .difference(&in_other)
        .map(|name| missing(other, name));
    let in_other_only = in_other.difference(&in_one).map(|name| missing(one, name));
    in_one_only.chain(in_other_only).collect()
}

/// The functions that others can call, with their lines: all of those in an implementation of one
/// of the store's own traits, and elsewhere those that are not private. What serves only one side
/// (private helpers, `Drop`, conversions of errors) does not count.
fn functions(file: &File, traits: &BTreeSet<&str>) -> Vec<(usize, String)> {
    let mut found = vec![];
    let mut header = String::new();
    let mut is_trait = false;
    for (number, line) in file.lines() {
        if line.starts_with("impl") || !header.is_empty() {
            header.push_str(line);
            header.push(' ');
            if line.ends_with(['{', '}']) {
                is_trait = line.ends_with('{')
                    && implements(&header).is_some_and(|name| traits.contains(name));
                header.clear();
            }
            continue;
        }
        if line == "}" {
            is_trait = false;
        }
        let is_method = line.starts_with("    ") && !line.starts_with("     ");
        if !is_method && line.starts_with(' ') {
            continue;
        }
        if let Some((is_public, name)) = function(line.trim_start())
            && (is_public || (is_trait && is_method))
        {
            found.push((number, name.to_owned()));
        }
    }
    found
}

/// `Keys`, from `impl<'a> crate::Keys<'a> for Sqlite {`.
fn implements(header: &str) -> Option<&str> {
    let (before, _) = header.split_once(" for ")?;
    let path = before.split_whitespace().last()?;
    let path = path
        .split_once('<')
        .filter(|(path, _)| !path.is_empty())
        .map_or(path, |(path, _)| path);
    path.rsplit("::").next()
}

/// `Keys`, from `pub trait Keys: Send {`.
fn trait_name(line: &str) -> Option<&str> {
    let (_, rest) = visibility(line);
    rest.strip_prefix("trait ").map(leading_word)
}

/// Whether a line that begins a function makes it public (in any measure), and its name.
fn function(line: &str) -> Option<(bool, &str)> {
    let (is_public, mut rest) = visibility(line);
    while let Some(shorter) = ["const ", "async ", "unsafe "]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
    {
        rest = shorter;
    }
    rest.strip_prefix("fn ")
        .map(|rest| (is_public, leading_word(rest)))
}

fn visibility(line: &str) -> (bool, &str) {
    let restricted = line
        .strip_prefix("pub(")
        .and_then(|rest| rest.split_once(") "));
    match restricted
        .map(|(_, rest)| rest)
        .or_else(|| line.strip_prefix("pub "))
    {
        Some(rest) => (true, rest),
        None => (false, line),
    }
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

// ---- reading ------------------------------------------------------------------------------------

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository is here")
}

fn repository() -> Vec<File> {
    let root = root();
    let mut files = vec![];
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory can be listed") {
            let entry = entry.expect("an entry can be read");
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_dir()
                && !SKIPPED_DIRECTORIES
                    .iter()
                    .any(|name| entry.file_name() == *name)
            {
                directories.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let bytes = fs::read(&path).expect("a file can be read");
                let path = path
                    .strip_prefix(&root)
                    .expect("the walk began at the root");
                let path = path.to_string_lossy().replace('\\', "/");
                files.push(File {
                    path,
                    text: String::from_utf8(bytes).unwrap_or_default(),
                });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
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

/// Whether the word stands in the line by itself, and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(word).unwrap_or_default();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

fn leading_word(text: &str) -> &str {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.split(|character| !is_part(character))
        .next()
        .unwrap_or_default()
}

// ---- the rules do find something ----------------------------------------------------------------

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
fn missing_and_misplaced_functions_are_found() {
    let store = || file("crates/store/src/lib.rs", &["pub trait Keys: Send {"]);
    let sqlite = [
        "impl Keys for Sqlite {",
        "    fn find(&self) {",
        "    }",
        "    fn list(&self) {",
        "    }",
        "}",
    ];
    let postgres = [
        "impl fmt::Debug for Postgres {",
        "    fn fmt(&self) {",
        "    }",
        "}",
        "fn helper() {",
        "}",
        "impl crate::Keys",
        "    for Postgres",
        "{",
        "    async fn find(&self) {",
        "    }",
        "    async fn list(&self) {",
        "    }",
        "}",
    ];
    let swapped = postgres.map(|line| {
        if line.contains("find") {
            "    async fn list(&self) {"
        } else {
            line
        }
    });
    let sides = |other: &[&str]| {
        let (one, other) = (
            file(&format!("{SQLITE}keys.rs"), &sqlite),
            file(&format!("{POSTGRES}keys.rs"), other),
        );
        differences_between_backends(&[store(), one, other])
    };
    assert_eq!(sides(&postgres), [""; 0]);
    assert_eq!(
        sides(&swapped),
        [format!(
            "{SQLITE}keys.rs:2: `find`, where the other side has {POSTGRES}keys.rs:10: `list`"
        )]
    );
    assert_eq!(
        sides(&["pub(super) fn find() {", "}"]),
        [format!(
            "{SQLITE}keys.rs:4: `list`, where the other side has {POSTGRES}keys.rs: nothing"
        )]
    );
    let alone = [store(), file(&format!("{SQLITE}keys.rs"), &sqlite)];
    assert_eq!(
        differences_between_backends(&alone),
        [format!("{POSTGRES}keys.rs:1: missing")]
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
