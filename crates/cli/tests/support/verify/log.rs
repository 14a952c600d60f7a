//! A log in memory, its keys, and its export in each form.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use claviger_core::ledger::{
    checkpoint::Checkpoint,
    note::{Kind, Note, VerifierKey},
    tree::{
        Frontier, Hash, leaf_hash,
        tile::{Bundle, Resource, Tile, push_record, root_of, tiles_of_tree},
    },
};
use serde_json::Value;

pub(crate) const ORIGIN: &str = "claviger/org_01M8336G55QTTE6EVSFV7Z65F4";

/// A private key: the seed is the same byte 32 times.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) public: VerifierKey,
}

impl Signer {
    pub(crate) fn new(name: &str, kind: Kind, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key");
        let bytes = pair.public_key().as_ref().try_into().expect("32 bytes");
        let public = VerifierKey::new(name, kind, bytes).expect("a name");
        Self { pair, public }
    }

    pub(crate) fn of_log() -> Self {
        Self::new(ORIGIN, Kind::Ed25519, 1)
    }

    /// Signs a note as well.
    pub(crate) fn add_to(&self, note: &str, seconds: u64) -> String {
        let mut note = Note::parse(note.as_bytes())
            .or_else(|_unsigned| Note::new(note))
            .expect("a text");
        let sign = |message: &[u8]| self.pair.sign(message).as_ref().try_into();
        let signature = self.public.sign(note.text(), seconds, sign);
        note.add(signature.expect("64 bytes")).expect("few");
        note.to_string()
    }
}

pub(crate) fn record(number: u64) -> Vec<u8> {
    let nonce = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(r#"{{"v":1,"id":"evt_{number}","status":200,"nonce":"{nonce:016x}"}}"#).into_bytes()
}

/// The records with the numbers from 1 to this.
pub(crate) fn records(count: u64) -> Vec<Vec<u8>> {
    (1..=count).map(record).collect()
}

pub(crate) fn root(records: &[Vec<u8>]) -> Hash {
    let mut tree = Frontier::default();
    records
        .iter()
        .for_each(|record| tree.append(leaf_hash(record)));
    tree.root()
}

/// The checkpoint over records, signed.
pub(crate) fn checkpoint(records: &[Vec<u8>], signer: &Signer) -> String {
    checkpoint_of(ORIGIN, records, signer)
}

pub(crate) fn checkpoint_of(origin: &str, records: &[Vec<u8>], signer: &Signer) -> String {
    let size = u64::try_from(records.len()).expect("few");
    let checkpoint = Checkpoint::new(origin, size, root(records)).expect("an origin");
    signer.add_to(&checkpoint.to_string(), 0)
}

pub(crate) fn lines(records: &[Vec<u8>]) -> Vec<u8> {
    let each = records
        .iter()
        .flat_map(|record| [record.as_slice(), b"\n"].concat());
    each.collect()
}

pub(crate) fn hashes(records: &[Vec<u8>]) -> Vec<u8> {
    let each = records
        .iter()
        .flat_map(|record| *leaf_hash(record).as_bytes());
    each.collect()
}

/// A folder that vanishes, and the command in it.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
}

/// How a verification ended.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) err: String,
}

impl Verdict {
    /// Each finding: its kind, and the number of the record.
    pub(crate) fn findings(&self) -> Vec<(String, Option<u64>)> {
        let findings = self.report["findings"].as_array().expect("findings");
        let each = findings.iter().map(|found| {
            let kind = found["kind"].as_str().expect("a kind");
            (kind.to_owned(), found["record"].as_u64())
        });
        each.collect()
    }

    /// It names this, and nothing else.
    pub(crate) fn expect(&self, kind: &str, record: Option<u64>) {
        assert_eq!(self.code, Some(12), "{self:?}");
        assert_eq!(self.findings(), [(kind.to_owned(), record)], "{self:?}");
        assert_eq!(self.report["is_proved"], false);
    }

    /// It names this first.
    pub(crate) fn expect_first(&self, kind: &str, record: Option<u64>) {
        assert_eq!(self.code, Some(12), "{self:?}");
        let findings = self.findings();
        let first = findings.first().expect("a finding");
        assert_eq!(*first, (kind.to_owned(), record), "{findings:?}");
    }

    pub(crate) fn expect_proved(&self, size: u64) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.report["is_proved"], true);
        assert_eq!(self.report["intact"], size);
        assert_eq!(self.report["proved"]["size"], size);
        assert!(self.findings().is_empty(), "{self:?}");
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }

    /// An export in lines as `name`: of these records, with what the signed ones have beside.
    pub(crate) fn write_lines(&self, name: &str, stand: &[Vec<u8>], signed: &[Vec<u8>]) {
        self.write(name, lines(stand));
        self.write(&format!("{name}.hashes"), hashes(signed));
        let note = checkpoint(signed, &Signer::of_log());
        self.write(&format!("{name}.checkpoint"), note);
    }

    /// An export in the layout of tlog-tiles as the folder `name`.
    pub(crate) fn write_folder(&self, name: &str, records: &[Vec<u8>]) {
        let size = u64::try_from(records.len()).expect("few");
        let mut level = hashes(records);
        let mut levels = Vec::new();
        while !level.is_empty() {
            let full = level.chunks_exact(256 * 32);
            let above = full.flat_map(|tile| *root_of(tile).expect("a tile").as_bytes());
            let above: Vec<u8> = above.collect();
            levels.push(level);
            level = above;
        }
        for tile in tiles_of_tree(size) {
            self.write_tile(name, tile, &levels[usize::from(tile.level())]);
        }
        for (number, part) in (0..).zip(records.chunks(256)) {
            let mut bytes = Vec::new();
            for record in part {
                push_record(&mut bytes, record).expect("a short record");
            }
            let bundle = Bundle::of_tree(number, size).expect("a bundle");
            self.write(&format!("{name}/{}", Resource::Entries(bundle)), bytes);
        }
        let signer = Signer::of_log();
        self.write(&format!("{name}/checkpoint"), checkpoint(records, &signer));
        self.write(&format!("{name}/key"), format!("{}\n", signer.public));
    }

    fn write_tile(&self, name: &str, tile: Tile, level: &[u8]) {
        let begin = usize::try_from(tile.number()).expect("few") * 256 * 32;
        let bytes = &level[begin..begin + tile.bytes()];
        self.write(&format!("{name}/{}", Resource::Tile(tile)), bytes);
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.env_clear().current_dir(self.directory.path());
        command.args(["audit", "verify"]).args(words);
        command.stdin(Stdio::null());
        command
    }

    /// Verifies with the key of the log.
    pub(crate) fn verify(&self, words: &[&str]) -> Verdict {
        let key = Signer::of_log().public.to_string();
        self.verify_with(&[words, &["--key", &key]].concat())
    }

    /// Verifies with the keys that are among the words.
    pub(crate) fn verify_with(&self, words: &[&str]) -> Verdict {
        verdict(self.command(words).arg("--json"))
    }
}

/// Runs a command that writes a report or nothing.
pub(crate) fn verdict(command: &mut Command) -> Verdict {
    let ended = command.output().expect("the binary runs");
    let out = String::from_utf8_lossy(&ended.stdout);
    Verdict {
        code: ended.status.code(),
        report: serde_json::from_str(&out).unwrap_or_default(),
        err: String::from_utf8_lossy(&ended.stderr).into_owned(),
    }
}

/// The path as a word of a command.
pub(crate) fn word(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
