//! The numbers of the trails, taken inside the transaction of a change.

use claviger_core::ledger::{batch::Batch, entry::Entry};

use super::{
    Outcome,
    row::corrupt,
    session::{Change, Params},
};

/// Appends a run of records, in a transaction that has looked at the fence.
const INSERT: &str = "
    with head as (update ledgers set size = size + $2 where org = $1 returning size)
    insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
    select $1, head.size - $2 + 1, head.size, $3, $4, $5 from head";

/// Writes the records of a change into its transaction. Do it last: it makes the org's trail wait.
pub(super) async fn insert(change: &Change, entries: Vec<Entry>) -> Outcome<()> {
    let batch = Batch::from_iter(entries);
    for run in batch.runs() {
        let (org, records) = (
            run.org.to_string(),
            i64::try_from(run.count).unwrap_or(i64::MAX),
        );
        let (from, until) = (run.at_min.millis(), run.at_max.millis());
        let values: Params<'_> = &[&org, &records, &from, &until, &run.lines];
        let count = change.execute(INSERT, values).await?;
        if count != 1 {
            let reason = "the org of a record is missing";
            return Err(corrupt("the table `ledgers`", reason).into());
        }
    }
    Ok(())
}
