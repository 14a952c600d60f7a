//! `POST /org/tokens/found`: the one operation that needs no credential.

use claviger_wire::found::{FoundReport, FoundTokens};
use reqwest::Method;

use super::Client;
use crate::error::Failure;

impl Client {
    /// Says how found secrets stand, or ends them.
    pub(crate) async fn report_found(&self, body: &FoundReport) -> Result<FoundTokens, Failure> {
        self.send(Method::POST, &["org", "tokens", "found"], body)
            .await
    }
}
