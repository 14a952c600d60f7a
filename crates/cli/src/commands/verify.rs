//! `claviger audit verify`: whether a trail is what was signed. For an export no server is asked and no
//! database is read; with `--live` the server is asked. Of the records one is in memory at a time.

use std::{cell::RefCell, rc::Rc};

use claviger_core::ledger::verify::{TileClaims, Verifier};

use self::{
    checkpoints::Checkpoints,
    export::{Export, Flaws},
    pace::Pace,
    report::Report,
    trust::Trust,
    words::Way,
};
use crate::{
    args::{Global, audit::VerifyArgs},
    error::Failure,
    output::Output,
};

mod checkpoints;
mod export;
mod files;
mod folder;
mod lines;
mod live;
mod pace;
mod report;
mod tiles;
mod trust;
mod words;

/// Reads tiles of hashes: level and number to bytes, `None` if there is no such tile.
type ReadTile = Box<dyn FnMut(u8, u64) -> Option<Vec<u8>>>;

/// The verifier over the hashes that an export carries, if it carries any.
type Check = Verifier<TileClaims<ReadTile>>;

/// The first thing that went wrong while hashes were read: the verifier only knows that they are missing.
type Trouble = Rc<RefCell<Option<Failure>>>;

/// Verifies, and says what was found.
pub(super) fn run(args: &VerifyArgs, global: &Global, out: &Output) -> Result<(), Failure> {
    let Some(export) = &args.export else {
        return live::run(args, global, out);
    };
    let trust = Trust::new(&args.keys, args.origin.as_deref())?;
    let mut checkpoints = Checkpoints::default();
    for path in &args.anchors {
        checkpoints.take_anchors(path, &trust, out)?;
    }
    let export = Export::open(export)?;
    if let Some((file, note)) = export.checkpoint()? {
        checkpoints.take_of_export(&file, &note, &trust);
    }
    let trouble = Trouble::default();
    let claims = TileClaims::new(export.tiles(&trouble)?);
    let mut check = Verifier::new(claims, checkpoints.trusted());
    let mut pace = Pace::new(out);
    let mut flaws = Flaws::default();
    let bodiless = export.feed((&mut check, &mut pace), &mut flaws)?;
    let core = check.finish();
    export.check_tiles(&core.findings, &mut flaws)?;
    pace.end();
    if let Some(failure) = trouble.take() {
        return Err(failure);
    }
    let report = Report::new(&trust, checkpoints, (&bodiless, flaws), core, Way::Export);
    report.show(out)?;
    report.verdict()
}
