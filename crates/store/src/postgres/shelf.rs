//! Many keys at once.

use std::fmt::Display;

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::OrgKey,
    token::Prefix,
};

use super::{
    Postgres,
    row::{self, Columns},
    session::Params,
};
use crate::{DayUse, Result, ShelfStore, Span};

#[async_trait]
impl ShelfStore for Postgres {
    async fn find_keys(&self, org: OrgId, keys: &[KeyId]) -> Result<Vec<OrgKey>> {
        let sql = "select * from keys where org = $1 and id = any($2::text[]) order by id desc";
        self.read("find keys", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &texts(keys)];
            Ok(row::all(&session.rows(sql, params).await?, row::key)?)
        })
        .await
    }

    async fn keys_tagged(
        &self,
        org: OrgId,
        (name, value): (&str, Option<&str>),
        limit: u32,
    ) -> Result<Vec<KeyId>> {
        let sql = "select id from keys where org = $1 \
                       and metadata::jsonb ->> $2 = coalesce($3, metadata::jsonb ->> $2) \
                   order by id desc limit $4";
        self.read("find keys by their metadata", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &name, &value, &i64::from(limit)];
            let rows = session.rows(sql, params).await?;
            Ok(row::all(&rows, |row| Columns::of("keys", row).parse("id"))?)
        })
        .await
    }

    async fn names_of_secrets(
        &self,
        org: OrgId,
        secrets: &[Prefix],
    ) -> Result<Vec<(Prefix, String)>> {
        let sql = "select prefix, name from keys \
                   where org = $1 and prefix = any($2::text[]) \
                   union all select old.prefix, keys.name \
                   from old_secrets as old join keys on keys.id = old.key_id \
                   where keys.org = $1 and old.prefix = any($2::text[])";
        self.read("find the names of keys", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &texts(secrets)];
            let rows = session.rows(sql, params).await?;
            let names = row::all(&rows, |row| {
                let columns = Columns::of("keys", row);
                Ok((columns.parse("prefix")?, columns.get("name")?))
            });
            Ok(names?)
        })
        .await
    }

    async fn usage_by_day(&self, org: OrgId, keys: &[KeyId], span: Span) -> Result<Vec<DayUse>> {
        let sql = "select key_id, hour - hour % 86400000 as day, \
                       sum(calls)::bigint as calls, sum(refusals)::bigint as refusals \
                   from (select id from keys where org = $1 and id = any($2::text[]) offset 0) as asked \
                   cross join lateral (select * from key_usage \
                       where key_id = asked.id and hour >= $3 and hour < $4 offset 0) as used \
                   group by key_id, day order by key_id, day";
        let (since, until) = span.bounds();
        self.read("read what keys did by day", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &texts(keys), &since, &until];
            let rows = session.rows(sql, params).await?;
            let days = row::all(&rows, |row| {
                let columns = Columns::of("key_usage", row);
                Ok(DayUse {
                    key: columns.parse("key_id")?,
                    day: columns.time("day")?,
                    calls: columns.count("calls")?,
                    refusals: columns.count("refusals")?,
                })
            });
            Ok(days?)
        })
        .await
    }
}

/// A list as it is bound.
fn texts(list: &[impl Display]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
