//! The numbers of the trails, taken inside the transaction of a change.

use claviger_core::ledger::entry::Entry;

use super::{Outcome, row::corrupt, session::Change};

/// Appends one record, in a transaction that has looked at the fence.
const INSERT: &str = "
    with head as (update ledgers set size = size + 1 where org = $1 returning size)
    insert into audit_events (org, seq, at, actor, key_id, workspace, method, status, body)
    select $1, head.size, $2, $3, $4, $5, $6, $7, $8 from head";

/// Writes the record of a change into its transaction. Do it last: it makes the org's trail wait.
pub(super) async fn insert(change: &Change, entry: &Entry) -> Outcome<()> {
    let count = change
        .execute(
            INSERT,
            &[
                &entry.org.to_string(),
                &entry.at.millis(),
                &entry.actor,
                &entry.key.map(|id| id.to_string()),
                &entry.workspace.map(|id| id.to_string()),
                &entry.method,
                &i64::from(entry.status),
                &entry.bytes,
            ],
        )
        .await?;
    match count {
        1 => Ok(()),
        _ => Err(corrupt("the table `ledgers`", "the org of a record is missing").into()),
    }
}
