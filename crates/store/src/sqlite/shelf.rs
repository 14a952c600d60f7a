//! Many keys at once.

use std::fmt::Display;

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    token::Prefix,
};
use rusqlite::params;

use super::{
    Sqlite,
    row::{self, IdText, count, parsed, time},
};
use crate::{DayUse, Result, ShelfStore, Span};

#[async_trait]
impl ShelfStore for Sqlite {
    async fn find_keys(&self, org: OrgId, keys: &[KeyId]) -> Result<Vec<OrgKey>> {
        let query = format!(
            "select {} from keys where org = ?1 and id in (select value from json_each(?2))
             order by id desc",
            row::KEY
        );
        let keys = texts(keys);
        self.read("find keys", move |sql| {
            row::all(sql, &query, params![IdText::of(org), keys], row::key)
        })
        .await
    }

    async fn keys_tagged(
        &self,
        org: OrgId,
        (name, value): (&str, Option<&str>),
        limit: u32,
    ) -> Result<Vec<KeyId>> {
        let query = "select id from keys where org = ?1
                 and exists (select 1 from json_each(metadata) as pair
                             where pair.key = ?2
                                 and pair.value = coalesce(?3, pair.value))
             order by id desc limit ?4";
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        self.read("find keys by their metadata", move |sql| {
            row::all(
                sql,
                query,
                params![IdText::of(org), name, value, limit],
                |row| parsed(row, 0),
            )
        })
        .await
    }

    async fn names_of_secrets(
        &self,
        org: OrgId,
        secrets: &[Prefix],
    ) -> Result<Vec<(Prefix, String)>> {
        let query = "select prefix, name from keys
             where org = ?1 and prefix in (select value from json_each(?2))
             union all select old.prefix, keys.name
             from old_secrets as old join keys on keys.id = old.key_id
             where keys.org = ?1 and old.prefix in (select value from json_each(?2))";
        let secrets = texts(secrets);
        self.read("find the names of keys", move |sql| {
            row::all(sql, query, params![IdText::of(org), secrets], |row| {
                Ok((parsed(row, 0)?, row.get(1)?))
            })
        })
        .await
    }

    async fn usage_by_day(&self, org: OrgId, keys: &[KeyId], span: Span) -> Result<Vec<DayUse>> {
        let query = "select key_id, hour - hour % 86400000 as day, sum(calls), sum(refusals)
             from key_usage
             where key_id in (select id from keys where org = ?1
                     and id in (select value from json_each(?2)))
                 and hour >= ?3 and hour < ?4
             group by key_id, day order by key_id, day";
        let (keys, (since, until)) = (texts(keys), span.bounds());
        self.read("read what keys did by day", move |sql| {
            let bound = params![IdText::of(org), keys, since, until];
            row::all(sql, query, bound, |row| {
                Ok(DayUse {
                    key: parsed(row, 0)?,
                    day: time(row, 1)?,
                    calls: count(row, 2)?,
                    refusals: count(row, 3)?,
                })
            })
        })
        .await
    }
}

/// A list as one JSON text, for `json_each`. Neither ids nor prefixes hold what JSON would escape.
fn texts(list: &[impl Display]) -> String {
    let texts: Vec<String> = list.iter().map(|one| format!("\"{one}\"")).collect();
    format!("[{}]", texts.join(","))
}
