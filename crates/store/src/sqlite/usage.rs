//! What keys were used for.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId, WorkspaceId},
    time::Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, Sqlite, row,
    row::{IdText, count, number, parsed, text, time},
    writer::{Order, Tx},
};
use crate::{
    ADDRESSES_PER_KEY_MAX, AddressUse, Descendant, KeyCalls, Result, RouteOfKey, RouteUse, Span,
    Step, StepUse, UsageBatch, UsageCell, UsageStore, hour_of,
};

#[async_trait]
impl UsageStore for Sqlite {
    async fn add_usage(&self, batch: Arc<UsageBatch>) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| {
            for cell in &batch.cells {
                add_cell(tx.sql, cell)?;
            }
            let mut grown = BTreeSet::new();
            for (key, seen) in &batch.addresses {
                if add_address(tx.sql, *key, seen)? {
                    grown.insert(*key);
                }
            }
            grown.into_iter().try_for_each(|key| trim(tx.sql, key))
        };
        self.writer
            .change(Order::quick("keep what keys were used for"), work)
            .await
    }

    async fn usage_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        span: Span,
        limit: u32,
    ) -> Result<Vec<RouteUse>> {
        let query = "select method, route, workspace, sum(calls), sum(refusals), max(hour)
             from key_usage
             where key_id in (select id from keys where org = ?1
                     and id in (select value from json_each(?2)))
                 and hour >= ?3 and hour < ?4
             group by method, route, workspace
             order by sum(calls) desc, sum(refusals) desc, method, route, workspace limit ?5";
        let (keys, (since, until)) = (ids(keys), span.bounds());
        self.read("read what keys were used for", move |sql| {
            let bound = params![IdText::of(org), keys, since, until, limit];
            row::all(sql, query, bound, route_use)
        })
        .await
    }

    async fn usage_by(
        &self,
        org: OrgId,
        key: KeyId,
        span: Span,
        step: Step,
    ) -> Result<Vec<StepUse>> {
        let query = "select hour - hour % ?5 as begin, sum(calls), sum(refusals),
                 count(distinct nullif(workspace, '')), count(distinct method || ' ' || route)
             from key_usage
             where key_id = (select id from keys where org = ?1 and id = ?2)
                 and hour >= ?3 and hour < ?4
             group by begin order by begin";
        let (since, until) = span.bounds();
        self.read("read when a key was used", move |sql| {
            let bound = params![
                IdText::of(org),
                IdText::of(key),
                since,
                until,
                step.millis()
            ];
            row::all(sql, query, bound, |row| {
                Ok(StepUse {
                    from: time(row, 0)?,
                    calls: count(row, 1)?,
                    refusals: count(row, 2)?,
                    workspaces: count(row, 3)?,
                    endpoints: count(row, 4)?,
                })
            })
        })
        .await
    }

    async fn addresses_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<AddressUse>> {
        let query = "select address, min(first_at), max(last_at), sum(calls) from key_addresses
             where key_id in (select id from keys where org = ?1
                     and id in (select value from json_each(?2)))
                 and last_at >= ?3
             group by address order by max(last_at) desc, address limit ?4";
        let keys = ids(keys);
        self.read("read from where keys were used", move |sql| {
            let bound = params![IdText::of(org), keys, since.millis(), limit];
            row::all(sql, query, bound, |row| {
                Ok(AddressUse {
                    address: parsed(row, 0)?,
                    first_at: time(row, 1)?,
                    last_at: time(row, 2)?,
                    calls: count(row, 3)?,
                })
            })
        })
        .await
    }

    async fn calls_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<Vec<KeyCalls>> {
        let query = "select key_id, sum(calls), sum(refusals) from key_usage
             where key_id in (select id from keys where org = ?1
                     and id in (select value from json_each(?2)))
                 and hour >= ?3
             group by key_id order by key_id";
        let (keys, since) = (ids(keys), hour_of(since).millis());
        self.read("read how often keys were used", move |sql| {
            row::all(sql, query, params![IdText::of(org), keys, since], |row| {
                Ok(KeyCalls {
                    key: parsed(row, 0)?,
                    calls: count(row, 1)?,
                    refusals: count(row, 2)?,
                })
            })
        })
        .await
    }

    async fn routes_of_keys(
        &self,
        org: OrgId,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<Vec<RouteOfKey>> {
        let query = "select key_id, method, route, sum(calls) from key_usage
             where key_id in (select id from keys where org = ?1
                     and id in (select value from json_each(?2)))
                 and hour >= ?3 and calls > 0
             group by key_id, method, route order by key_id, method, route";
        let (keys, since) = (ids(keys), hour_of(since).millis());
        self.read("read which routes keys used", move |sql| {
            row::all(sql, query, params![IdText::of(org), keys, since], |row| {
                Ok(RouteOfKey {
                    key: parsed(row, 0)?,
                    method: text(row, 1)?.to_owned(),
                    route: text(row, 2)?.to_owned(),
                    calls: count(row, 3)?,
                })
            })
        })
        .await
    }

    async fn descendants_of_key(
        &self,
        org: OrgId,
        key: KeyId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Descendant>> {
        let query = "with recursive family (id) as (
                 select id from keys where org = ?1 and id = ?2
                 union
                 select keys.id from keys join family on keys.parent = family.id
                 where keys.revoked_at is null
                     and (keys.expires_at is null or keys.expires_at > ?3)
             )
             select keys.id, json_type(keys.grant_json, '$.workspaces') = 'object'
             from family join keys on keys.id = family.id where keys.id <> ?2 limit ?4";
        self.read("read the descendants of a key", move |sql| {
            let bound = params![IdText::of(org), IdText::of(key), now.millis(), limit];
            row::all(sql, query, bound, |row| {
                Ok(Descendant {
                    id: parsed(row, 0)?,
                    selects_by_labels: number(row, 1)? != 0,
                })
            })
        })
        .await
    }

    async fn parents_among(
        &self,
        org: OrgId,
        keys: &[KeyId],
        now: Timestamp,
    ) -> Result<Vec<KeyId>> {
        let query = "select id from keys where org = ?1
                 and id in (select value from json_each(?2))
                 and exists (select 1 from keys as child where child.parent = keys.id
                     and child.revoked_at is null
                     and (child.expires_at is null or child.expires_at > ?3))
             order by id";
        let keys = ids(keys);
        self.read("read which keys minted others", move |sql| {
            let bound = params![IdText::of(org), keys, now.millis()];
            row::all(sql, query, bound, |row| parsed(row, 0))
        })
        .await
    }

    async fn usage_begins(&self) -> Result<Option<Timestamp>> {
        let query = "select min(hour) from key_usage";
        let work =
            move |sql: &Connection| row::first(sql, query, [], |row| row::maybe_time(row, 0));
        let found = self.read("read since when uses are counted", work).await?;
        Ok(found.flatten())
    }

    async fn purge_usage(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let work = move |tx: &mut Tx<'_>| {
            let bound = params![before.millis(), limit];
            let cells = "delete from key_usage where (key_id, hour, method, route, workspace) in
                 (select key_id, hour, method, route, workspace from key_usage
                  where hour < ?1 order by hour limit ?2)";
            let addresses = "delete from key_addresses where (key_id, address) in
                 (select key_id, address from key_addresses
                  where last_at < ?1 order by last_at limit ?2)";
            let gone = row::run(tx.sql, cells, bound)? + row::run(tx.sql, addresses, bound)?;
            Ok(u64::try_from(gone).unwrap_or(u64::MAX))
        };
        self.writer
            .change(Order::quick("forget old counts"), work)
            .await
    }
}

/// A list of ids as one JSON text, for `json_each`.
fn ids(keys: &[KeyId]) -> String {
    let texts: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    format!("[{}]", texts.join(","))
}

/// A count as the database keeps it.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn add_cell(sql: &Connection, cell: &UsageCell) -> Outcome<()> {
    let statement =
        "insert into key_usage (key_id, hour, method, route, workspace, calls, refusals)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (key_id, hour, method, route, workspace) do update
         set calls = calls + excluded.calls, refusals = refusals + excluded.refusals";
    let workspace = cell.workspace.map(|id| id.to_string()).unwrap_or_default();
    let bound = params![
        IdText::of(cell.key),
        hour_of(cell.hour).millis(),
        cell.method,
        cell.route,
        workspace,
        whole(cell.calls),
        whole(cell.refusals),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Adds to an address. Gives whether it is new.
fn add_address(sql: &Connection, key: KeyId, seen: &AddressUse) -> Outcome<bool> {
    let (key, address) = (IdText::of(key), seen.address.to_string());
    let (first, last) = (seen.first_at.millis(), seen.last_at.millis());
    let bound = params![key, address, first, last, whole(seen.calls)];
    let known = "update key_addresses set first_at = min(first_at, ?3),
             last_at = max(last_at, ?4), calls = calls + ?5
         where key_id = ?1 and address = ?2";
    if row::run(sql, known, bound)? > 0 {
        return Ok(false);
    }
    let new = "insert into key_addresses (key_id, address, first_at, last_at, calls)
         values (?1, ?2, ?3, ?4, ?5)";
    row::run(sql, new, bound)?;
    Ok(true)
}

/// Lets the addresses go that were seen longest ago, where there are too many.
fn trim(sql: &Connection, key: KeyId) -> Outcome<()> {
    let statement = "delete from key_addresses where key_id = ?1 and address in
         (select address from key_addresses where key_id = ?1
          order by last_at desc, address limit -1 offset ?2)";
    row::run(
        sql,
        statement,
        params![IdText::of(key), ADDRESSES_PER_KEY_MAX],
    )?;
    Ok(())
}

fn route_use(row: &Row<'_>) -> Outcome<RouteUse> {
    let workspace: Option<WorkspaceId> = match text(row, 2)? {
        "" => None,
        _ => Some(parsed(row, 2)?),
    };
    Ok(RouteUse {
        method: text(row, 0)?.to_owned(),
        route: text(row, 1)?.to_owned(),
        workspace,
        calls: count(row, 3)?,
        refusals: count(row, 4)?,
        last_hour: time(row, 5)?,
    })
}
