//! Grants and ends of keys as a caller asks for them, for a mint and for a narrowing.

use std::time::Duration;

use claviger_core::{
    grant::{DelegationText, Grant, GrantText, RateLimitText, WorkspacesText},
    permission::PermissionSet,
    time::{Timestamp, parse_duration},
};
use claviger_wire::{
    keys as wire,
    requests::{ApprovalRequest, KeyAsk},
};

use super::texts;
use crate::failure::Failure;

/// The fields of a body that make a grant and an end; what is left out stays as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    preset: &'a Option<String>,
    permissions: &'a Option<Vec<String>>,
    workspaces: &'a Option<wire::Workspaces>,
    endpoints: &'a Option<Vec<String>>,
    not_before: &'a Option<String>,
    ip_allow: &'a Option<Vec<String>>,
    rate_limit: &'a Option<wire::RateLimit>,
    delegation: &'a Option<wire::Delegation>,
    expires_in: &'a Option<String>,
    expires_at: &'a Option<String>,
}

macro_rules! asked {
    ($($body:ty),*) => {$(
        impl<'a> From<&'a $body> for Asked<'a> {
            fn from(body: &'a $body) -> Self {
                Self {
                    preset: &body.preset,
                    permissions: &body.permissions,
                    workspaces: &body.workspaces,
                    endpoints: &body.endpoints,
                    not_before: &body.not_before,
                    ip_allow: &body.ip_allow,
                    rate_limit: &body.rate_limit,
                    delegation: &body.delegation,
                    expires_in: &body.expires_in,
                    expires_at: &body.expires_at,
                }
            }
        }
    )*};
}

asked!(wire::MintRequest, wire::KeyChange, KeyAsk, ApprovalRequest);

impl Asked<'_> {
    /// Whether the grant is to be another.
    pub(super) const fn is_about_grant(&self) -> bool {
        self.preset.is_some()
            || self.permissions.is_some()
            || self.workspaces.is_some()
            || self.endpoints.is_some()
            || self.not_before.is_some()
            || self.ip_allow.is_some()
            || self.rate_limit.is_some()
            || self.delegation.is_some()
    }

    /// Whether it says which permissions.
    pub(super) const fn is_about_permissions(&self) -> bool {
        self.preset.is_some() || self.permissions.is_some()
    }

    /// The grant that is asked for: what is left out is that of `base`.
    ///
    /// # Errors
    /// 422 naming the field.
    pub(super) fn grant(&self, base: &Grant) -> Result<Grant, Failure> {
        let mut text = GrantText::from(base);
        match (self.preset, self.permissions) {
            (Some(_), Some(_)) => {
                let reason = "cannot be given together with `permissions`";
                return Err(Failure::out_of_range("preset", reason));
            }
            (Some(preset), None) => {
                let set = PermissionSet::preset(preset);
                text.permissions = set
                    .map_err(|error| Failure::out_of_range("preset", error))?
                    .patterns();
            }
            (None, Some(permissions)) => text.permissions.clone_from(permissions),
            (None, None) => {}
        }
        if let Some(workspaces) = self.workspaces {
            text.workspaces = binding(workspaces)?;
        }
        if let Some(endpoints) = self.endpoints {
            text.endpoints.clone_from(endpoints);
        }
        if self.not_before.is_some() {
            text.not_before.clone_from(self.not_before);
        }
        if let Some(ip_allow) = self.ip_allow {
            text.ip_allow.clone_from(ip_allow);
        }
        if let Some(limit) = self.rate_limit {
            // A window that is left out stays limited as it is.
            let (before, asked) = (text.rate_limit, limit);
            text.rate_limit = RateLimitText {
                per_minute: asked.per_minute.or(before.per_minute),
                per_day: asked.per_day.or(before.per_day),
            };
        }
        if let Some(asked) = self.delegation {
            // As above.
            let before = text.delegation;
            text.delegation = DelegationText {
                depth: asked.depth.or(before.depth),
                keys: asked.keys.or(before.keys),
                lifetime: asked.lifetime.clone().or(before.lifetime),
            };
        }
        text.check()
            .map_err(|error| Failure::out_of_range(error.field, error.reason))
    }

    /// The end that is asked for, and the field that asks for it.
    ///
    /// # Errors
    /// 422 for two ends, for one that cannot be read, and for one that is not in the future.
    pub(super) fn end(&self, now: Timestamp) -> Result<Option<(&'static str, Timestamp)>, Failure> {
        let (field, parsed) = match (self.expires_in, self.expires_at) {
            (Some(_), Some(_)) => {
                let reason = "cannot be given together with `expires_at`";
                return Err(Failure::out_of_range("expires_in", reason));
            }
            (Some(text), None) => {
                let span = parse_duration(text);
                ("expires_in", span.map(|span| now.plus(span)))
            }
            (None, Some(text)) => ("expires_at", text.parse::<Timestamp>()),
            (None, None) => return Ok(None),
        };
        match parsed {
            Err(error) => Err(Failure::out_of_range(field, format!("is {error}"))),
            Ok(at) if at <= now => Err(Failure::out_of_range(field, "must be in the future")),
            Ok(at) => Ok(Some((field, at))),
        }
    }
}

/// How often a key is to get another secret; `0` is never.
pub(super) fn rotate_every(text: &str) -> Result<Option<Duration>, Failure> {
    const DAY: Duration = Duration::from_hours(24);
    const YEAR: Duration = Duration::from_hours(24 * 366);
    if text == "0" {
        return Ok(None);
    }
    match parse_duration(text) {
        Ok(span) if (DAY..=YEAR).contains(&span) => Ok(Some(span)),
        Ok(_) => Err(Failure::out_of_range("rotate_every", "must be 1d to 366d")),
        Err(error) => Err(Failure::out_of_range("rotate_every", format!("is {error}"))),
    }
}

fn binding(asked: &wire::Workspaces) -> Result<WorkspacesText, Failure> {
    Ok(match asked {
        wire::Workspaces::Word(word) => WorkspacesText::Word(word.clone()),
        wire::Workspaces::Ids(ids) => WorkspacesText::Ids(ids.clone()),
        wire::Workspaces::Selector(selector) => WorkspacesText::Selector {
            labels: texts("workspaces", selector.labels.clone())?,
        },
    })
}
