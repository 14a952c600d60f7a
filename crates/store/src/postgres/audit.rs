//! The audit trail.

use std::{collections::HashMap, fmt::Write as _};

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId, WorkspaceId},
    ledger::entry::Entry,
    time::Timestamp,
};

use super::{
    Postgres,
    fault::{Fault, Outcome},
    row::{self, Columns},
    session::Params,
};
use crate::{AuditFilter, AuditRow, AuditStore, Page, Result};

/// Appends records of any number of orgs: one statement, one round trip, one commit. Either every
/// org is known and this process still serves, or nothing is written.
const APPEND: &str = "
    with head as (
        update ledgers set size = ledgers.size + asked.size
        from unnest($1::text[], $2::bigint[]) with ordinality as asked (org, size, slot)
        where ledgers.org = asked.org
            and (select generation from deployment where one = 1) = $3
            and (select count(*) from ledgers as known where known.org = any($1)) = cardinality($1)
        returning ledgers.org, ledgers.size - asked.size as base, asked.slot
    )
    insert into audit_events (org, seq, at, actor, key_id, workspace, method, status, body)
    select head.org, head.base + t.nth, t.at, t.actor, t.key_id, t.workspace, t.method, t.status, t.body
    from unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::bigint[], $12::bytea[])
        as t (slot, nth, at, actor, key_id, workspace, method, status, body)
    join head on head.slot = t.slot";

/// Which records a query wants, after its org, its cursor and its limit.
macro_rules! is_wanted {
    () => {
        " and ($4::text is null or actor = $4) and ($5::text is null or key_id = $5) \
         and ($6::text is null or workspace = $6) and ($7::text is null or method = $7) \
         and ($8::bigint is null or status >= $8) and ($9::bigint is null or status <= $9) \
         and ($10::bigint is null or at >= $10) and ($11::bigint is null or at < $11)"
    };
}

#[async_trait]
impl AuditStore for Postgres {
    async fn append(&self, entries: Vec<Entry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write("append audit records", async {
            let batch = Batch::of(&entries);
            let count = batch.append(self, &entries).await?;
            if usize::try_from(count) == Ok(entries.len()) {
                return Ok(());
            }
            Err(self.why_nothing_was_appended().await)
        })
        .await
    }

    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<Vec<AuditRow>> {
        let sql = concat!(
            "select seq, body from audit_events where org = $1 and seq < $2",
            is_wanted!(),
            " order by seq desc limit $3"
        );
        let before = page.after.map_or(i64::MAX, bounded);
        self.select(sql, org, &filter, (before, page.limit)).await
    }

    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<Vec<AuditRow>> {
        let sql = concat!(
            "select seq, body from audit_events where org = $1 and seq > $2",
            is_wanted!(),
            " order by seq limit $3"
        );
        let after = page.after.map_or(0, bounded);
        self.select(sql, org, &filter, (after, page.limit)).await
    }

    async fn audit_size(&self, org: OrgId) -> Result<u64> {
        self.read("read the size of the audit trail", async {
            let session = self.sessions.session().await?;
            let sql = "select size from ledgers where org = $1";
            match session.row(sql, &[&org.to_string()]).await? {
                Some(row) => Ok(Columns::of("ledgers", &row).count("size")?),
                None => Ok(0),
            }
        })
        .await
    }
}

impl Postgres {
    async fn select(
        &self,
        sql: &'static str,
        org: OrgId,
        filter: &AuditFilter,
        (cursor, limit): (i64, u32),
    ) -> Result<Vec<AuditRow>> {
        self.read("query the audit trail", async {
            let session = self.sessions.session().await?;
            let rows = session
                .rows(
                    sql,
                    &[
                        &org.to_string(),
                        &cursor,
                        &i64::from(limit),
                        &filter.actor,
                        &filter.key.map(|id| id.to_string()),
                        &filter.workspace.map(|id| id.to_string()),
                        &filter.method,
                        &filter.status.map(|(lowest, _)| i64::from(lowest)),
                        &filter.status.map(|(_, highest)| i64::from(highest)),
                        &filter.since.map(Timestamp::millis),
                        &filter.until.map(Timestamp::millis),
                    ],
                )
                .await?;
            Ok(row::all(&rows, row::audit)?)
        })
        .await
    }

    /// The fence, or an org that has no ledger.
    async fn why_nothing_was_appended(&self) -> Fault {
        let fence = async {
            let change = self.sessions.begin().await?;
            change.commit().await
        };
        match fence.await {
            Err(fault) => fault,
            Ok(()) => Fault::down("an org of the records has no audit trail"),
        }
    }
}

/// Records of one commit, as columns.
#[derive(Default)]
struct Batch<'a> {
    orgs: Vec<String>,
    sizes: Vec<i64>,
    slots: Vec<i64>,
    nths: Vec<i64>,
    times: Vec<i64>,
    actors: Vec<&'a str>,
    /// The ids of all rows, one after the other, so that they are one allocation.
    ids: String,
    methods: Vec<&'a str>,
    statuses: Vec<i64>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> Batch<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut batch = Self::default();
        let mut slots: HashMap<OrgId, usize> = HashMap::new();
        for entry in entries {
            let slot = *slots.entry(entry.org).or_insert_with(|| {
                batch.orgs.push(entry.org.to_string());
                batch.sizes.push(0);
                batch.sizes.len()
            });
            let nth = match batch.sizes.get_mut(slot.saturating_sub(1)) {
                Some(size) => {
                    *size += 1;
                    *size
                }
                None => 0,
            };
            batch.slots.push(i64::try_from(slot).unwrap_or(0));
            batch.nths.push(nth);
            batch.times.push(entry.at.millis());
            batch.actors.push(&entry.actor);
            batch.methods.push(&entry.method);
            batch.statuses.push(i64::from(entry.status));
            batch.bodies.push(&entry.bytes);
        }
        for entry in entries {
            batch.push_ids(entry.key, entry.workspace);
        }
        batch
    }

    /// Writing to a string cannot fail.
    fn push_ids(&mut self, key: Option<KeyId>, workspace: Option<WorkspaceId>) {
        if let Some(key) = key {
            write!(self.ids, "{key}").unwrap_or_default();
        }
        if let Some(workspace) = workspace {
            write!(self.ids, "{workspace}").unwrap_or_default();
        }
    }

    async fn append(&self, store: &Postgres, entries: &[Entry]) -> Outcome<u64> {
        let mut keys = Vec::with_capacity(entries.len());
        let mut workspaces = Vec::with_capacity(entries.len());
        let mut rest = self.ids.as_str();
        for entry in entries {
            keys.push(entry.key.and_then(|_| cut(&mut rest, KEY_BYTES)));
            workspaces.push(
                entry
                    .workspace
                    .and_then(|_| cut(&mut rest, WORKSPACE_BYTES)),
            );
        }
        let generation = store.sessions.fence().generation();
        let params: Params<'_> = &[
            &self.orgs,
            &self.sizes,
            &generation,
            &self.slots,
            &self.nths,
            &self.times,
            &self.actors,
            &keys,
            &workspaces,
            &self.methods,
            &self.statuses,
            &self.bodies,
        ];
        store.sessions.append(APPEND, params).await
    }
}

/// How long the ids are when they are written.
const KEY_BYTES: usize = "tok_".len() + ULID_BYTES;
const WORKSPACE_BYTES: usize = "ws_".len() + ULID_BYTES;
const ULID_BYTES: usize = 26;

fn cut<'a>(rest: &mut &'a str, bytes: usize) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(bytes)?;
    *rest = tail;
    Some(head)
}

fn bounded(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use claviger_core::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        ledger::entry::Entry,
        time::Timestamp,
    };

    use super::{Batch, KEY_BYTES, WORKSPACE_BYTES};

    #[test]
    fn ids_are_as_long_as_they_are_cut() {
        assert_eq!(KeyId::from_u128(u128::MAX).to_string().len(), KEY_BYTES);
        assert_eq!(WorkspaceId::from_u128(0).to_string().len(), WORKSPACE_BYTES);
    }

    #[test]
    fn records_are_numbered_within_their_org() {
        let entry = |org| Entry {
            id: EventId::from_u128(1),
            org: OrgId::from_u128(org),
            at: Timestamp::from_millis(1),
            actor: "bootstrap".to_owned(),
            key: None,
            workspace: None,
            method: "GET".to_owned(),
            status: 200,
            bytes: b"{}".to_vec(),
        };
        let entries = [entry(7), entry(3), entry(7)];
        let batch = Batch::of(&entries);
        assert_eq!(batch.slots, [1, 2, 1]);
        assert_eq!(batch.nths, [1, 1, 2]);
        assert_eq!(batch.sizes, [2, 1]);
    }
}
