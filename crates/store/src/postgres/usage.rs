//! What keys were used for.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId, WorkspaceId},
    time::Timestamp,
};
use tokio_postgres::Row;

use super::{
    Postgres,
    fault::Outcome,
    row::{self, Columns},
    session::{Change, Params},
};
use crate::{
    ADDRESSES_PER_KEY_MAX, AddressUse, Descendant, KeyCalls, Result, RouteOfKey, RouteUse, Span,
    Step, StepUse, UsageBatch, UsageCell, UsageStore, hour_of,
};

/// Where most of these rows come from, for errors.
const TABLE: &str = "key_usage";

#[async_trait]
impl UsageStore for Postgres {
    async fn add_usage(&self, batch: Arc<UsageBatch>) -> Result<()> {
        self.write("keep what keys were used for", async {
            let change = self.sessions.begin().await?;
            change.batch("set local synchronous_commit = off").await?;
            add_cells(&change, &batch.cells).await?;
            add_addresses(&change, &batch.addresses).await?;
            change.commit().await
        })
        .await
    }

    async fn usage_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        span: Span,
        limit: u32,
    ) -> Result<Vec<RouteUse>> {
        let sql = "select method, route, workspace, sum(calls)::bigint as calls, \
                       sum(refusals)::bigint as refusals, max(hour) as hour \
                   from (select id from keys where org = $1 and id = any($2::text[]) offset 0) as asked \
                   cross join lateral (select * from key_usage \
                       where key_id = asked.id and hour >= $3 and hour < $4 offset 0) as used \
                   group by method, route, workspace \
                   order by sum(calls) desc, sum(refusals) desc, method, route, workspace limit $5";
        let (keys, (since, until)) = (ids(keys), span.bounds());
        let params: Params<'_> = &[&org.to_string(), &keys, &since, &until, &i64::from(limit)];
        let rows = self.list("read what keys were used for", sql, params).await;
        row::all(&rows?, route_use)
    }

    async fn usage_by(
        &self,
        org: OrgId,
        key: KeyId,
        span: Span,
        step: Step,
    ) -> Result<Vec<StepUse>> {
        let sql = "select hour - hour % $5 as begin, sum(calls)::bigint as calls, \
                       sum(refusals)::bigint as refusals, \
                       count(distinct nullif(workspace, '')) as workspaces, \
                       count(distinct method || ' ' || route) as endpoints \
                   from key_usage \
                   where key_id = (select id from keys where org = $1 and id = $2) \
                       and hour >= $3 and hour < $4 \
                   group by begin order by begin";
        let (since, until) = span.bounds();
        let (org, key) = (org.to_string(), key.to_string());
        let params: Params<'_> = &[&org, &key, &since, &until, &step.millis()];
        let rows = self.list("read when a key was used", sql, params).await;
        row::all(&rows?, |row| {
            let columns = Columns::of(TABLE, row);
            Ok(StepUse {
                from: columns.time("begin")?,
                calls: columns.count("calls")?,
                refusals: columns.count("refusals")?,
                workspaces: columns.count("workspaces")?,
                endpoints: columns.count("endpoints")?,
            })
        })
    }

    async fn addresses_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<AddressUse>> {
        let sql = "select address, min(first_at) as first_at, max(last_at) as last_at, \
                       sum(calls)::bigint as calls \
                   from (select id from keys where org = $1 and id = any($2::text[]) offset 0) as asked \
                   cross join lateral (select * from key_addresses \
                       where key_id = asked.id and last_at >= $3 offset 0) as used \
                   group by address order by max(last_at) desc, address limit $4";
        let (keys, since) = (ids(keys), since.millis());
        let params: Params<'_> = &[&org.to_string(), &keys, &since, &i64::from(limit)];
        let rows = self.list("read from where keys were used", sql, params);
        row::all(&rows.await?, |row| {
            let columns = Columns::of("key_addresses", row);
            Ok(AddressUse {
                address: columns.parse("address")?,
                first_at: columns.time("first_at")?,
                last_at: columns.time("last_at")?,
                calls: columns.count("calls")?,
            })
        })
    }

    async fn calls_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<Vec<KeyCalls>> {
        let sql = "select key_id, sum(calls)::bigint as calls, sum(refusals)::bigint as refusals \
                   from (select id from keys where org = $1 and id = any($2::text[]) offset 0) as asked \
                   cross join lateral (select * from key_usage \
                       where key_id = asked.id and hour >= $3 offset 0) as used \
                   group by key_id order by key_id";
        let (keys, since) = (ids(keys), hour_of(since).millis());
        let params: Params<'_> = &[&org.to_string(), &keys, &since];
        let rows = self.list("read how often keys were used", sql, params);
        row::all(&rows.await?, |row| {
            let columns = Columns::of(TABLE, row);
            Ok(KeyCalls {
                key: columns.parse("key_id")?,
                calls: columns.count("calls")?,
                refusals: columns.count("refusals")?,
            })
        })
    }

    async fn routes_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<Vec<RouteOfKey>> {
        let sql = "select key_id, method, route, sum(calls)::bigint as calls from (select id from keys where org = $1 and id = any($2::text[]) offset 0) as asked \
                   cross join lateral (select * from key_usage \
                       where key_id = asked.id and hour >= $3 and calls > 0 offset 0) as used \
                   group by key_id, method, route order by key_id, method, route";
        let (keys, since) = (ids(keys), hour_of(since).millis());
        let params: Params<'_> = &[&org.to_string(), &keys, &since];
        let rows = self.list("read which routes keys used", sql, params).await;
        row::all(&rows?, |row| {
            let columns = Columns::of(TABLE, row);
            Ok(RouteOfKey {
                key: columns.parse("key_id")?,
                method: columns.get("method")?,
                route: columns.get("route")?,
                calls: columns.count("calls")?,
            })
        })
    }

    async fn descendants_of_key(
        &self,
        org: OrgId,
        key: KeyId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Descendant>> {
        let sql = "with recursive family (id) as ( \
                       select id from keys where org = $1 and id = $2 \
                       union \
                       select below.id from family cross join lateral ( \
                           select id from keys where parent = family.id and revoked_at is null \
                           and (expires_at is null or expires_at > $3) offset 0) as below \
                   ) \
                   select keys.id, \
                       jsonb_typeof(keys.grant_json::jsonb -> 'workspaces') = 'object' as by_labels \
                   from family join keys on keys.id = family.id where keys.id <> $2 limit $4";
        let limit = i64::from(limit);
        let params: Params<'_> = &[&org.to_string(), &key.to_string(), &now.millis(), &limit];
        let rows = self.list("read the descendants of a key", sql, params);
        row::all(&rows.await?, |row| {
            let columns = Columns::of("keys", row);
            Ok(Descendant {
                id: columns.parse("id")?,
                selects_by_labels: columns.get("by_labels")?,
            })
        })
    }

    async fn parents_among(
        &self,
        org: OrgId,
        keys: &[KeyId],
        now: Timestamp,
    ) -> Result<Vec<KeyId>> {
        let sql = "select id from keys where org = $1 and id = any($2::text[]) \
                       and exists (select 1 from keys as child where child.parent = keys.id \
                           and child.revoked_at is null \
                           and (child.expires_at is null or child.expires_at > $3)) \
                   order by id";
        let (keys, now) = (ids(keys), now.millis());
        let params: Params<'_> = &[&org.to_string(), &keys, &now];
        let rows = self.list("read which keys minted others", sql, params);
        row::all(&rows.await?, |row| Columns::of("keys", row).parse("id"))
    }

    async fn usage_begins(&self) -> Result<Option<Timestamp>> {
        let sql = "select min(hour) as hour from key_usage";
        let rows = self.list("read since when uses are counted", sql, &[]);
        let rows = rows.await?;
        let first = rows.first();
        let hour = first.map(|row| Columns::of(TABLE, row).maybe_time("hour"));
        Ok(hour.transpose()?.flatten())
    }

    async fn purge_usage(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let cells = "delete from key_usage where ctid = any(array( \
                         select ctid from key_usage where hour < $1 order by hour limit $2))";
        let addresses = "delete from key_addresses where ctid = any(array( \
                             select ctid from key_addresses where last_at < $1 \
                             order by last_at limit $2))";
        self.write("forget old counts", async {
            let change = self.sessions.begin().await?;
            let params: Params<'_> = &[&before.millis(), &i64::from(limit)];
            let gone =
                change.execute(cells, params).await? + change.execute(addresses, params).await?;
            change.commit().await?;
            Ok(gone)
        })
        .await
    }
}

impl Postgres {
    async fn list(
        &self,
        doing: &'static str,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        self.read(doing, async {
            let session = self.sessions.session().await?;
            session.rows(sql, params).await
        })
        .await
    }
}

/// Ids as they are bound.
fn ids(keys: &[KeyId]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

/// A count as the database keeps it.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn add_cells(change: &Change, cells: &[UsageCell]) -> Outcome<()> {
    if cells.is_empty() {
        return Ok(());
    }
    // Added up first: one statement may meet a row once.
    let sql = "insert into key_usage (key_id, hour, method, route, workspace, calls, refusals) \
               select key_id, hour, method, route, workspace, sum(calls)::bigint, sum(refusals)::bigint \
               from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], \
                   $6::bigint[], $7::bigint[]) \
                   as cell (key_id, hour, method, route, workspace, calls, refusals) \
               group by key_id, hour, method, route, workspace \
               on conflict (key_id, hour, method, route, workspace) do update \
               set calls = key_usage.calls + excluded.calls, \
                   refusals = key_usage.refusals + excluded.refusals";
    let keys: Vec<String> = cells.iter().map(|cell| cell.key.to_string()).collect();
    let hours: Vec<i64> = cells.iter().map(|c| hour_of(c.hour).millis()).collect();
    let methods: Vec<&str> = cells.iter().map(|cell| cell.method).collect();
    let routes: Vec<&str> = cells.iter().map(|cell| cell.route).collect();
    let workspace = |cell: &UsageCell| cell.workspace.map(|id| id.to_string());
    let workspaces: Vec<String> = cells
        .iter()
        .map(|cell| workspace(cell).unwrap_or_default())
        .collect();
    let calls: Vec<i64> = cells.iter().map(|cell| whole(cell.calls)).collect();
    let refusals: Vec<i64> = cells.iter().map(|cell| whole(cell.refusals)).collect();
    let params: Params<'_> = &[
        &keys,
        &hours,
        &methods,
        &routes,
        &workspaces,
        &calls,
        &refusals,
    ];
    change.execute(sql, params).await?;
    Ok(())
}

/// Adds to addresses, and lets those go that were seen longest ago where there are too many.
async fn add_addresses(change: &Change, seen: &[(KeyId, AddressUse)]) -> Outcome<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let sql = "insert into key_addresses (key_id, address, first_at, last_at, calls) \
               select key_id, address, min(first_at), max(last_at), sum(calls)::bigint \
               from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) \
                   as seen (key_id, address, first_at, last_at, calls) \
               group by key_id, address \
               on conflict (key_id, address) do update \
               set first_at = least(key_addresses.first_at, excluded.first_at), \
                   last_at = greatest(key_addresses.last_at, excluded.last_at), \
                   calls = key_addresses.calls + excluded.calls";
    let keys: Vec<String> = seen.iter().map(|(key, _)| key.to_string()).collect();
    let addresses: Vec<String> = seen.iter().map(|(_, s)| s.address.to_string()).collect();
    let first: Vec<i64> = seen.iter().map(|(_, s)| s.first_at.millis()).collect();
    let last: Vec<i64> = seen.iter().map(|(_, s)| s.last_at.millis()).collect();
    let calls: Vec<i64> = seen.iter().map(|(_, s)| whole(s.calls)).collect();
    let params: Params<'_> = &[&keys, &addresses, &first, &last, &calls];
    change.execute(sql, params).await?;
    let trim = "delete from key_addresses using ( \
                    select key_id, address, row_number() over ( \
                        partition by key_id order by last_at desc, address) as place \
                    from key_addresses where key_id in ( \
                        select key_id from key_addresses where key_id = any($1::text[]) \
                        group by key_id having count(*) > $2) \
                ) as ranked \
                where ranked.place > $2 and key_addresses.key_id = ranked.key_id \
                    and key_addresses.address = ranked.address";
    let most = i64::from(ADDRESSES_PER_KEY_MAX);
    change.execute(trim, &[&keys, &most]).await?;
    Ok(())
}

fn route_use(row: &Row) -> Result<RouteUse> {
    let columns = Columns::of(TABLE, row);
    let workspace: Option<WorkspaceId> = match columns.get("workspace")? {
        "" => None,
        _ => Some(columns.parse("workspace")?),
    };
    Ok(RouteUse {
        method: columns.get("method")?,
        route: columns.get("route")?,
        workspace,
        calls: columns.count("calls")?,
        refusals: columns.count("refusals")?,
        last_hour: columns.time("hour")?,
    })
}
