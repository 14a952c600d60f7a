//! The checkpoints that count, and those that do not: of the export, and anchors.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    rc::Rc,
};

use claviger_core::{
    ledger::{
        note::{NOTE_BYTES_MAX, OpenError},
        tree::Hash,
        verify::{Source, Trusted},
    },
    time::Timestamp,
};
use serde::Deserialize;

use super::{
    files::{self, Line, unreadable},
    trust::{Opened, Refused, Trust},
};
use crate::{error::Failure, output::Output};

/// More than a line with a note can have: in JSON a byte of it takes at most six.
const ANCHOR_LINE_BYTES_MAX: u64 = 6 * 1024 * 1024 + 4096;

/// A checkpoint that counts.
pub(super) struct Vouched {
    pub(super) trusted: Trusted,
    pub(super) file: Rc<str>,
    pub(super) signers: Vec<Rc<str>>,
    /// The earliest time that a cosignature gives, in seconds since 1970.
    pub(super) signed_at: Option<u64>,
    /// When it was put where it was found, as it says there: nobody signed that.
    pub(super) anchored_at: Option<String>,
}

impl Vouched {
    /// The same tree, found again: each signature counts, and the earliest time.
    fn merge(&mut self, opened: Opened, at: Option<String>) {
        for signer in opened.signers {
            if !self.signers.contains(&signer) {
                self.signers.push(signer);
            }
        }
        self.signed_at = self.signed_at.into_iter().chain(opened.at).min();
        self.trusted.at = self.signed_at.and_then(timestamp);
        let told = |at: &String| at.parse::<Timestamp>().ok();
        let is_earlier = match (self.anchored_at.as_ref(), at.as_ref()) {
            (None, Some(_)) => true,
            (Some(known), Some(at)) => {
                told(at).is_some_and(|at| told(known).is_none_or(|known| at < known))
            }
            (_, None) => false,
        };
        if is_earlier {
            self.anchored_at = at;
        }
    }
}

/// A time in seconds since 1970; `None` if it is beyond what can be written.
pub(super) fn timestamp(seconds: u64) -> Option<Timestamp> {
    let millis = i64::try_from(seconds).ok()?.checked_mul(1000)?;
    let at = Timestamp::from_millis(millis);
    (at.millis() == millis).then_some(at)
}

/// Why a checkpoint does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not written as one.
    Malformed,
    /// It is of another log.
    OtherLog,
    /// None of the given keys signed it.
    UnknownKey,
    /// A given key should have signed it, and the signature does not verify.
    BadSignature,
}

/// Checkpoints of one file that do not count, for one reason.
pub(super) struct Faulty {
    pub(super) fault: Fault,
    pub(super) file: Rc<str>,
    /// Why the first of them does not.
    pub(super) why: String,
    pub(super) count: u64,
}

/// All checkpoints.
#[derive(Default)]
pub(super) struct Checkpoints {
    pub(super) vouched: Vec<Vouched>,
    pub(super) faulty: Vec<Faulty>,
    /// Where those known are: an anchor file says the same again as long as a log does not grow.
    known: HashMap<(bool, u64, Hash), usize>,
}

/// A line of an anchor file.
#[derive(Deserialize)]
struct Anchor {
    #[serde(default)]
    at: serde_json::Value,
    note: String,
}

impl Checkpoints {
    /// What the verifier is to compare.
    pub(super) fn trusted(&self) -> Vec<Trusted> {
        self.vouched.iter().map(|vouched| vouched.trusted).collect()
    }

    /// The checkpoint of the export itself.
    pub(super) fn take_of_export(&mut self, file: &str, note: &[u8], trust: &Trust) {
        match trust.open(note) {
            Ok(opened) => self.add(Source::Export, &file.into(), opened, None),
            Err(refused) => self.refuse(&file.into(), &refused),
        }
    }

    /// The checkpoints of an anchor file. Those of other logs are passed over.
    ///
    /// # Errors
    /// If it cannot be read, or has nothing on this log.
    pub(super) fn take_anchors(
        &mut self,
        path: &Path,
        trust: &Trust,
        out: &Output,
    ) -> Result<(), Failure> {
        let name: Rc<str> = path.display().to_string().into();
        let failed = |error| unreadable(&name, &error);
        let mut input = BufReader::new(File::open(path).map_err(failed)?);
        let is_lines = input.fill_buf().map_err(failed)?.first() == Some(&b'{');
        let taken = if is_lines {
            self.take_lines(&mut input, &name, trust, out)?
        } else {
            let max = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
            let mut note = Vec::new();
            let read = input.take(max.saturating_add(1)).read_to_end(&mut note);
            read.map_err(failed)?;
            self.take_anchor(&name, &note, None, trust)
                .map_err(|why| Failure::Unreadable(format!("{name} is no anchor: {why}")))?
        };
        if taken {
            return Ok(());
        }
        Err(Failure::Unreadable(format!(
            "{name} has no checkpoint of `{}`: give an anchor of this log, or leave --anchor out",
            trust.origin
        )))
    }

    /// Whether there was one of the log.
    fn take_lines(
        &mut self,
        input: &mut BufReader<File>,
        name: &Rc<str>,
        trust: &Trust,
        out: &Output,
    ) -> Result<bool, Failure> {
        let (mut line, mut number, mut taken) = (Vec::new(), 0_u64, false);
        loop {
            let kind = files::next_line(input, &mut line, ANCHOR_LINE_BYTES_MAX)
                .map_err(|error| unreadable(name, &error))?;
            number += 1;
            let broken =
                |why: String| Failure::Unreadable(format!("line {number} of {name}: {why}"));
            match kind {
                Line::None => return Ok(taken),
                Line::TooLong => return Err(broken("it is too long for an anchor".to_owned())),
                Line::Whole | Line::Last if line.trim_ascii().is_empty() => continue,
                Line::Whole | Line::Last => {}
            }
            let anchor: Anchor = match serde_json::from_slice(&line) {
                Ok(anchor) => anchor,
                // Whoever wrote it was interrupted, and went on with a line of its own.
                Err(error) if error.is_eof() => {
                    out.warning(&format!(
                        "line {number} of {name} was not written to its end, and is passed over"
                    ));
                    continue;
                }
                Err(error) => return Err(broken(error.to_string())),
            };
            let at = match anchor.at {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text),
                other => Some(other.to_string()),
            };
            taken |= self
                .take_anchor(name, anchor.note.as_bytes(), at, trust)
                .map_err(|why| broken(why.to_string()))?;
        }
    }

    /// Whether it was one of the log.
    fn take_anchor(
        &mut self,
        name: &Rc<str>,
        note: &[u8],
        at: Option<String>,
        trust: &Trust,
    ) -> Result<bool, Refused> {
        match trust.open(note) {
            Ok(opened) => self.add(Source::Anchor, name, opened, at),
            Err(Refused::OtherLog(_)) => return Ok(false),
            Err(refused @ (Refused::Note(_) | Refused::Checkpoint(_))) => return Err(refused),
            Err(refused @ Refused::Signature(_)) => self.refuse(name, &refused),
        }
        Ok(true)
    }

    fn add(&mut self, source: Source, file: &Rc<str>, opened: Opened, at: Option<String>) {
        let (size, root) = (opened.checkpoint.size(), opened.checkpoint.root());
        let place = self.vouched.len();
        let known = self.known.entry((source == Source::Anchor, size, root));
        if let Some(vouched) = self.vouched.get_mut(*known.or_insert(place)) {
            vouched.merge(opened, at);
            return;
        }
        let trusted = Trusted {
            size,
            root,
            at: opened.at.and_then(timestamp),
            source,
        };
        self.vouched.push(Vouched {
            trusted,
            file: Rc::clone(file),
            signers: opened.signers,
            signed_at: opened.at,
            anchored_at: at,
        });
    }

    fn refuse(&mut self, file: &Rc<str>, refused: &Refused) {
        let fault = match refused {
            Refused::Note(_) | Refused::Checkpoint(_) => Fault::Malformed,
            Refused::OtherLog(_) => Fault::OtherLog,
            Refused::Signature(OpenError::Unknown) => Fault::UnknownKey,
            Refused::Signature(OpenError::Invalid { .. } | OpenError::Ambiguous { .. }) => {
                Fault::BadSignature
            }
        };
        let is_same = |other: &&mut Faulty| other.fault == fault && other.file == *file;
        match self.faulty.iter_mut().find(is_same) {
            Some(faulty) => faulty.count += 1,
            None => self.faulty.push(Faulty {
                fault,
                file: Rc::clone(file),
                why: refused.to_string(),
                count: 1,
            }),
        }
    }
}
