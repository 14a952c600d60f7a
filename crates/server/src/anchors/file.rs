//! The anchor file: a line for each anchored checkpoint, on a disk of its own. Lines are appended and
//! synced, and never changed or taken away.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use claviger_core::{
    id::OrgId,
    ledger::{
        anchor::{Anchor, AnchorError},
        checkpoint::Checkpoint,
        note::{NOTE_BYTES_MAX, Note, VerifierKey},
        tree::Hash,
    },
    time::Timestamp,
};
use parking_lot::Mutex;

use crate::{
    log_key::{origin, verifies},
    private_file,
};

/// More than a line with a note can have: in JSON a byte of it takes at most six.
const LINE_BYTES_MAX: usize = 6 * NOTE_BYTES_MAX + 4096;
/// How long a line may take to be on the disk.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// So many lines that cannot be used are named one by one.
const NAMED_MAX: usize = 5;

/// What the database is compared with: the largest checkpoint of an org in the file, or the one from
/// which on the operator began another history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(super) size: u64,
    pub(super) root: Hash,
    /// When it was anchored.
    pub(super) at: Timestamp,
    line: String,
}

/// The file.
#[derive(Debug)]
pub(super) struct AnchorFile {
    path: PathBuf,
    bases: Mutex<HashMap<OrgId, Base>>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) bases: HashMap<OrgId, Base>,
    pub(super) lines: u64,
    /// Lines that were not written to their end: somebody was interrupted.
    pub(super) cut: Vec<u64>,
    /// Lines that are no anchors, or that nobody known has signed, and why.
    pub(super) bad: Vec<(u64, String)>,
}

/// A line that may be the largest of its org.
struct Candidate {
    number: u64,
    offset: u64,
    bytes: usize,
    size: u64,
}

/// Who may have signed the checkpoints of an org; `None`: that is not looked at.
pub(super) type Known<'a> = &'a dyn Fn(OrgId) -> Option<Vec<VerifierKey>>;

impl AnchorFile {
    /// Opens the file, makes it if there is none, and reads it. Lines that cannot be used are named in
    /// the log, and count for nothing.
    pub(super) fn open(path: &Path, known: Known<'_>) -> io::Result<Self> {
        // Whether lines can be added has to show before anything relies on them.
        let file = open(path)?;
        file.sync_all()?;
        private_file::sync_directory(path)?;
        let contents = read(&file, known)?;
        tell(path, &contents);
        Ok(Self {
            path: path.to_owned(),
            bases: Mutex::new(contents.bases),
        })
    }

    /// The orgs that were anchored here, and their largest checkpoints.
    pub(super) fn bases(&self) -> Vec<(OrgId, Base)> {
        let bases = self.bases.lock();
        let mut bases: Vec<_> = bases
            .iter()
            .map(|(org, base)| (*org, base.clone()))
            .collect();
        bases.sort_by_key(|(org, _)| *org);
        bases
    }

    /// The largest checkpoint of an org.
    pub(super) fn base(&self, org: OrgId) -> Option<Base> {
        self.bases.lock().get(&org).cloned()
    }

    /// Adds a line, and waits until it is on the disk. What it says is of this tree.
    pub(super) async fn append(
        self: &Arc<Self>,
        anchor: &Anchor,
        (size, root): (u64, Hash),
    ) -> Result<(), String> {
        let base = Base {
            size,
            root,
            at: anchor.at,
            line: anchor.to_json(),
        };
        let (file, org, new) = (Arc::clone(self), anchor.org, base.clone());
        let written = tokio::task::spawn_blocking(move || file.write(org, &new.line));
        match tokio::time::timeout(WRITE_MAX, written).await {
            Ok(Ok(Ok(()))) => {
                self.bases.lock().insert(org, base);
                Ok(())
            }
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("it took too long".to_owned()),
        }
    }

    /// Opened for each line: so a file that was moved away is begun anew, and one on a disk that was
    /// away is found again.
    fn write(&self, org: OrgId, line: &str) -> io::Result<()> {
        let mut file = open(&self.path)?;
        let length = file.metadata()?.len();
        let mut text = String::new();
        if let Some(last) = length.checked_sub(1) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, last)?;
            // The line before was not written to its end. It stays, and is passed over by who reads.
            if byte != *b"\n" {
                text.push('\n');
            }
        } else {
            // The others must not be without anchors because a file was moved away.
            let bases = self.bases.lock();
            for (_, base) in bases.iter().filter(|(other, _)| **other != org) {
                text.push_str(&base.line);
                text.push('\n');
            }
        }
        text.push_str(line);
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        if length == 0 {
            private_file::sync_directory(&self.path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.open(path)
}

/// Reads a file for `doctor`, which changes nothing and knows no keys.
pub(super) fn look(path: &Path) -> io::Result<Contents> {
    let file = OpenOptions::new().read(true).append(true).open(path)?;
    read(&file, &|_org| None)
}

fn tell(path: &Path, contents: &Contents) {
    let path = path.display();
    for line in &contents.cut {
        tracing::warn!(file = %path, line, "a line of the anchor file was not written to its end, and is passed over");
    }
    for (line, why) in contents.bad.iter().take(NAMED_MAX) {
        tracing::warn!(file = %path, line, why, "a line of the anchor file counts for nothing");
    }
    let more = contents.bad.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        tracing::warn!(file = %path, more, "more lines of the anchor file count for nothing");
    }
}

/// Goes through the lines. Signatures are verified of the largest alone: there may be very many lines.
fn read(file: &File, known: Known<'_>) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let mut candidates: HashMap<OrgId, Vec<Candidate>> = HashMap::new();
    let mut input = BufReader::with_capacity(64 * 1024, file);
    let (mut line, mut offset) = (Vec::new(), 0);
    loop {
        line.clear();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let count = input.by_ref().take(most).read_until(b'\n', &mut line)?;
        if count == 0 {
            break;
        }
        contents.lines += 1;
        let (number, begin) = (contents.lines, offset);
        offset += u64::try_from(count).unwrap_or(u64::MAX);
        if line.last() != Some(&b'\n') && count == LINE_BYTES_MAX {
            let skipped = input.skip_until(b'\n')?;
            offset += u64::try_from(skipped).unwrap_or(u64::MAX);
            contents.bad.push((number, "it is too long".to_owned()));
            continue;
        }
        let text = line.trim_ascii_end();
        if text.is_empty() {
            continue;
        }
        match candidate(text, known) {
            Ok((anchor, size)) => {
                let candidate = Candidate {
                    number,
                    offset: begin,
                    bytes: text.len(),
                    size,
                };
                let others = candidates.entry(anchor.org).or_default();
                if anchor.accepted_rollback.is_some() {
                    others.clear();
                }
                others.push(candidate);
            }
            Err(Unusable::Cut) => contents.cut.push(number),
            Err(Unusable::Bad(why)) => contents.bad.push((number, why)),
        }
    }
    for (org, mut candidates) in candidates {
        // The sort is stable: of two that are as large, the later one.
        candidates.sort_by_key(|candidate| candidate.size);
        while let Some(candidate) = candidates.pop() {
            match base(file, &candidate, known(org))? {
                Ok(base) => {
                    contents.bases.insert(org, base);
                    break;
                }
                Err(why) => contents.bad.push((candidate.number, why)),
            }
        }
    }
    contents.bad.sort();
    Ok(contents)
}

enum Unusable {
    Cut,
    Bad(String),
}

/// A line that is written as an anchor, and its size. One that begins another history is verified at
/// once: it decides which lines before it count.
fn candidate(text: &[u8], known: Known<'_>) -> Result<(Anchor, u64), Unusable> {
    let anchor = Anchor::parse(text).map_err(|error| match error {
        AnchorError::Cut => Unusable::Cut,
        AnchorError::Malformed(why) => Unusable::Bad(why),
    })?;
    let (_, checkpoint) = opened(&anchor).map_err(Unusable::Bad)?;
    if anchor.accepted_rollback.is_some() {
        vouched(&anchor, known(anchor.org)).map_err(Unusable::Bad)?;
    }
    Ok((anchor, checkpoint.size()))
}

/// Reads a line again, and verifies it.
fn base(
    file: &File,
    candidate: &Candidate,
    known: Option<Vec<VerifierKey>>,
) -> io::Result<Result<Base, String>> {
    let mut line = vec![0; candidate.bytes];
    file.read_exact_at(&mut line, candidate.offset)?;
    let read = || {
        let anchor = Anchor::parse(&line).map_err(|error| error.to_string())?;
        let (size, root) = vouched(&anchor, known)?;
        Ok(Base {
            size,
            root,
            at: anchor.at,
            line: anchor.to_json(),
        })
    };
    Ok(read())
}

fn opened(anchor: &Anchor) -> Result<(Note, Checkpoint), String> {
    let note = Note::parse(anchor.note.as_bytes()).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin() != origin(anchor.org) {
        let other = checkpoint.origin();
        return Err(format!("its checkpoint is of another log, `{other}`"));
    }
    Ok((note, checkpoint))
}

/// Size and root of an anchor that a known key has signed.
fn vouched(anchor: &Anchor, known: Option<Vec<VerifierKey>>) -> Result<(u64, Hash), String> {
    let (note, checkpoint) = opened(anchor)?;
    if let Some(known) = known {
        let opened = note.open(&known, &verifies);
        opened.map_err(|error| error.to_string())?;
    }
    Ok((checkpoint.size(), checkpoint.root()))
}
