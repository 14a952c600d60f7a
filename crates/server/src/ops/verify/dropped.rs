//! What has to hold where bodies were dropped: the row says what a record says, and nothing that was derived of
//! them is left.

use claviger_core::ledger::{
    columns::Difference,
    index::{CHAPTER_BLOCKS, before_block, block_of, chapter_of},
    verify::{Decided, Report},
};

use super::walk::{Context, Stop};

/// The last decision to drop bodies. What it says, the row of the trail has to say too.
pub(super) fn decided(
    context: &Context<'_>,
    report: &Report,
    row: u64,
) -> Result<Option<Decided>, Stop> {
    let last = report.decided.iter().max_by_key(|one| one.decision.last);
    if let Some(one) = last.filter(|one| one.decision.last > row) {
        let what = format!(
            "it says that the records up to {row} were dropped, and record {} those up to {}",
            one.seq, one.decision.last
        );
        let difference = Difference::new("audit_dropped.last_seq", row + 1, what);
        context.found(difference.into())?;
    }
    Ok(last.cloned())
}

/// Rows of the index of records whose bodies were dropped, up to this one.
pub(super) fn relics(context: &Context<'_>, dropped: u64) -> Result<(), Stop> {
    let (store, org) = (&context.app.store, context.org);
    let first = block_of(dropped + 1);
    let block = context.ask(store.next_block(org, 0))?;
    let chapter = context.ask(store.next_chapter(org, 0))?;
    let block = block.filter(|block| *block < first);
    let chapter = chapter.filter(|chapter| *chapter < chapter_of(first));
    let begins = chapter.map(|chapter| chapter * CHAPTER_BLOCKS);
    for (column, block) in [
        ("audit_index.block", block),
        ("audit_chapters.chapter", begins),
    ] {
        if let Some(block) = block {
            let what = "the index has something of records that were dropped".to_owned();
            let seq = before_block(block).saturating_add(1);
            context.found(Difference::new(column, seq, what).into())?;
        }
    }
    Ok(())
}
