//! The rules that keep the two backends of the store alike.

use std::collections::BTreeSet;

use crate::repository::{File, finding, leading_word};

const SQLITE: &str = "crates/store/src/sqlite/";
const POSTGRES: &str = "crates/store/src/postgres/";

/// How each side speaks to its database: one has a thread that writes, the other has sessions. What
/// they offer to the resources is not the same, and need not be.
const MACHINERY: [&str; 9] = [
    "appender.rs",
    "cut.rs",
    "writer.rs",
    "session.rs",
    "fence.rs",
    "fault.rs",
    "load.rs",
    "row.rs",
    "ledgers.rs",
];

pub(crate) fn differences_between_backends(files: &[File]) -> Vec<String> {
    let is_machinery = |file: &&File| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let is_backend = file.path.starts_with(SQLITE) || file.path.starts_with(POSTGRES);
        is_backend && MACHINERY.contains(&name)
    };
    let files: Vec<File> = files
        .iter()
        .filter(|file| !is_machinery(file))
        .cloned()
        .collect();
    let files = files.as_slice();
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

pub(crate) fn differences_between_directories(
    files: &[File],
    [one, other]: [&str; 2],
) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

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
}
