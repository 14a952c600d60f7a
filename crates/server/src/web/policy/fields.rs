//! The policy as the fields of a form.

use claviger_wire::policy as wire;

use crate::{failure::Failure, gate::Form};

/// Who may mint, where nothing is said.
const MINTERS: [&str; 3] = ["people", "keys", "admin_token"];

/// The fields as they are typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    /// Patterns, one a line.
    pub(super) permissions: String,
    pub(super) presets: Vec<String>,
    /// Ranges, one a line.
    pub(super) ip_allow: String,
    pub(super) lifetime_max: String,
    pub(super) requires_expiry: bool,
    /// Names, one a line.
    pub(super) required_metadata: String,
    pub(super) minters: Vec<String>,
    pub(super) keys_max: String,
    pub(super) depth_max: String,
    pub(super) suspend_idle_after: String,
    pub(super) suspends_overdue: bool,
    pub(super) suspend_on: Vec<String>,
    pub(super) keep_audit_for: String,
}

impl Fields {
    /// The fields of a policy.
    pub(super) fn of(policy: &wire::Policy) -> Self {
        let lines = |list: &Option<Vec<String>>| list.as_deref().unwrap_or_default().join("\n");
        let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
        let policy = policy.clone();
        Self {
            permissions: lines(&policy.permissions),
            presets: policy.presets.unwrap_or_default(),
            ip_allow: lines(&policy.ip_allow),
            lifetime_max: policy.lifetime_max.unwrap_or_default(),
            requires_expiry: policy.require_expiry.unwrap_or_default(),
            required_metadata: lines(&policy.required_metadata),
            minters: policy
                .minters
                .unwrap_or_else(|| MINTERS.map(str::to_owned).into()),
            keys_max: number(policy.keys_max),
            depth_max: number(policy.depth_max),
            suspend_idle_after: policy.suspend_idle_after.unwrap_or_default(),
            suspends_overdue: policy.suspend_overdue.unwrap_or_default(),
            suspend_on: policy.suspend_on.unwrap_or_default(),
            keep_audit_for: policy.keep_audit_for.unwrap_or_default(),
        }
    }

    pub(super) fn read(form: &Form) -> Self {
        let text = |name| form.get(name).unwrap_or_default().to_owned();
        let all = |name| form.all(name).map(str::to_owned).collect();
        Self {
            permissions: text("permissions"),
            presets: all("presets"),
            ip_allow: text("ip_allow"),
            lifetime_max: text("lifetime_max"),
            requires_expiry: form.get("require_expiry").is_some(),
            required_metadata: text("required_metadata"),
            minters: all("minters"),
            keys_max: text("keys_max"),
            depth_max: text("depth_max"),
            suspend_idle_after: text("suspend_idle_after"),
            suspends_overdue: form.get("suspend_overdue").is_some(),
            suspend_on: all("suspend_on"),
            keep_audit_for: text("keep_audit_for"),
        }
    }

    /// The policy that they ask for.
    ///
    /// # Errors
    /// 422 for a number that is none.
    pub(super) fn asked(&self) -> Result<wire::Policy, Failure> {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let is_everybody = MINTERS
            .iter()
            .all(|name| self.minters.iter().any(|chosen| chosen == name));
        Ok(wire::Policy {
            permissions: list(words(&self.permissions)),
            presets: list(self.presets.clone()),
            ip_allow: list(words(&self.ip_allow)),
            lifetime_max: text(&self.lifetime_max),
            require_expiry: self.requires_expiry.then_some(true),
            required_metadata: list(words(&self.required_metadata)),
            minters: (!is_everybody).then(|| self.minters.clone()),
            keys_max: number("keys_max", &self.keys_max)?,
            depth_max: number("depth_max", &self.depth_max)?,
            suspend_idle_after: text(&self.suspend_idle_after),
            suspend_overdue: self.suspends_overdue.then_some(true),
            suspend_on: list(self.suspend_on.clone()),
            keep_audit_for: text(&self.keep_audit_for),
        })
    }
}

/// What stands on lines of its own, or between commas.
pub(in crate::web) fn words(text: &str) -> Vec<String> {
    let words = text.split(['\n', '\r', ',']).map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A whole number, or nothing.
///
/// # Errors
/// 422 naming the field.
pub(in crate::web) fn number(field: &str, text: &str) -> Result<Option<u32>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse();
    parsed
        .map(Some)
        .map_err(|_no_number| Failure::out_of_range(field, "must be a whole number"))
}

/// What a policy asks for, in words; nothing for one that asks for nothing.
pub(super) fn rules(policy: &wire::Policy) -> Vec<(&'static str, String)> {
    let list = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(", "));
    let yes = |is: Option<bool>, words: &str| is.filter(|is| *is).map(|_| words.to_owned());
    let rules = [
        ("Permissions", list(&policy.permissions)),
        ("Presets", list(&policy.presets)),
        ("Addresses", list(&policy.ip_allow)),
        ("Longest life", policy.lifetime_max.clone()),
        (
            "An end",
            yes(policy.require_expiry, "every key must have one"),
        ),
        ("Required metadata", list(&policy.required_metadata)),
        ("Who may mint", list(&policy.minters)),
        (
            "Living keys",
            policy.keys_max.map(|most| format!("at most {most}")),
        ),
        (
            "Keys above a key",
            policy.depth_max.map(|most| format!("at most {most}")),
        ),
        (
            "Idle keys",
            policy
                .suspend_idle_after
                .as_ref()
                .map(|span| format!("suspended after {span} without use")),
        ),
        (
            "Overdue rotations",
            yes(policy.suspend_overdue, "suspend the key"),
        ),
        (
            "Signals that suspend the key",
            list(&policy.suspend_on).map(|list| list.replace('_', " ")),
        ),
        (
            "Audit records",
            policy
                .keep_audit_for
                .as_ref()
                .map(|span| format!("kept for {span}, then only their hashes")),
        ),
    ];
    let asked = rules.into_iter();
    asked
        .filter_map(|(name, rule)| Some((name, rule?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_policy_ask_for_the_same_policy() {
        let policies = [
            wire::Policy::default(),
            wire::Policy {
                permissions: Some(vec!["channels:*".to_owned(), "audit:read".to_owned()]),
                presets: Some(vec!["reader".to_owned()]),
                ip_allow: Some(vec!["10.0.0.0/8".to_owned()]),
                lifetime_max: Some("90d".to_owned()),
                require_expiry: Some(true),
                required_metadata: Some(vec!["team".to_owned()]),
                minters: Some(vec!["people".to_owned()]),
                keys_max: Some(10),
                depth_max: Some(0),
                suspend_idle_after: Some("30d".to_owned()),
                suspend_overdue: Some(true),
                suspend_on: Some(vec!["new_network".to_owned()]),
                keep_audit_for: Some("365d".to_owned()),
            },
        ];
        for policy in policies {
            assert_eq!(Fields::of(&policy).asked().expect("numbers"), policy);
        }
        let none = Fields {
            minters: vec![],
            keys_max: "x".to_owned(),
            ..Fields::default()
        };
        assert!(none.asked().is_err());
        assert_eq!(words("a, b\r\n c\n\n"), ["a", "b", "c"]);
        assert!(rules(&wire::Policy::default()).is_empty());
    }
}
