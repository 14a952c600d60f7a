//! The operations about people.

use claviger_core::person::PersonId;
use claviger_wire::people::{
    EndedSessions, LoginLink, Member, MemberList, MemberTurn, RemovedMember, SessionList,
};
use reqwest::Method;

use super::{Client, Query};
use crate::error::Failure;

/// People, their sessions, and their way in.
impl Client {
    /// `POST /org/login-links`.
    pub(crate) async fn login_link(&self) -> Result<LoginLink, Failure> {
        let path = ["org", "login-links"];
        self.send(Method::POST, &path, &serde_json::json!({})).await
    }

    /// `GET /org/members`, every page.
    pub(crate) async fn list_members(&self) -> Result<MemberList, Failure> {
        self.pages(&["org", "members"], Query::new(), None).await
    }

    /// `GET /org/members/{id}`.
    pub(crate) async fn get_member(&self, id: &PersonId) -> Result<Member, Failure> {
        self.get(&["org", "members", &id.segment()], &Query::new())
            .await
    }

    /// `POST /org/members/{id}/suspend` or `/restore`.
    pub(crate) async fn turn_member(
        &self,
        id: &PersonId,
        turn: &str,
        body: &MemberTurn,
    ) -> Result<Member, Failure> {
        self.send(Method::POST, &["org", "members", &id.segment(), turn], body)
            .await
    }

    /// `DELETE /org/members/{id}`.
    pub(crate) async fn remove_member(
        &self,
        id: &PersonId,
        hand_over_to: Option<&PersonId>,
        reason: Option<&str>,
    ) -> Result<RemovedMember, Failure> {
        let heir = hand_over_to.map(PersonId::as_str);
        let given = [("hand_over_to", heir), ("reason", reason)];
        let query = given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.to_owned())))
            .collect();
        self.delete(&["org", "members", &id.segment()], &query)
            .await
    }

    /// `GET /org/members/{id}/sessions`.
    pub(crate) async fn member_sessions(&self, id: &PersonId) -> Result<SessionList, Failure> {
        self.get(
            &["org", "members", &id.segment(), "sessions"],
            &Query::new(),
        )
        .await
    }

    /// `DELETE /org/members/{id}/sessions`.
    pub(crate) async fn end_member_sessions(
        &self,
        id: &PersonId,
    ) -> Result<EndedSessions, Failure> {
        self.delete(
            &["org", "members", &id.segment(), "sessions"],
            &Query::new(),
        )
        .await
    }
}
