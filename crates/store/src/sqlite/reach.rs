//! What lies in workspaces.

use async_trait::async_trait;
use claviger_core::id::{OrgId, WorkspaceId};
use rusqlite::{Row, params};

use super::{
    Outcome, Sqlite,
    row::{self, IdText, count, parsed, text, time},
};
use crate::{ContentCount, ContentName, Contents, ReachStore, Result};

#[async_trait]
impl ReachStore for Sqlite {
    async fn count_contents(
        &self,
        org: OrgId,
        workspaces: &[WorkspaceId],
    ) -> Result<Vec<ContentCount>> {
        let query = "select id, (select count(*) from channels where workspace = workspaces.id),
                 (select count(*) from secrets where workspace = workspaces.id)
             from workspaces where org = ?1 and id in (select value from json_each(?2))
             order by id";
        let ids = ids(workspaces);
        self.read("count what lies in workspaces", move |sql| {
            row::all(sql, query, params![IdText::of(org), ids], |row| {
                Ok(ContentCount {
                    workspace: parsed(row, 0)?,
                    channels: count(row, 1)?,
                    secrets: count(row, 2)?,
                })
            })
        })
        .await
    }

    async fn name_contents(
        &self,
        org: OrgId,
        workspaces: &[WorkspaceId],
        limit: u32,
    ) -> Result<Contents> {
        let channels = "select workspace, name, updated_at from channels
             where workspace in (select id from workspaces where org = ?1
                     and id in (select value from json_each(?2)))
             order by workspace, id limit ?3";
        let secrets = "select workspace, name, updated_at from secrets
             where workspace in (select id from workspaces where org = ?1
                     and id in (select value from json_each(?2)))
             order by workspace, name limit ?3";
        let ids = ids(workspaces);
        self.read("name what lies in workspaces", move |sql| {
            let bound = params![IdText::of(org), ids, limit];
            Ok(Contents {
                channels: row::all(sql, channels, bound, content)?,
                secrets: row::all(sql, secrets, bound, content)?,
            })
        })
        .await
    }
}

/// A list of ids as one JSON text, for `json_each`.
fn ids(workspaces: &[WorkspaceId]) -> String {
    let texts: Vec<String> = workspaces.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", texts.join(","))
}

fn content(row: &Row<'_>) -> Outcome<ContentName> {
    Ok(ContentName {
        workspace: parsed(row, 0)?,
        name: text(row, 1)?.to_owned(),
        updated_at: time(row, 2)?,
    })
}
