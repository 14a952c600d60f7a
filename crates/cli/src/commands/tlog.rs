//! `claviger audit export --format tlog`: the trail as a folder in the layout of C2SP tlog-tiles.
//!
//! The records come as one stream; bundles and tiles are made of them here, and nothing counts before
//! their root is the one that was signed. The checkpoint is written last: up to it the folder is as it was,
//! or as the new one says. What an interrupted export has written beyond it is used by the next one, as far
//! as it has the hashes that the server gives. Until then `verify` calls it unsigned, although a log may
//! well have more than it has signed: "all is proved" is to hold for whatever lies in the folder, for
//! whoever reads the files does not look at the checkpoint first.

use std::path::Path;

use claviger_core::ledger::{
    checkpoint::Checkpoint,
    note::{Note, VerifierKey},
    tree::{
        HASH_BYTES, Hash, leaf_hash,
        proof::{Plan, Tiles, verify_consistency},
        tile::{Bundle, RECORD_BYTES_MAX, Resource, Tile, push_record, records},
    },
};
use claviger_server::log_key::verifies;

use self::folder::Folder;
use self::levels::Levels;
use super::export::{Progress, dropped};
use crate::{client::Client, error::Failure, output::Output};

mod folder;
mod levels;

/// How many records a full bundle has.
const BUNDLE: u64 = 256;

/// Writes the folder, or adds to it what is new.
pub(super) async fn export(
    path: &Path,
    cosigned: bool,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let folder = Folder::open(path)?;
    tokio::select! {
        ended = write(&folder, cosigned, client, out) => ended,
        _interrupted = tokio::signal::ctrl_c() => {
            Err(Failure::Local(format!(
                "interrupted: in {folder} the checkpoint and what it covers are as they were; what is \
                 behind it is not signed yet: export again to go on"
            )))
        }
    }
}

async fn write(
    folder: &Folder<'_>,
    cosigned: bool,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let known = folder.keys()?;
    let before = match folder.read("checkpoint")? {
        Some(note) => Some(open(&note, &known).map_err(|why| folder.broken("checkpoint", &why))?),
        None => None,
    };
    let mut told = told_keys(client).await?;
    let note = match cosigned {
        true => client.cosigned().await?,
        false => client.log_file(Resource::Checkpoint).await?,
    };
    let now = open(&note, &told).map_err(|why| lie(&why))?;
    told.retain(|key| open(&note, std::slice::from_ref(key)).is_ok());
    if !known.is_empty() {
        let refused = |why| {
            format!(
                "the checkpoint of the server is not signed by a key that {folder} knows: {why}"
            )
        };
        open(&note, &known).map_err(|why| Failure::Local(refused(why)))?;
    }
    if let Some(before) = &before {
        if cosigned {
            expect_more(folder, before, &now)?;
        }
        expect_growth(before, &now, client).await?;
    }
    let mut intake = Intake {
        folder,
        now: &now,
        levels: Levels::read(folder, before.as_ref())?,
        bundle: Vec::new(),
        rest: Vec::new(),
    };
    let first = intake.levels.size();
    intake.take_what_is_there(client).await?;
    let gone = intake.pass_what_is_gone(client).await?;
    let mut progress = Progress::new(out, true);
    let query = vec![
        ("format", "jsonl".to_owned()),
        ("after", intake.levels.size().to_string()),
    ];
    let taken = client.export_events(&query, |piece| {
        progress.add(piece);
        intake.take(piece)
    });
    taken.await?;
    progress.end();
    let root = intake.finish()?;
    let changed = if root == now.root() {
        None
    } else {
        let signed = Levels::read(folder, before.as_ref())?;
        Some(first_changed(folder, &now, signed, client).await?)
    };
    // Whichever of the two checkpoints is there, its keys are.
    let (old, new) = (known.iter().filter(|key| !told.contains(key)), told.iter());
    let both: Vec<VerifierKey> = new.chain(old).cloned().collect();
    folder.write_keys(&both)?;
    folder.write("checkpoint", &note)?;
    folder.write_keys(&told)?;
    // What the server has no more stays, where it was exported before.
    folder.remove_others(now.size(), gone.map_or(0, |(last, _)| last))?;
    if let Some((last, seq)) = gone {
        out.note(&format!(
            "the bodies of the records up to {last} were dropped, as record {seq} says: of them {folder} has the \
             hashes, and the bodies that were exported before"
        ));
    }
    tell(folder, (first, now.size()), changed, out)
}

/// Says how far the folder goes, or which record is not the one that was signed.
fn tell(
    folder: &Folder<'_>,
    (first, size): (u64, u64),
    changed: Option<u64>,
    out: &Output,
) -> Result<(), Failure> {
    match changed {
        None => {
            let new = size - first;
            out.note(&format!(
                "{folder} goes up to record {size}; the last {new} were looked at, and are what was signed"
            ));
            Ok(())
        }
        Some(seq) => Err(Failure::Local(format!(
            "record {seq} is not the one that was signed; {folder} has the records as they are, and the \
             hashes that were signed: look at it with claviger audit verify"
        ))),
    }
}

/// Witnesses may be behind the folder: then there is nothing to add, and nothing is wrong.
fn expect_more(folder: &Folder<'_>, before: &Checkpoint, now: &Checkpoint) -> Result<(), Failure> {
    let (more, size) = (before.size(), now.size());
    if more <= size {
        return Ok(());
    }
    Err(Failure::Local(format!(
        "{folder} goes up to record {more} already, and witnesses have signed up to {size}: export again later"
    )))
}

/// The keys that the server says it signs with.
async fn told_keys(client: &Client) -> Result<Vec<VerifierKey>, Failure> {
    let keys = client.log_keys().await?;
    let keys = keys.keys.iter().map(|key| key.vkey.parse());
    keys.collect::<Result<_, _>>()
        .map_err(|error: claviger_core::ledger::note::NoteError| lie(&error.to_string()))
}

fn lie(why: &str) -> Failure {
    Failure::Local(format!("the server gives no checkpoint that holds: {why}"))
}

/// The checkpoint that one of these keys has signed.
fn open(note: &[u8], keys: &[VerifierKey]) -> Result<Checkpoint, String> {
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    let opened = note.open(keys, &verifies);
    let signers = opened.map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if signers
        .iter()
        .all(|signer| signer.key.name() == checkpoint.origin())
    {
        Ok(checkpoint)
    } else {
        Err("it is of another log".to_owned())
    }
}

/// Makes sure, by a proof from the hashes that the server gives, that the log only grew.
async fn expect_growth(
    before: &Checkpoint,
    now: &Checkpoint,
    client: &Client,
) -> Result<(), Failure> {
    let forked = |why: String| {
        Failure::Local(format!(
            "the log of the server does not continue the one in the folder: {why}; \
             keep the folder, both checkpoints are signed"
        ))
    };
    let (old, new) = (before.size(), now.size());
    if new < old {
        let why = format!("it has {new} records, and the folder {old}, so it was set back");
        return Err(forked(why));
    }
    let plan = Plan::consistency(old, new);
    let plan = plan.map_err(|error| forked(error.to_string()))?;
    let mut tiles = Tiles::default();
    for tile in plan.tiles() {
        let hashes = client.log_file(Resource::Tile(tile)).await?;
        tiles.insert(tile.level(), tile.number(), hashes);
    }
    let proof = plan.make(&tiles).map_err(|error| lie(&error.to_string()))?;
    verify_consistency((old, &before.root()), (new, &now.root()), &proof)
        .map_err(|error| forked(error.to_string()))
}

/// Records on their way into the folder.
struct Intake<'a> {
    folder: &'a Folder<'a>,
    now: &'a Checkpoint,
    levels: Levels<'a>,
    /// The records of the bundle that is not full.
    bundle: Vec<u8>,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Intake<'_> {
    /// Takes the full bundles that an interrupted export has written, as long as they are what the server
    /// has. Anybody may have written into them since, and no checkpoint covers them.
    async fn take_what_is_there(&mut self, client: &Client) -> Result<(), Failure> {
        while self.levels.size() + BUNDLE <= self.now.size() {
            let number = self.levels.size() / BUNDLE;
            let Some(bundle) = Bundle::of_tree(number, self.now.size()) else {
                return Ok(());
            };
            let name = Resource::Entries(bundle).to_string();
            let Some(bytes) = self.folder.read(&name)? else {
                return Ok(());
            };
            let leaves: Result<Vec<Hash>, _> = records(&bytes)
                .map(|record| record.map(leaf_hash))
                .collect();
            let Ok(leaves) = leaves else { return Ok(()) };
            let Some(tile) = Tile::of_tree(0, number, self.now.size()) else {
                return Ok(());
            };
            let hashes: Vec<u8> = leaves.iter().flat_map(Hash::as_bytes).copied().collect();
            if hashes != client.log_file(Resource::Tile(tile)).await? {
                return Ok(());
            }
            leaves
                .into_iter()
                .try_for_each(|leaf| self.levels.push(leaf))?;
        }
        Ok(())
    }

    /// Takes the hashes of records whose bodies the server has dropped. Gives the number of the last of
    /// these, and that of the record that says so.
    async fn pass_what_is_gone(&mut self, client: &Client) -> Result<Option<(u64, u64)>, Failure> {
        let Some((last, seq)) = dropped(client).await? else {
            return Ok(None);
        };
        let is_new = self.levels.size() < last;
        while self.levels.size() < last.min(self.now.size()) {
            let number = self.levels.size() / BUNDLE;
            let Some(tile) = Tile::of_tree(0, number, self.now.size()) else {
                break;
            };
            let hashes = client.log_file(Resource::Tile(tile)).await?;
            if hashes.len() != tile.bytes() {
                return Err(lie("a tile has another length"));
            }
            let leaves = hashes.chunks_exact(HASH_BYTES).filter_map(Hash::from_slice);
            leaves
                .into_iter()
                .try_for_each(|leaf| self.levels.push(leaf))?;
        }
        Ok(is_new.then_some((last, seq)))
    }

    /// Takes a piece of the export.
    fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let mut piece = piece;
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = piece.split_at(end);
            piece = behind.get(1..).unwrap_or_default();
            if self.rest.is_empty() {
                self.record(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.record(&whole)?;
            }
        }
        // A line that does not end is not gathered: it cannot become a record any more.
        if self.rest.len() + piece.len() > RECORD_BYTES_MAX {
            return Err(too_long());
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    fn record(&mut self, record: &[u8]) -> Result<(), Failure> {
        // What was recorded after the checkpoint is of the next export.
        if self.levels.size() >= self.now.size() {
            return Ok(());
        }
        push_record(&mut self.bundle, record).ok_or_else(too_long)?;
        self.levels.push(leaf_hash(record))?;
        if self.levels.size().is_multiple_of(BUNDLE) || self.levels.size() == self.now.size() {
            self.write_bundle()?;
        }
        Ok(())
    }

    fn write_bundle(&mut self) -> Result<(), Failure> {
        let number = (self.levels.size() - 1) / BUNDLE;
        if let Some(bundle) = Bundle::of_tree(number, self.levels.size()) {
            let name = Resource::Entries(bundle).to_string();
            self.folder.write(&name, &self.bundle)?;
        }
        self.bundle.clear();
        Ok(())
    }

    /// The root of the records that were taken.
    fn finish(&self) -> Result<Hash, Failure> {
        let (size, all) = (self.levels.size(), self.now.size());
        if size != all {
            return Err(Failure::Local(format!(
                "the export ended after {size} of {all} records; export again to go on"
            )));
        }
        self.levels.write_partial()?;
        self.levels.root()
    }
}

fn too_long() -> Failure {
    Failure::Local(format!(
        "the server sends a line of more than {RECORD_BYTES_MAX} bytes, which no record has: is it Claviger?"
    ))
}

/// The first record that is not what was signed. The hashes of the folder become those that were signed:
/// `signed` has those of before.
async fn first_changed(
    folder: &Folder<'_>,
    now: &Checkpoint,
    mut signed: Levels<'_>,
    client: &Client,
) -> Result<u64, Failure> {
    let mut changed = None;
    while signed.size() < now.size() {
        let begin = signed.size();
        let Some(tile) = Tile::of_tree(0, begin / BUNDLE, now.size()) else {
            break;
        };
        let name = Resource::Tile(tile);
        let (hashes, own) = (
            client.log_file(name).await?,
            folder.read(&name.to_string())?,
        );
        if hashes.len() != tile.bytes() {
            return Err(lie("a tile has another length"));
        }
        let own = own.unwrap_or_default();
        let mut pairs = (begin..).zip(hashes.chunks(HASH_BYTES).zip(own.chunks(HASH_BYTES)));
        let differs = pairs.find(|(_, (signed, own))| signed != own);
        changed = changed.or(differs.map(|(index, _)| index + 1));
        for hash in hashes.chunks_exact(HASH_BYTES).filter_map(Hash::from_slice) {
            signed.push(hash)?;
        }
    }
    signed.write_partial()?;
    match changed {
        Some(seq) if signed.root()? == now.root() => Ok(seq),
        _ => Err(lie("its hashes are not those that were signed")),
    }
}
