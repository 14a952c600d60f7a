//! The files that the rules are about.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that are made by building or running, and are no part of the repository.
const SKIPPED_DIRECTORIES: [&str; 4] = ["target", ".git", "claviger-data", "node_modules"];

const DOCUMENTS_AT_THE_ROOT: [&str; 3] = ["README.md", "ARCHITECTURE.md", "SECURITY.md"];

/// A file of the repository: its path from the root, with `/`, and its text; a binary file has none.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        let is_source = ["crates/", "bench/", "fuzz/"]
            .iter()
            .any(|root| self.path.starts_with(root));
        is_source && self.path.ends_with(".rs")
    }

    pub(crate) fn is_document(&self) -> bool {
        let is_guide = self.path.starts_with("docs/") && self.path.ends_with(".md");
        is_guide || DOCUMENTS_AT_THE_ROOT.contains(&self.path.as_str())
    }

    /// Whether all of it is test code, by its place or its name.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Its lines, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Its lines without those that are only a comment.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// One finding for each line of code that the rule objects to.
    pub(crate) fn objections(&self, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let wrong = self.code().filter(|(_, line)| is_wrong(line));
        wrong
            .map(|(number, line)| finding(&self.path, number, line.trim()))
            .collect()
    }
}

pub(crate) fn finding(path: &str, line: usize, what: &str) -> String {
    format!("{path}:{line}: {what}")
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository is here")
}

pub(crate) fn repository() -> Vec<File> {
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

/// Whether the word stands in the line by itself, and not as a part of a longer one.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(word).unwrap_or_default();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

pub(crate) fn leading_word(text: &str) -> &str {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.split(|character| !is_part(character))
        .next()
        .unwrap_or_default()
}
