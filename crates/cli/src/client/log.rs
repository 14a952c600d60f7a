//! The audit trail as a log: its keys, and the files of C2SP tlog-tiles.

use std::time::Duration;

use claviger_core::ledger::{note::NOTE_BYTES_MAX, tree::tile::Resource};
use claviger_wire::ledger::LogKeys;
use reqwest::Method;

use super::{ANSWER_SECONDS_MAX, Client, Query};
use crate::error::Failure;

impl Client {
    /// `GET /org/audit/key`.
    pub(crate) async fn log_keys(&self) -> Result<LogKeys, Failure> {
        self.get(&["org", "audit", "key"], &Query::new()).await
    }

    /// `GET /org/audit/log/…`: a checkpoint or a tile of hashes.
    pub(crate) async fn log_file(&self, resource: Resource) -> Result<Vec<u8>, Failure> {
        self.log_bytes(resource, Query::new()).await
    }

    /// `GET /org/audit/log/checkpoint?cosigned=true`: the newest that witnesses have signed.
    pub(crate) async fn cosigned(&self) -> Result<Vec<u8>, Failure> {
        let query = vec![("cosigned", "true".to_owned())];
        self.log_bytes(Resource::Checkpoint, query).await
    }

    async fn log_bytes(&self, resource: Resource, query: Query) -> Result<Vec<u8>, Failure> {
        let name = resource.to_string();
        let mut path = vec!["org", "audit", "log"];
        path.extend(name.split('/'));
        let request = self.request(Method::GET, &path, &query);
        let request = request.timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        let mut response = self.answered(request).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.lost(&error))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > NOTE_BYTES_MAX {
                let reason = format!("{} answered too much for {name}", self.url());
                return Err(Failure::Local(reason));
            }
        }
        Ok(bytes)
    }
}
