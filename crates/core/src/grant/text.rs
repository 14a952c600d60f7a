//! Grants as they are written: the shape in requests, answers, records and the store.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    Delegation, Grant, GrantError, IP_ALLOW_MAX, Labels, RateLimit, WORKSPACES_MAX, Workspaces,
};
use crate::{
    endpoint::ENDPOINTS_MAX,
    permission::PermissionSet,
    time::{format_duration, parse_duration},
};

/// A grant as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantText {
    /// Patterns of permissions.
    pub permissions: Vec<String>,
    /// `"*"`, ids, or a label selector.
    pub workspaces: WorkspacesText,
    /// Endpoint patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// CIDR ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_allow: Vec<String>,
    /// Requests per window.
    #[serde(default, skip_serializing_if = "RateLimitText::is_none")]
    pub rate_limit: RateLimitText,
    /// How far it may be passed on.
    #[serde(default, skip_serializing_if = "DelegationText::is_none")]
    pub delegation: DelegationText,
}

/// A workspace binding as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WorkspacesText {
    /// `"*"`.
    Word(String),
    /// `["ws_…"]`.
    Ids(Vec<String>),
    /// `{"labels": {…}}`.
    Selector {
        /// The labels that a workspace must carry.
        labels: Labels,
    },
}

/// A rate limit as it is written.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitText {
    /// Requests in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Requests in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

impl RateLimitText {
    const fn is_none(&self) -> bool {
        self.per_minute.is_none() && self.per_day.is_none()
    }
}

/// A limit of delegation as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationText {
    /// Generations below the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Living keys below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u32>,
    /// The longest life of each, such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
}

impl DelegationText {
    const fn is_none(&self) -> bool {
        self.depth.is_none() && self.keys.is_none() && self.lifetime.is_none()
    }

    fn check(&self) -> Result<Delegation, GrantError> {
        let bad = |reason: String| GrantError {
            field: "delegation",
            reason,
        };
        if self.keys == Some(0) {
            return Err(bad(
                "`keys` must be at least 1; write `depth` 0 to forbid minting".to_owned(),
            ));
        }
        let lifetime = self.lifetime.as_deref().map(|text| {
            parse_duration(text).map_err(|error| bad(format!("`lifetime` is {error}")))
        });
        let lifetime = lifetime.transpose()?;
        if lifetime.is_some_and(|span| span.is_zero()) {
            return Err(bad("`lifetime` must be at least 1s".to_owned()));
        }
        Ok(Delegation {
            depth: self.depth,
            keys: self.keys,
            lifetime,
        })
    }
}

impl From<&Grant> for GrantText {
    fn from(grant: &Grant) -> Self {
        Self {
            permissions: grant.permissions.patterns(),
            workspaces: match &grant.workspaces {
                Workspaces::All => WorkspacesText::Word("*".to_owned()),
                Workspaces::Ids(ids) => {
                    WorkspacesText::Ids(ids.iter().map(ToString::to_string).collect())
                }
                Workspaces::Labels(labels) => WorkspacesText::Selector {
                    labels: labels.clone(),
                },
            },
            endpoints: grant.endpoints.iter().map(ToString::to_string).collect(),
            not_before: grant.not_before.map(|at| at.to_string()),
            ip_allow: grant.ip_allow.iter().map(ToString::to_string).collect(),
            rate_limit: RateLimitText {
                per_minute: grant.rate_limit.per_minute,
                per_day: grant.rate_limit.per_day,
            },
            delegation: DelegationText {
                depth: grant.delegation.depth,
                keys: grant.delegation.keys,
                lifetime: grant.delegation.lifetime.map(format_duration),
            },
        }
    }
}

impl GrantText {
    /// The grant that is meant.
    ///
    /// # Errors
    /// [`GrantError`] naming the field.
    pub fn check(&self) -> Result<Grant, GrantError> {
        let bad = |field, reason: String| GrantError { field, reason };
        let permissions = PermissionSet::parse(self.permissions.iter().map(String::as_str))
            .map_err(|error| bad("permissions", format!("has an {error}")))?;
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(bad(
                "endpoints",
                format!("has more than {ENDPOINTS_MAX} entries"),
            ));
        }
        if self.ip_allow.len() > IP_ALLOW_MAX {
            return Err(bad(
                "ip_allow",
                format!("has more than {IP_ALLOW_MAX} entries"),
            ));
        }
        let endpoints = self.endpoints.iter().map(|text| {
            text.parse()
                .map_err(|error| bad("endpoints", format!("`{text}` is {error}")))
        });
        let ip_allow = self.ip_allow.iter().map(|text| {
            parse_net(text).ok_or_else(|| bad("ip_allow", format!("`{text}` is not a CIDR range")))
        });
        let not_before = self.not_before.as_deref().map(|text| {
            text.parse()
                .map_err(|error| bad("not_before", format!("is {error}")))
        });
        let limits = [self.rate_limit.per_minute, self.rate_limit.per_day];
        if limits.contains(&Some(0)) {
            return Err(bad("rate_limit", "must be at least 1".to_owned()));
        }
        Ok(Grant {
            permissions,
            workspaces: self.workspaces.check()?,
            endpoints: endpoints.collect::<Result<_, _>>()?,
            not_before: not_before.transpose()?,
            ip_allow: ip_allow.collect::<Result<_, _>>()?,
            rate_limit: RateLimit {
                per_minute: self.rate_limit.per_minute,
                per_day: self.rate_limit.per_day,
            },
            delegation: self.delegation.check()?,
        })
    }
}

impl WorkspacesText {
    fn check(&self) -> Result<Workspaces, GrantError> {
        let bad = |reason: String| GrantError {
            field: "workspaces",
            reason,
        };
        match self {
            Self::Word(word) if word == "*" => Ok(Workspaces::All),
            Self::Word(word) => Err(bad(format!(
                "`{word}` is not `*`, a list of ids, or a label selector"
            ))),
            Self::Ids(ids) if ids.len() > WORKSPACES_MAX => {
                Err(bad(format!("has more than {WORKSPACES_MAX} entries")))
            }
            Self::Ids(ids) => {
                let parsed = ids.iter().map(|text| {
                    text.parse()
                        .map_err(|error| bad(format!("`{text}` is {error}")))
                });
                Ok(Workspaces::Ids(parsed.collect::<Result<_, _>>()?))
            }
            // A selector without labels would select everything: absence is never power.
            Self::Selector { labels } if labels.is_empty() => Err(bad(
                "has a selector with no label; write `*` for all".to_owned(),
            )),
            Self::Selector { labels } => Ok(Workspaces::Labels(labels.clone())),
        }
    }
}

/// A range, or a single address as one.
pub(crate) fn parse_net(text: &str) -> Option<IpNet> {
    let net: Option<IpNet> = text.parse().ok();
    net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|net| net.trunc())
}
