//! What keys have done before.

use async_trait::async_trait;
use claviger_core::id::KeyId;
use rusqlite::params;

use super::{
    Sqlite,
    row::{self, IdText, parsed, text},
    writer::{Order, Tx},
};
use crate::{Result, SignalStore};

#[async_trait]
impl SignalStore for Sqlite {
    async fn habits_of_keys(&self, keys: &[KeyId]) -> Result<Vec<(KeyId, String)>> {
        let query = "select key_id, habits from key_habits
             where key_id in (select value from json_each(?1)) order by key_id";
        let texts: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        let keys = format!("[{}]", texts.join(","));
        self.read("read what keys have done before", move |sql| {
            row::all(sql, query, params![keys], |row| {
                Ok((parsed(row, 0)?, text(row, 1)?.to_owned()))
            })
        })
        .await
    }

    async fn keep_habits(&self, habits: Vec<(KeyId, String)>) -> Result<()> {
        let statement = "insert into key_habits (key_id, habits) values (?1, ?2)
             on conflict (key_id) do update set habits = excluded.habits";
        let work = move |tx: &mut Tx<'_>| {
            for (key, habits) in &habits {
                row::run(tx.sql, statement, params![IdText::of(*key), habits])?;
            }
            Ok(())
        };
        self.writer
            .change(Order::quick("keep what keys have done"), work)
            .await
    }
}
