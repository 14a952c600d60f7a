//! The operations of the API, in the order of its routes.

use std::time::Duration;

use claviger_wire::{
    advice::{KeyAdvice, OrgAdvice},
    blast::BlastRadius,
    channels::{Channel, ChannelChange, ChannelList, Deleted, NewChannel},
    headers,
    keys::{
        Key, KeyChange, KeyList, MintRequest, MintedKey, Revocation, RotatedKey,
        RotationEndRequest, RotationRequest, SuspensionRequest,
    },
    ledger::EventList,
    lines::{Lineage, Selected, SelectionRequest},
    orgs::{DeletedOrg, NewOrg, Org, OrgList},
    policy::{Policy, PolicyEffect},
    secrets::{NewSecret, Secret, SecretList, SecretValues},
    usage::KeyUsage,
    whoami::WhoAmI,
    workspaces::{
        DeletedWorkspace, MintedWorkspaceToken, NewWorkspace, NewWorkspaceToken,
        RevokedWorkspaceToken, Workspace, WorkspaceChange, WorkspaceList, WorkspaceTokenList,
    },
};
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{ANSWER_SECONDS_MAX, Client, Query};
use crate::error::Failure;

const TOKENS: [&str; 2] = ["org", "tokens"];

/// Org API keys.
impl Client {
    /// `POST /org/tokens`.
    pub(crate) async fn mint_key(
        &self,
        body: &MintRequest,
        idempotency_key: Option<&str>,
    ) -> Result<MintedKey, Failure> {
        let mut request = self
            .request(Method::POST, &TOKENS, &Query::new())
            .json(body);
        if let Some(key) = idempotency_key {
            request = request.header(headers::IDEMPOTENCY_KEY, key);
        }
        self.typed(request).await
    }

    /// `GET /org/tokens`, every page or `limit` keys.
    pub(crate) async fn list_keys(
        &self,
        query: Query,
        limit: Option<u32>,
    ) -> Result<KeyList, Failure> {
        self.pages(&TOKENS, query, limit).await
    }

    /// `GET /org/tokens/{id}`.
    pub(crate) async fn get_key(&self, id: &str) -> Result<Key, Failure> {
        self.get(&["org", "tokens", id], &Query::new()).await
    }

    /// `PATCH /org/tokens/{id}`.
    pub(crate) async fn update_key(&self, id: &str, body: &KeyChange) -> Result<Key, Failure> {
        self.send(Method::PATCH, &["org", "tokens", id], body).await
    }

    /// `POST /org/tokens/{id}/rotate`.
    pub(crate) async fn rotate_key(
        &self,
        id: &str,
        body: &RotationRequest,
    ) -> Result<RotatedKey, Failure> {
        self.send(Method::POST, &["org", "tokens", id, "rotate"], body)
            .await
    }

    /// `POST /org/tokens/{id}/rotate/finish` or `/cancel`.
    pub(crate) async fn end_rotation(&self, id: &str, how: &str) -> Result<Key, Failure> {
        let body = RotationEndRequest::default();
        self.send(Method::POST, &["org", "tokens", id, "rotate", how], &body)
            .await
    }

    /// `POST /org/tokens/{id}/suspend` or `/resume`: the key, or what would stop if that is asked.
    pub(crate) async fn suspend_or_resume_key<T: DeserializeOwned>(
        &self,
        id: &str,
        what: &str,
        body: &SuspensionRequest,
    ) -> Result<T, Failure> {
        self.send(Method::POST, &["org", "tokens", id, what], body)
            .await
    }

    /// `DELETE /org/tokens/{id}`.
    pub(crate) async fn revoke_key(
        &self,
        id: &str,
        reason: Option<String>,
        cascades: bool,
    ) -> Result<Revocation, Failure> {
        let reason = reason.map(|reason| ("reason", reason));
        let cascade = (!cascades).then(|| ("cascade", "false".to_owned()));
        let query = reason.into_iter().chain(cascade).collect();
        self.delete(&["org", "tokens", id], &query).await
    }

    /// `GET /org/tokens/{id}/lineage`, whole.
    pub(crate) async fn lineage(&self, id: &str) -> Result<Lineage, Failure> {
        self.pages(&["org", "tokens", id, "lineage"], Query::new(), None)
            .await
    }

    /// `POST /org/tokens/suspend` or `/resume`.
    pub(crate) async fn suspend_or_resume_keys(
        &self,
        what: &str,
        body: &SelectionRequest,
    ) -> Result<Selected, Failure> {
        self.send(Method::POST, &["org", "tokens", what], body)
            .await
    }

    /// `GET /org/policy`.
    pub(crate) async fn get_policy(&self) -> Result<Policy, Failure> {
        self.get(&["org", "policy"], &Query::new()).await
    }

    /// `PUT /org/policy`.
    pub(crate) async fn put_policy(
        &self,
        policy: &Policy,
        dry_run: bool,
    ) -> Result<PolicyEffect, Failure> {
        let query = vec![("dry_run", dry_run.to_string())];
        let request = self.request(Method::PUT, &["org", "policy"], &query);
        self.typed(request.json(policy)).await
    }

    /// `GET /org/tokens/{id}/usage`.
    pub(crate) async fn key_usage(&self, id: &str, query: &Query) -> Result<KeyUsage, Failure> {
        self.get(&["org", "tokens", id, "usage"], query).await
    }

    /// `GET /org/tokens/{id}/blast-radius`.
    pub(crate) async fn blast_radius(
        &self,
        id: &str,
        query: &Query,
    ) -> Result<BlastRadius, Failure> {
        self.get(&["org", "tokens", id, "blast-radius"], query)
            .await
    }

    /// `GET /org/tokens/{id}/advice`.
    pub(crate) async fn key_advice(&self, id: &str, query: &Query) -> Result<KeyAdvice, Failure> {
        self.get(&["org", "tokens", id, "advice"], query).await
    }

    /// `GET /org/advice`, every page or `limit` findings.
    pub(crate) async fn org_advice(
        &self,
        query: Query,
        limit: Option<u32>,
    ) -> Result<OrgAdvice, Failure> {
        self.pages(&["org", "advice"], query, limit).await
    }

    /// `GET /org/whoami`.
    pub(crate) async fn whoami(&self) -> Result<WhoAmI, Failure> {
        self.get(&["org", "whoami"], &Query::new()).await
    }
}

/// Workspaces and their tokens.
impl Client {
    /// `POST /workspaces`.
    pub(crate) async fn create_workspace(&self, body: &NewWorkspace) -> Result<Workspace, Failure> {
        self.send(Method::POST, &["workspaces"], body).await
    }

    /// `GET /workspaces`, every page.
    pub(crate) async fn list_workspaces(&self) -> Result<WorkspaceList, Failure> {
        self.pages(&["workspaces"], Query::new(), None).await
    }

    /// `GET /workspaces/{id}`.
    pub(crate) async fn get_workspace(&self, id: &str) -> Result<Workspace, Failure> {
        self.get(&["workspaces", id], &Query::new()).await
    }

    /// `PATCH /workspaces/{id}`.
    pub(crate) async fn update_workspace(
        &self,
        id: &str,
        body: &WorkspaceChange,
    ) -> Result<Workspace, Failure> {
        self.send(Method::PATCH, &["workspaces", id], body).await
    }

    /// `DELETE /workspaces/{id}`.
    pub(crate) async fn delete_workspace(&self, id: &str) -> Result<DeletedWorkspace, Failure> {
        self.delete(&["workspaces", id], &Query::new()).await
    }

    /// `POST /workspaces/{id}/tokens`.
    pub(crate) async fn mint_workspace_token(
        &self,
        workspace: &str,
        body: &NewWorkspaceToken,
    ) -> Result<MintedWorkspaceToken, Failure> {
        self.send(Method::POST, &["workspaces", workspace, "tokens"], body)
            .await
    }

    /// `GET /workspaces/{id}/tokens`, every page.
    pub(crate) async fn list_workspace_tokens(
        &self,
        workspace: &str,
    ) -> Result<WorkspaceTokenList, Failure> {
        self.pages(&["workspaces", workspace, "tokens"], Query::new(), None)
            .await
    }

    /// `DELETE /workspaces/{id}/tokens/{tid}`.
    pub(crate) async fn revoke_workspace_token(
        &self,
        workspace: &str,
        id: &str,
    ) -> Result<RevokedWorkspaceToken, Failure> {
        self.delete(&["workspaces", workspace, "tokens", id], &Query::new())
            .await
    }
}

/// Channels and secrets.
impl Client {
    /// `POST /workspaces/{id}/channels`.
    pub(crate) async fn add_channel(
        &self,
        workspace: &str,
        body: &NewChannel,
    ) -> Result<Channel, Failure> {
        self.send(Method::POST, &["workspaces", workspace, "channels"], body)
            .await
    }

    /// `GET /workspaces/{id}/channels`, every page.
    pub(crate) async fn list_channels(&self, workspace: &str) -> Result<ChannelList, Failure> {
        self.pages(&["workspaces", workspace, "channels"], Query::new(), None)
            .await
    }

    /// `GET /workspaces/{id}/channels/{cid}`.
    pub(crate) async fn get_channel(&self, workspace: &str, id: &str) -> Result<Channel, Failure> {
        self.get(&["workspaces", workspace, "channels", id], &Query::new())
            .await
    }

    /// `PATCH /workspaces/{id}/channels/{cid}`.
    pub(crate) async fn update_channel(
        &self,
        workspace: &str,
        id: &str,
        body: &ChannelChange,
    ) -> Result<Channel, Failure> {
        self.send(
            Method::PATCH,
            &["workspaces", workspace, "channels", id],
            body,
        )
        .await
    }

    /// `DELETE /workspaces/{id}/channels/{cid}`.
    pub(crate) async fn remove_channel(
        &self,
        workspace: &str,
        id: &str,
    ) -> Result<Deleted, Failure> {
        self.delete(&["workspaces", workspace, "channels", id], &Query::new())
            .await
    }

    /// `PUT /workspaces/{id}/secrets`.
    pub(crate) async fn set_secret(
        &self,
        workspace: &str,
        body: &NewSecret,
    ) -> Result<Secret, Failure> {
        self.send(Method::PUT, &["workspaces", workspace, "secrets"], body)
            .await
    }

    /// `GET /workspaces/{id}/secrets`, every page.
    pub(crate) async fn list_secrets(&self, workspace: &str) -> Result<SecretList, Failure> {
        self.pages(&["workspaces", workspace, "secrets"], Query::new(), None)
            .await
    }

    /// `GET /workspaces/{id}/secrets/values`.
    pub(crate) async fn reveal_secrets(&self, workspace: &str) -> Result<SecretValues, Failure> {
        self.get(
            &["workspaces", workspace, "secrets", "values"],
            &Query::new(),
        )
        .await
    }

    /// `DELETE /workspaces/{id}/secrets/{key}`.
    pub(crate) async fn delete_secret(
        &self,
        workspace: &str,
        name: &str,
    ) -> Result<Deleted, Failure> {
        self.delete(&["workspaces", workspace, "secrets", name], &Query::new())
            .await
    }
}

/// The audit trail, orgs, operation.
impl Client {
    /// `GET /org/audit`, every page or `limit` records.
    pub(crate) async fn list_events(
        &self,
        query: Query,
        limit: Option<u32>,
    ) -> Result<EventList, Failure> {
        self.pages(&["org", "audit"], query, limit).await
    }

    /// `GET /org/audit`, one page, and the id of the request: its own record carries it.
    pub(crate) async fn events_with_id(
        &self,
        query: &Query,
    ) -> Result<(EventList, Option<String>), Failure> {
        let request = self
            .request(Method::GET, &["org", "audit"], query)
            .timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        let response = self.answered(request).await?;
        let id = response.headers().get(headers::X_REQUEST_ID);
        let id = id.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((self.body(response).await?, id))
    }

    /// `GET /org/audit/export`, piece by piece. As long as something arrives it may take any time.
    pub(crate) async fn export_events(
        &self,
        query: &Query,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = self.request(Method::GET, &["org", "audit", "export"], query);
        let mut response = self.answered(request).await?;
        while let Some(piece) = response.chunk().await.map_err(|error| self.lost(&error))? {
            take(&piece)?;
        }
        Ok(())
    }

    /// `POST /admin/orgs`.
    pub(crate) async fn create_org(&self, body: &NewOrg) -> Result<Org, Failure> {
        self.send(Method::POST, &["admin", "orgs"], body).await
    }

    /// `GET /admin/orgs`, every page.
    pub(crate) async fn list_orgs(&self) -> Result<OrgList, Failure> {
        self.pages(&["admin", "orgs"], Query::new(), None).await
    }

    /// `DELETE /admin/orgs/{id}`.
    pub(crate) async fn delete_org(&self, id: &str) -> Result<DeletedOrg, Failure> {
        self.delete(&["admin", "orgs", id], &Query::new()).await
    }

    /// `GET /readyz`: a success or a failure, whatever the words.
    pub(crate) async fn ready(&self) -> Result<Vec<String>, Failure> {
        let request = self
            .request(Method::GET, &["readyz"], &Query::new())
            .timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        let answer = self.answered(request).await?;
        let body = answer.text().await.map_err(|error| self.lost(&error))?;
        let ready: Ready = serde_json::from_str(&body).unwrap_or_default();
        Ok(ready.warnings)
    }
}

/// What `/readyz` says when it is.
#[derive(Default, serde::Deserialize)]
struct Ready {
    #[serde(default)]
    warnings: Vec<String>,
}
