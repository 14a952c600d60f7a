//! What keys have done before.

use async_trait::async_trait;
use claviger_core::id::KeyId;

use super::{
    Postgres,
    row::{self, Columns},
    session::Params,
};
use crate::{Result, SignalStore};

#[async_trait]
impl SignalStore for Postgres {
    async fn habits_of_keys(&self, keys: &[KeyId]) -> Result<Vec<(KeyId, String)>> {
        let sql = "select key_id, habits from key_habits \
                   where key_id = any($1::text[]) order by key_id";
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        self.read("read what keys have done before", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&keys];
            let rows = session.rows(sql, params).await?;
            let kept = row::all(&rows, |row| {
                let columns = Columns::of("key_habits", row);
                Ok((columns.parse("key_id")?, columns.get("habits")?))
            });
            Ok(kept?)
        })
        .await
    }

    async fn keep_habits(&self, habits: Vec<(KeyId, String)>) -> Result<()> {
        let sql = "insert into key_habits (key_id, habits) \
                   select key_id, habits from unnest($1::text[], $2::text[]) as kept (key_id, habits) \
                   on conflict (key_id) do update set habits = excluded.habits";
        let keys: Vec<String> = habits.iter().map(|(key, _)| key.to_string()).collect();
        let texts: Vec<&str> = habits.iter().map(|(_, text)| text.as_str()).collect();
        self.write("keep what keys have done", async {
            let change = self.sessions.begin().await?;
            change.batch("set local synchronous_commit = off").await?;
            let params: Params<'_> = &[&keys, &texts];
            change.execute(sql, params).await?;
            change.commit().await
        })
        .await
    }
}
