//! Reading a stretch of a trail, run by run.

use claviger_core::id::OrgId;
use rusqlite::{Connection, params};

use super::{
    Outcome,
    row::{IdText, bytes, count},
};

/// Calls with the number of its first record and the lines of each run that holds a record from the
/// first to the last of these, in order. One run at a time is in memory.
pub(super) fn each_run(
    sql: &Connection,
    org: OrgId,
    (first, last): (u64, u64),
    mut each: impl FnMut(u64, &[u8]),
) -> Outcome<()> {
    let query = "select first_seq, lines from audit_runs
         where org = ?1 and first_seq <= ?3 and first_seq >= coalesce(
             (select max(first_seq) from audit_runs where org = ?1 and first_seq <= ?2), 0)
         order by first_seq";
    let mut statement = sql.prepare_cached(query)?;
    let bound = params![IdText::of(org), first.cast_signed(), last.cast_signed()];
    let mut runs = statement.query(bound)?;
    while let Some(run) = runs.next()? {
        each(count(run, 0)?, bytes(run, 1)?);
    }
    Ok(())
}
