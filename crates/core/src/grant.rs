//! What a key may do: permissions x workspaces x endpoints, under conditions.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{ENDPOINTS_MAX, Endpoint},
    id::WorkspaceId,
    permission::{Permission, PermissionSet},
    time::Timestamp,
};

/// The largest number of workspaces that a grant can name.
pub const WORKSPACES_MAX: usize = 1000;
/// The largest number of address ranges of a grant.
pub const IP_ALLOW_MAX: usize = 64;

/// Key-value pairs of a workspace.
pub type Labels = BTreeMap<String, String>;

/// Which workspaces a grant reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workspaces {
    /// Every workspace of the org, also those that come later.
    All,
    /// These. None reaches nothing.
    Ids(Vec<WorkspaceId>),
    /// Those that carry every one of these labels now. Never empty.
    Labels(Labels),
}

/// Requests per window; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// Requests in a minute.
    pub per_minute: Option<u32>,
    /// Requests in a day.
    pub per_day: Option<u32>,
}

/// What a key may do. See `docs/spec/grant.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The verbs.
    pub permissions: PermissionSet,
    /// Where.
    pub workspaces: Workspaces,
    /// On which routes; empty is every route that the permissions reach.
    pub endpoints: Vec<Endpoint>,
    /// Not before this instant.
    pub not_before: Option<Timestamp>,
    /// From which addresses; empty is from anywhere.
    pub ip_allow: Vec<IpNet>,
    /// How often.
    pub rate_limit: RateLimit,
}

/// Which part of a grant was asked for beyond what the asker holds, or is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct GrantError {
    /// The field of the grant.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// A workspace as a grant sees it.
#[derive(Debug, Clone, Copy)]
pub struct WorkspaceFacts<'a> {
    /// Its id.
    pub id: WorkspaceId,
    /// Its labels; `None` when the workspace does not exist.
    pub labels: Option<&'a Labels>,
}

impl Workspaces {
    /// Whether the workspace is reached.
    #[must_use]
    pub fn reaches(&self, workspace: WorkspaceFacts<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&workspace.id),
            Self::Labels(wanted) => workspace.labels.is_some_and(|labels| {
                wanted
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
            }),
        }
    }

    /// Whether everything that `other` reaches is reached, now and after any change of labels.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All | Self::Ids(_) | Self::Labels(_)) => true,
            (Self::Ids(mine), Self::Ids(theirs)) => theirs.iter().all(|id| mine.contains(id)),
            (Self::Labels(mine), Self::Labels(theirs)) => mine
                .iter()
                .all(|(key, value)| theirs.get(key) == Some(value)),
            (Self::Ids(_), Self::All | Self::Labels(_)) | (Self::Labels(_), Self::All) => false,
            (Self::Labels(_), Self::Ids(ids)) => ids.is_empty(),
        }
    }
}

impl Grant {
    /// Everything in the org: the preset `admin` with no binding and no condition.
    #[must_use]
    pub const fn admin() -> Self {
        Self {
            permissions: PermissionSet::ALL,
            workspaces: Workspaces::All,
            endpoints: Vec::new(),
            not_before: None,
            ip_allow: Vec::new(),
            rate_limit: RateLimit {
                per_minute: None,
                per_day: None,
            },
        }
    }

    /// What a tier 3 token may do: the channels and secrets of its own workspace.
    #[must_use]
    pub fn workspace_token(workspace: WorkspaceId) -> Self {
        Self {
            permissions: PermissionSet::of(&[
                Permission::ChannelsRead,
                Permission::ChannelsWrite,
                Permission::ChannelsSend,
                Permission::SecretsRead,
                Permission::SecretsWrite,
                Permission::SecretsReveal,
            ]),
            workspaces: Workspaces::Ids(vec![workspace]),
            ..Self::admin()
        }
    }

    /// Whether the method and path are among the endpoints.
    #[must_use]
    pub fn reaches_endpoint(&self, method: &str, path: &str) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(|e| e.matches(method, path))
    }

    /// Whether the address is allowed. An IPv4 address inside IPv6 counts as the IPv4 address.
    #[must_use]
    pub fn reaches_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.ip_allow.is_empty() || self.ip_allow.iter().any(|net| net.contains(&address))
    }

    /// Whether `other` asks for no more than this grant, now and after any change of labels.
    ///
    /// # Errors
    /// The first field of `other` that is wider.
    pub fn covers(&self, other: &Self) -> Result<(), GrantError> {
        let wider = |field| GrantError {
            field,
            reason: "asks for more than you hold".to_owned(),
        };
        let endpoint_is_covered =
            |theirs: &Endpoint| self.endpoints.iter().any(|e| e.covers(theirs));
        let net_is_covered = |theirs: &IpNet| self.ip_allow.iter().any(|net| net.contains(theirs));
        let limit = |mine: Option<u32>, theirs: Option<u32>| match (mine, theirs) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => theirs <= mine,
        };
        if !self.permissions.covers(other.permissions) {
            return Err(wider("permissions"));
        }
        if !self.workspaces.covers(&other.workspaces) {
            return Err(wider("workspaces"));
        }
        if !self.endpoints.is_empty()
            && (other.endpoints.is_empty() || !other.endpoints.iter().all(endpoint_is_covered))
        {
            return Err(wider("endpoints"));
        }
        if self.not_before > other.not_before {
            return Err(wider("not_before"));
        }
        if !self.ip_allow.is_empty()
            && (other.ip_allow.is_empty() || !other.ip_allow.iter().all(net_is_covered))
        {
            return Err(wider("ip_allow"));
        }
        if !limit(self.rate_limit.per_minute, other.rate_limit.per_minute)
            || !limit(self.rate_limit.per_day, other.rate_limit.per_day)
        {
            return Err(wider("rate_limit"));
        }
        Ok(())
    }

    /// The canonical JSON text: one spelling per grant, so equal grants are equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&GrantText::from(self)).unwrap_or_default()
    }

    /// Reads what [`Grant::to_json`] wrote, or what a person wrote in its shape.
    ///
    /// # Errors
    /// [`GrantError`] naming the field.
    pub fn from_json(text: &str) -> Result<Self, GrantError> {
        match serde_json::from_str::<GrantText>(text) {
            Ok(raw) => raw.check(),
            Err(error) => Err(GrantError {
                field: "grant",
                reason: error.to_string(),
            }),
        }
    }
}

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

fn parse_net(text: &str) -> Option<IpNet> {
    let net: Option<IpNet> = text.parse().ok();
    net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        option,
        prelude::{Just, Strategy, prop_oneof, proptest},
        sample::select,
    };

    use super::{Grant, RateLimit, WorkspaceFacts, Workspaces};
    use crate::{
        id::WorkspaceId,
        permission::{Permission, PermissionSet},
        time::Timestamp,
    };

    fn workspaces() -> impl Strategy<Value = Workspaces> {
        let label = |value: &str| [("agent".to_owned(), value.to_owned())].into();
        prop_oneof![
            Just(Workspaces::All),
            vec(0_u128..4, 0..3).prop_map(|ids| Workspaces::Ids(
                ids.into_iter().map(WorkspaceId::from_u128).collect()
            )),
            Just(Workspaces::Labels(label("a"))),
            Just(Workspaces::Labels(label("b"))),
        ]
    }

    fn grant() -> impl Strategy<Value = Grant> {
        let endpoints = vec(select(vec!["GET /a", "GET /*", "* /**", "POST /a/b"]), 0..3);
        let nets = vec(
            select(vec!["10.0.0.0/8", "10.1.0.0/16", "::/0", "192.0.2.1/32"]),
            0..3,
        );
        let limits = (option::of(1_u32..9), option::of(1_u32..9));
        (
            vec(select(Permission::ALL), 0..9),
            workspaces(),
            endpoints,
            option::of(0_i64..9),
            nets,
            limits,
        )
            .prop_map(
                |(permissions, workspaces, endpoints, not_before, nets, limits)| Grant {
                    permissions: PermissionSet::of(&permissions),
                    workspaces,
                    endpoints: endpoints
                        .iter()
                        .map(|e| e.parse().expect("an endpoint"))
                        .collect(),
                    not_before: not_before.map(Timestamp::from_millis),
                    ip_allow: nets
                        .iter()
                        .map(|net| net.parse().expect("a range"))
                        .collect(),
                    rate_limit: RateLimit {
                        per_minute: limits.0,
                        per_day: limits.1,
                    },
                },
            )
    }

    proptest! {
        #[test]
        fn parse_inverts_print(grant in grant()) {
            assert_eq!(Grant::from_json(&grant.to_json()), Ok(grant));
        }

        #[test]
        fn a_covered_grant_reaches_nothing_more(wide in grant(), narrow in grant(), ws in 0_u128..5, label in select(vec!["a", "b", "c"]),
            path in select(vec!["/", "/a", "/a/b", "/c"]), ip in select(vec!["10.1.2.3", "10.2.0.1", "192.0.2.1", "::1"])) {
            if wide.covers(&narrow).is_ok() {
                let labels = [("agent".to_owned(), label.to_owned())].into();
                let facts = WorkspaceFacts { id: WorkspaceId::from_u128(ws), labels: Some(&labels) };
                assert!(!narrow.workspaces.reaches(facts) || wide.workspaces.reaches(facts));
                assert!(!narrow.reaches_endpoint("GET", path) || wide.reaches_endpoint("GET", path));
                let ip = ip.parse().expect("an address");
                assert!(!narrow.reaches_address(ip) || wide.reaches_address(ip));
            }
        }

        #[test]
        fn covering_is_reflexive_and_admin_covers_all(grant in grant()) {
            assert_eq!(grant.covers(&grant), Ok(()));
            assert_eq!(Grant::admin().covers(&grant), Ok(()));
        }
    }

    #[test]
    fn malformed_grants_name_the_field() {
        let table = [
            (r#"{"permissions":["x"],"workspaces":"*"}"#, "permissions"),
            (r#"{"permissions":[],"workspaces":"all"}"#, "workspaces"),
            (
                r#"{"permissions":[],"workspaces":{"labels":{}}}"#,
                "workspaces",
            ),
            (r#"{"permissions":[],"workspaces":["tok_1"]}"#, "workspaces"),
            (
                r#"{"permissions":[],"workspaces":"*","endpoints":["GET a"]}"#,
                "endpoints",
            ),
            (
                r#"{"permissions":[],"workspaces":"*","ip_allow":["10.0.0.0/33"]}"#,
                "ip_allow",
            ),
            (
                r#"{"permissions":[],"workspaces":"*","rate_limit":{"per_day":0}}"#,
                "rate_limit",
            ),
            (r#"{"permissions":[],"workspaces":"*","more":1}"#, "grant"),
        ];
        for (text, field) in table {
            assert_eq!(
                Grant::from_json(text).map_err(|error| error.field),
                Err(field),
                "{text}"
            );
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        let grant = Grant {
            ip_allow: vec!["10.0.0.0/8".parse().expect("a range")],
            ..Grant::admin()
        };
        assert!(grant.reaches_address("::ffff:10.0.0.1".parse().expect("an address")));
        assert!(!grant.reaches_address("::ffff:11.0.0.1".parse().expect("an address")));
    }
}
