//! Scans all that git can reach: every version of every file, and the messages of commits and tags.
//!
//! Git itself reads its repositories: it knows of packs, alternates and replaced objects. One child
//! lists the objects with their paths, another one prints what it lists; the pipe between them is
//! theirs.

use std::{
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use claviger_core::scan::redact;

use super::{Scan, Source};
use crate::error::Failure;

/// The longest line before an object: an id, a size, and a path that may be absurd.
const HEADER_BYTES_MAX: u64 = 1024 * 1024;

/// Scans the history of these repositories.
///
/// # Errors
/// [`Failure`] before anything is read, if git is missing or one of them is no repository.
pub(super) fn scan(repositories: &[PathBuf], scan: &mut Scan<'_>) -> Result<(), Failure> {
    for repository in repositories {
        if is_shallow(repository, scan)? {
            let sentence = format!(
                "`{}` is a shallow clone: only a part of the history is there; run `git fetch \
                 --unshallow` first",
                scan.shown(repository)
            );
            scan.complain(&sentence);
        }
    }
    for repository in repositories {
        if let Err(error) = read(repository, scan) {
            let sentence = format!(
                "the history of `{}` was not read to its end: {error}; `git fsck` may tell more",
                scan.shown(repository)
            );
            scan.complain(&sentence);
        }
    }
    Ok(())
}

fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    // An object that was replaced is still there for whoever clones.
    command
        .arg("--no-replace-objects")
        .arg("-C")
        .arg(repository);
    // Its sentences are looked at below, and a scan asks nobody for what is not there.
    command.env("LC_ALL", "C").env("GIT_NO_LAZY_FETCH", "1");
    command.stdin(Stdio::null());
    command
}

/// Whether only the newest part of the history is there. Finds out at the same time whether there is
/// a repository, and git.
fn is_shallow(repository: &Path, scan: &Scan<'_>) -> Result<bool, Failure> {
    let shown = scan.shown(repository);
    if repository == Path::new("-") {
        let reason = "standard input has no history: name a repository, or leave out --history";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let asked = git(repository)
        .args(["rev-parse", "--is-shallow-repository"])
        .output();
    let answer = asked.map_err(|error| {
        Failure::Local(match error.kind() {
            io::ErrorKind::NotFound => "there is no `git` in PATH, which --history needs; install \
                                        it, or scan files without --history"
                .to_owned(),
            _ => format!("cannot run `git`, which --history needs: {error}"),
        })
    })?;
    if answer.status.success() {
        return Ok(answer.stdout.starts_with(b"true"));
    }
    // It repeats the path.
    let said = redact(scan.brands, &String::from_utf8_lossy(&answer.stderr));
    Err(Failure::Local(if said.contains("not a git repository") {
        format!("`{shown}` is no git repository: name one, or scan its files without --history")
    } else {
        let said = said.lines().next().unwrap_or("nothing");
        format!("git cannot read `{shown}`; it says: {said}")
    }))
}

/// Children that do not outlive whoever started them.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended by itself needs no more than to be waited for.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Children {
    fn start(&mut self, command: &mut Command) -> io::Result<ChildStdout> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take();
        self.0.push(child);
        stdout.ok_or_else(|| io::Error::other("its output is not piped"))
    }

    /// Waits until all have ended, and well.
    fn end(mut self) -> io::Result<()> {
        for child in &mut self.0 {
            let status = child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("git ended with {status}")));
            }
        }
        Ok(())
    }
}

fn read(repository: &Path, scan: &mut Scan<'_>) -> io::Result<()> {
    let mut children = Children(vec![]);
    // What a partial clone has left out is listed with a mark, and not fetched.
    let list = children.start(
        git(repository)
            .args(["rev-list", "--all", "--objects"])
            .arg("--missing=print"),
    )?;
    let contents = children.start(
        git(repository)
            .args(["cat-file", "--buffer"])
            .arg("--batch=%(objectname) %(objecttype) %(objectsize) %(rest)")
            .stdin(list),
    )?;
    let mut contents = BufReader::new(contents);
    let mut missing = 0_u64;
    while let Some(header) = next_header(&mut contents)? {
        let Header::Object(object) = header else {
            missing = missing.saturating_add(1);
            continue;
        };
        let mut content = contents.by_ref().take(object.size);
        look_at(repository, &object, &mut content, scan)?;
        if scan.is_full() {
            return Ok(());
        }
        let is_cut = content.limit() > 0;
        let mut end = [0];
        contents.read_exact(&mut end)?;
        if is_cut || end != *b"\n" {
            return Err(io::Error::other("git printed an object in part"));
        }
    }
    drop(contents);
    children.end()?;
    if missing > 0 {
        let sentence = format!(
            "`{}` lacks objects of its history, which were not scanned: {missing}; scan a whole \
             clone",
            scan.shown(repository)
        );
        scan.complain(&sentence);
    }
    Ok(())
}

/// Looks at one object, and reads it to its end unless the scan ends with it.
fn look_at(
    repository: &Path,
    object: &Object,
    content: &mut dyn Read,
    scan: &mut Scan<'_>,
) -> io::Result<()> {
    let path = Path::new(&object.path);
    let file = match object.kind {
        Kind::Blob | Kind::Tree => scan.shown(path),
        Kind::Commit => "(commit)".to_owned(),
        Kind::Tag => "(tag)".to_owned(),
    };
    let source = Source {
        // As git itself writes a path that is not in the directory.
        file: if repository == Path::new(".") {
            file
        } else {
            format!("{}:{file}", scan.shown(repository))
        },
        object: Some(object.id.clone()),
    };
    match object.kind {
        Kind::Blob | Kind::Tree => {
            let name = path.file_name().unwrap_or_default();
            scan.look_at_name(&name.to_string_lossy(), &source);
        }
        Kind::Commit | Kind::Tag => {}
    }
    match object.kind {
        Kind::Blob | Kind::Commit | Kind::Tag => scan.read(&source, content),
        // It holds names, and each of them comes with its object.
        Kind::Tree => io::copy(content, &mut io::sink()).map(|_count| ()),
    }
}

/// What comes before the content of an object.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    Object(Object),
    /// The object is not in this clone.
    Missing,
}

#[derive(Debug, PartialEq, Eq)]
struct Object {
    id: String,
    kind: Kind,
    size: u64,
    /// The path of one of the places where it lies; the name of a tag; nothing for a commit.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blob,
    Tree,
    Commit,
    Tag,
}

/// The next header, if there is one.
fn next_header(contents: &mut BufReader<ChildStdout>) -> io::Result<Option<Header>> {
    let mut line = Vec::new();
    let mut bounded = contents.by_ref().take(HEADER_BYTES_MAX);
    if bounded.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let header = line.strip_suffix(b"\n").and_then(parse_header);
    let wrong = || io::Error::other("git printed what is not understood");
    header.map(Some).ok_or_else(wrong)
}

fn parse_header(line: &[u8]) -> Option<Header> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(4, ' ');
    let (id, kind) = (fields.next()?, fields.next()?);
    let kind = match kind {
        "blob" => Kind::Blob,
        "tree" => Kind::Tree,
        "commit" => Kind::Commit,
        "tag" => Kind::Tag,
        "missing" => return Some(Header::Missing),
        _ => return None,
    };
    Some(Header::Object(Object {
        id: id.to_owned(),
        kind,
        size: fields.next()?.parse().ok()?,
        path: fields.next().unwrap_or_default().to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::{Header, Kind, Object, parse_header};

    #[test]
    fn headers_are_what_git_prints() {
        let object = |kind, size, path: &str| {
            Some(Header::Object(Object {
                id: "1a2b".to_owned(),
                kind,
                size,
                path: path.to_owned(),
            }))
        };
        let rows = [
            ("1a2b blob 12 a b/c d", object(Kind::Blob, 12, "a b/c d")),
            ("1a2b tree 0 ", object(Kind::Tree, 0, "")),
            ("1a2b commit 230 ", object(Kind::Commit, 230, "")),
            ("1a2b tag 5 v1", object(Kind::Tag, 5, "v1")),
            ("?1a2b missing", Some(Header::Missing)),
            ("1a2b blob -1 x", None),
            ("1a2b", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(parse_header(line.as_bytes()), expected, "{line}");
        }
    }
}
