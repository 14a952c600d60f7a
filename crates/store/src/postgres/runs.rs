//! Reading a stretch of a trail, run by run.

use claviger_core::id::OrgId;

use super::{
    fault::Outcome,
    row::Columns,
    session::{Params, Session},
};

/// How many bytes of lines are fetched in one round trip, beyond the first run.
const FETCH_BYTES: u64 = 1024 * 1024;

/// Calls with the number of its first record and the lines of each run that holds a record from the
/// first to the last of these, in order. Some runs at a time are in memory.
pub(super) async fn each_run(
    session: &Session,
    org: OrgId,
    (first, last): (u64, u64),
    mut each: impl FnMut(u64, &[u8]) + Send,
) -> Outcome<()> {
    let sql = "select first_seq, octet_length(lines)::bigint as size from audit_runs
         where org = $1 and first_seq <= $3 and first_seq >= coalesce(
             (select max(first_seq) from audit_runs where org = $1 and first_seq <= $2), 0)
         order by first_seq";
    let org = org.to_string();
    let params: Params<'_> = &[&org, &first.cast_signed(), &last.cast_signed()];
    let runs = session.rows(sql, params).await?;
    let (mut lot, mut bytes) = (Vec::new(), 0);
    for run in &runs {
        let columns = Columns::of("audit_runs", run);
        lot.push(columns.get::<i64>("first_seq")?);
        bytes += columns.count("size")?;
        if bytes >= FETCH_BYTES {
            read_lot(session, &org, &lot, &mut each).await?;
            (lot, bytes) = (Vec::new(), 0);
        }
    }
    read_lot(session, &org, &lot, &mut each).await
}

/// Calls with each of these runs.
async fn read_lot(
    session: &Session,
    org: &str,
    lot: &[i64],
    each: &mut (impl FnMut(u64, &[u8]) + Send),
) -> Outcome<()> {
    if lot.is_empty() {
        return Ok(());
    }
    let sql = "select first_seq, lines from audit_runs
         where org = $1 and first_seq = any($2) order by first_seq";
    for run in &session.rows(sql, &[&org, &lot]).await? {
        let columns = Columns::of("audit_runs", run);
        each(columns.count("first_seq")?, columns.get("lines")?);
    }
    Ok(())
}
