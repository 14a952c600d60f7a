//! Answers that are read piece by piece, as they arrive.

use reqwest::{Method, Response};

use super::{Client, Query};
use crate::error::Failure;

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Incoming(Response);

impl Incoming {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self, client: &Client) -> Result<Option<Vec<u8>>, Failure> {
        let piece = self.0.chunk().await.map_err(|error| client.lost(&error))?;
        Ok(piece.map(Vec::from))
    }
}

impl Client {
    /// `GET /org/audit/export`, the whole trail.
    pub(crate) async fn open_export(&self) -> Result<Incoming, Failure> {
        self.open(&["org", "audit", "export"]).await
    }

    /// `GET /org/audit/verify`.
    pub(crate) async fn verify(&self) -> Result<Incoming, Failure> {
        self.open(&["org", "audit", "verify"]).await
    }

    async fn open(&self, path: &[&str]) -> Result<Incoming, Failure> {
        let request = self.request(Method::GET, path, &Query::new());
        self.answered(request).await.map(Incoming)
    }
}
