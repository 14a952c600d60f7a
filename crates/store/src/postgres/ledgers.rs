//! The numbers of the trails, taken inside the transaction of a change.

use claviger_core::ledger::{batch::Batch, entry::Entry};

use super::{Outcome, row::corrupt, session::Change};

/// Appends one record, in a transaction that has looked at the fence.
const INSERT: &str = "
    with head as (update ledgers set size = size + 1 where org = $1 returning size)
    insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
    select $1, head.size, head.size, $2, $2, $3 from head";

/// Writes the record of a change into its transaction. Do it last: it makes the org's trail wait.
pub(super) async fn insert(change: &Change, entry: &Entry) -> Outcome<()> {
    let mut batch = Batch::default();
    batch.push(entry);
    for run in batch.runs() {
        let (org, at) = (run.org.to_string(), run.at_min.millis());
        let count = change.execute(INSERT, &[&org, &at, &run.lines]).await?;
        if count != 1 {
            let reason = "the org of a record is missing";
            return Err(corrupt("the table `ledgers`", reason).into());
        }
    }
    Ok(())
}
