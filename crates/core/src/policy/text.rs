//! Policies as they are written: the shape in the store and in records.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{KEEP_AUDIT_MIN, Minters, Policy, REQUIRED_METADATA_MAX};
use crate::{
    grant::{GrantError, IP_ALLOW_MAX},
    permission::PermissionSet,
    signal::SignalType,
    time::{format_duration, parse_duration},
};

/// A policy as it is written; what is left out asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// Patterns of the permissions that keys may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Presets that keys may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presets: Option<Vec<String>>,
    /// CIDR ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow: Option<Vec<String>>,
    /// The longest life of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_max: Option<String>,
    /// Whether every key must have an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_expiry: Option<bool>,
    /// Names of metadata that every key must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_metadata: Option<Vec<String>>,
    /// Who may mint: `people`, `keys`, `admin_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minters: Option<Vec<String>>,
    /// How many keys may live at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_max: Option<u32>,
    /// How many keys may stand above a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth_max: Option<u32>,
    /// A key that was not used for so long is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_idle_after: Option<String>,
    /// Whether a key whose rotation is overdue is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_overdue: Option<bool>,
    /// The types of signals that suspend the key which they are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_on: Option<Vec<String>>,
    /// For how long the bodies of audit records are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_audit_for: Option<String>,
}

impl From<&Policy> for PolicyText {
    fn from(policy: &Policy) -> Self {
        let some = |is: bool| is.then_some(true);
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let signals: Vec<_> = policy
            .suspends_on
            .iter()
            .map(|one| one.as_str().to_owned())
            .collect();
        let nets: Vec<_> = policy.ip_allow.iter().map(ToString::to_string).collect();
        Self {
            permissions: policy.permissions.clone(),
            presets: policy.presets.clone(),
            ip_allow: list(&nets),
            lifetime_max: policy.lifetime_max.map(format_duration),
            require_expiry: some(policy.is_expiry_required),
            required_metadata: list(&policy.required_metadata),
            minters: (policy.minters != Minters::ALL).then(|| policy.minters.words()),
            keys_max: policy.keys_max,
            depth_max: policy.depth_max,
            suspend_idle_after: policy.idle_max.map(format_duration),
            suspend_overdue: some(policy.suspends_overdue),
            suspend_on: list(&signals),
            keep_audit_for: policy.keep_audit_for.map(format_duration),
        }
    }
}

impl Minters {
    fn words(self) -> Vec<String> {
        let named = [
            (self.people, "people"),
            (self.keys, "keys"),
            (self.admin_token, "admin_token"),
        ];
        let chosen = named.into_iter().filter(|(is, _)| *is);
        chosen.map(|(_, word)| word.to_owned()).collect()
    }
}

fn bad(field: &'static str, reason: impl Into<String>) -> GrantError {
    GrantError {
        field,
        reason: reason.into(),
    }
}

impl PolicyText {
    /// The policy that is meant.
    ///
    /// # Errors
    /// [`GrantError`] naming the field.
    pub fn check(&self) -> Result<Policy, GrantError> {
        let duration = |field, text: &Option<String>| {
            let parsed = text.as_deref().map(parse_duration).transpose();
            let span = parsed.map_err(|error| bad(field, format!("is {error}")))?;
            match span {
                Some(span) if span.is_zero() => Err(bad(field, "must be at least 1s")),
                span => Ok(span),
            }
        };
        let keep_audit_for = duration("keep_audit_for", &self.keep_audit_for)?;
        if keep_audit_for.is_some_and(|span| span < KEEP_AUDIT_MIN) {
            return Err(bad("keep_audit_for", "must be at least 1d"));
        }
        if self.keys_max == Some(0) {
            return Err(bad("keys_max", "must be at least 1"));
        }
        Ok(Policy {
            permissions: self.permissions.clone(),
            presets: self.presets.clone(),
            ceiling: self.ceiling()?,
            ip_allow: self.ranges()?,
            lifetime_max: duration("lifetime_max", &self.lifetime_max)?,
            is_expiry_required: self.require_expiry.unwrap_or(false),
            required_metadata: self.names()?,
            minters: self.minters()?,
            keys_max: self.keys_max,
            depth_max: self.depth_max,
            idle_max: duration("suspend_idle_after", &self.suspend_idle_after)?,
            suspends_overdue: self.suspend_overdue.unwrap_or(false),
            suspends_on: self.signals()?,
            keep_audit_for,
        })
    }

    fn signals(&self) -> Result<Vec<SignalType>, GrantError> {
        let words = self.suspend_on.as_deref().unwrap_or_default();
        let read = |word: &String| {
            let found: Option<SignalType> = word.parse().ok();
            found.filter(|signal| signal.is_of_key()).ok_or_else(|| {
                let known = SignalType::words_of_keys().join("`, `");
                bad("suspend_on", format!("`{word}` is none of `{known}`"))
            })
        };
        let signals: Result<BTreeSet<_>, _> = words.iter().map(read).collect();
        Ok(signals?.into_iter().collect())
    }

    fn ceiling(&self) -> Result<PermissionSet, GrantError> {
        if self.permissions.is_none() && self.presets.is_none() {
            return Ok(PermissionSet::ALL);
        }
        let patterns = self.permissions.iter().flatten().map(String::as_str);
        let mut all = PermissionSet::parse(patterns)
            .map_err(|error| bad("permissions", format!("has an {error}")))?;
        for preset in self.presets.iter().flatten() {
            let set = PermissionSet::preset(preset);
            all = all.union(set.map_err(|error| bad("presets", format!("has an {error}")))?);
        }
        Ok(all)
    }

    fn ranges(&self) -> Result<Vec<ipnet::IpNet>, GrantError> {
        let list = self.ip_allow.as_deref().unwrap_or_default();
        if list.len() > IP_ALLOW_MAX {
            return Err(bad(
                "ip_allow",
                format!("has more than {IP_ALLOW_MAX} entries"),
            ));
        }
        let read = |text: &String| {
            crate::grant::parse_net(text)
                .ok_or_else(|| bad("ip_allow", format!("`{text}` is not a CIDR range")))
        };
        list.iter().map(read).collect()
    }

    fn names(&self) -> Result<Vec<String>, GrantError> {
        let list = self.required_metadata.clone().unwrap_or_default();
        if list.len() > REQUIRED_METADATA_MAX {
            let reason = format!("has more than {REQUIRED_METADATA_MAX} names");
            return Err(bad("required_metadata", reason));
        }
        match list
            .iter()
            .find(|name| name.is_empty() || name.chars().count() > 64)
        {
            Some(_) => Err(bad(
                "required_metadata",
                "has a name that is empty or longer than 64 characters",
            )),
            None => Ok(list),
        }
    }

    fn minters(&self) -> Result<Minters, GrantError> {
        let Some(words) = &self.minters else {
            return Ok(Minters::ALL);
        };
        let mut minters = Minters {
            people: false,
            keys: false,
            admin_token: false,
        };
        for word in words {
            match word.as_str() {
                "people" => minters.people = true,
                "keys" => minters.keys = true,
                "admin_token" => minters.admin_token = true,
                other => {
                    let reason = format!("`{other}` is none of `people`, `keys`, `admin_token`");
                    return Err(bad("minters", reason));
                }
            }
        }
        Ok(minters)
    }
}

impl Policy {
    /// The canonical JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&PolicyText::from(self)).unwrap_or_default()
    }

    /// Reads what [`Policy::to_json`] wrote.
    ///
    /// # Errors
    /// [`GrantError`] naming the field.
    pub fn from_json(text: &str) -> Result<Self, GrantError> {
        match serde_json::from_str::<PolicyText>(text) {
            Ok(raw) => raw.check(),
            Err(error) => Err(bad("policy", error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        option,
        prelude::{any, proptest},
        sample::select,
    };

    use super::PolicyText;
    use crate::policy::Policy;

    proptest! {
        #[test]
        fn parse_inverts_print(
            permissions in option::of(vec(select(vec!["channels:*", "secrets:read", "*"]), 0..3)),
            presets in option::of(vec(select(vec!["reader", "editor", "admin"]), 0..3)),
            nets in option::of(vec(select(vec!["10.0.0.0/8", "192.0.2.1"]), 0..3)),
            minters in option::of(vec(select(vec!["people", "keys", "admin_token"]), 0..3)),
            (days, keys, depth, flag) in (option::of(1_u32..400), option::of(1_u32..9), option::of(0_u32..9), any::<bool>())
        ) {
            let own = |list: Option<Vec<&str>>| list.map(|list| list.into_iter().map(str::to_owned).collect());
            let text = PolicyText {
                permissions: own(permissions),
                presets: own(presets),
                ip_allow: own(nets),
                lifetime_max: days.map(|days| format!("{days}d")),
                require_expiry: Some(flag),
                required_metadata: Some(vec!["team".to_owned()]),
                minters: own(minters),
                keys_max: keys,
                depth_max: depth,
                suspend_idle_after: days.map(|days| format!("{days}h")),
                suspend_overdue: Some(flag),
                suspend_on: flag.then(|| vec!["refusal_burst".to_owned(), "new_network".to_owned()]),
                keep_audit_for: days.map(|days| format!("{days}d")),
            };
            let policy = text.check().expect("a policy");
            assert_eq!(Policy::from_json(&policy.to_json()), Ok(policy));
        }
    }

    #[test]
    fn malformed_policies_name_the_field() {
        let table = [
            (r#"{"permissions":["x"]}"#, "permissions"),
            (r#"{"presets":["root"]}"#, "presets"),
            (r#"{"ip_allow":["10.0.0.0/40"]}"#, "ip_allow"),
            (r#"{"lifetime_max":"1y"}"#, "lifetime_max"),
            (r#"{"lifetime_max":"0s"}"#, "lifetime_max"),
            (r#"{"required_metadata":[""]}"#, "required_metadata"),
            (r#"{"minters":["robots"]}"#, "minters"),
            (r#"{"keys_max":0}"#, "keys_max"),
            (r#"{"suspend_idle_after":"x"}"#, "suspend_idle_after"),
            (r#"{"suspend_on":["bad_luck"]}"#, "suspend_on"),
            (r#"{"suspend_on":["ledger_anchored"]}"#, "suspend_on"),
            (r#"{"keep_audit_for":"23h"}"#, "keep_audit_for"),
            (r#"{"keep_audit_for":"90"}"#, "keep_audit_for"),
            (r#"{"more":1}"#, "policy"),
        ];
        for (text, field) in table {
            let failed = Policy::from_json(text).map_err(|error| error.field);
            assert_eq!(failed, Err(field), "{text}");
        }
    }

    #[test]
    fn an_empty_list_of_permissions_allows_none() {
        let policy = Policy::from_json(r#"{"permissions":[]}"#).expect("a policy");
        assert_eq!(policy.ceiling, crate::permission::PermissionSet::NONE);
        assert!(!policy.is_empty());
    }
}
