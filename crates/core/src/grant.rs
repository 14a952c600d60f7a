//! What a key may do: permissions x workspaces x endpoints, under conditions.

mod text;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    endpoint::Endpoint,
    id::WorkspaceId,
    permission::{Permission, PermissionSet},
    time::Timestamp,
};
use ipnet::IpNet;

pub(crate) use text::parse_net;
pub use text::{DelegationText, GrantText, RateLimitText, WorkspacesText};

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

/// How far a key may pass its authority on; `None` is no limit. What it bounds are the keys that it
/// mints, those that they mint, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delegation {
    /// How many generations below the key there may be; 0 forbids it to mint.
    pub depth: Option<u32>,
    /// How many living keys there may be below it.
    pub keys: Option<u32>,
    /// How long each of them may live at most.
    pub lifetime: Option<Duration>,
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
    /// How far it may be passed on.
    pub delegation: Delegation,
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
            delegation: Delegation {
                depth: None,
                keys: None,
                lifetime: None,
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

    /// Whether nothing limits it.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::admin()
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
        if !is_within(self.rate_limit.per_minute, other.rate_limit.per_minute)
            || !is_within(self.rate_limit.per_day, other.rate_limit.per_day)
        {
            return Err(wider("rate_limit"));
        }
        let (mine, theirs) = (&self.delegation, &other.delegation);
        if !is_within(mine.depth, theirs.depth)
            || !is_within(mine.keys, theirs.keys)
            || !is_within(mine.lifetime, theirs.lifetime)
        {
            return Err(wider("delegation"));
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

/// Whether a limit is no looser than another; none is the loosest.
fn is_within<T: Ord>(mine: Option<T>, theirs: Option<T>) -> bool {
    match (mine, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(mine), Some(theirs)) => theirs <= mine,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{
        collection::vec,
        option,
        prelude::{Just, Strategy, prop_oneof, proptest},
        sample::select,
    };

    use super::{Delegation, Grant, RateLimit, WorkspaceFacts, Workspaces};
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
        let delegation = (
            option::of(0_u32..9),
            option::of(1_u32..9),
            option::of(1_u64..9),
        );
        (
            vec(select(Permission::ALL), 0..9),
            workspaces(),
            endpoints,
            option::of(0_i64..9),
            nets,
            limits,
            delegation,
        )
            .prop_map(
                |(permissions, workspaces, endpoints, not_before, nets, limits, below)| Grant {
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
                    delegation: Delegation {
                        depth: below.0,
                        keys: below.1,
                        lifetime: below.2.map(Duration::from_secs),
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
            (
                r#"{"permissions":[],"workspaces":"*","delegation":{"keys":0}}"#,
                "delegation",
            ),
            (
                r#"{"permissions":[],"workspaces":"*","delegation":{"lifetime":"1y"}}"#,
                "delegation",
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
