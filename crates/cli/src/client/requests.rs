//! The operations on requests for keys.

use claviger_wire::{
    keys::MintedKey,
    requests::{
        ApprovalRequest, DenialRequest, KeyAsk, KeyRequest, KeyRequestList, OwnRequestStep,
    },
};
use reqwest::Method;

use super::{Client, Query};
use crate::error::Failure;

const REQUESTS: [&str; 2] = ["org", "requests"];

impl Client {
    /// `POST /org/requests`.
    pub(crate) async fn ask_for_key(&self, body: &KeyAsk) -> Result<KeyRequest, Failure> {
        self.send(Method::POST, &REQUESTS, body).await
    }

    /// `GET /org/requests`, every page or `limit` requests.
    pub(crate) async fn list_requests(
        &self,
        query: Query,
        limit: Option<u32>,
    ) -> Result<KeyRequestList, Failure> {
        self.pages(&REQUESTS, query, limit).await
    }

    /// `GET /org/requests/{id}`.
    pub(crate) async fn get_request(&self, id: &str) -> Result<KeyRequest, Failure> {
        self.get(&["org", "requests", id], &Query::new()).await
    }

    /// `POST /org/requests/{id}/approve`.
    pub(crate) async fn approve_request(
        &self,
        id: &str,
        body: &ApprovalRequest,
    ) -> Result<KeyRequest, Failure> {
        self.send(Method::POST, &["org", "requests", id, "approve"], body)
            .await
    }

    /// `POST /org/requests/{id}/deny`.
    pub(crate) async fn deny_request(
        &self,
        id: &str,
        body: &DenialRequest,
    ) -> Result<KeyRequest, Failure> {
        self.send(Method::POST, &["org", "requests", id, "deny"], body)
            .await
    }

    /// `POST /org/requests/{id}/withdraw`.
    pub(crate) async fn withdraw_request(&self, id: &str) -> Result<KeyRequest, Failure> {
        let body = OwnRequestStep::default();
        self.send(Method::POST, &["org", "requests", id, "withdraw"], &body)
            .await
    }

    /// `POST /org/requests/{id}/collect`.
    pub(crate) async fn collect_key(&self, id: &str) -> Result<MintedKey, Failure> {
        let body = OwnRequestStep::default();
        self.send(Method::POST, &["org", "requests", id, "collect"], &body)
            .await
    }
}
