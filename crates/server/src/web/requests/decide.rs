//! The form by which a request is approved, perhaps with less than was asked for.

use std::collections::BTreeSet;

use claviger_core::{
    grant::{Grant, GrantText, Workspaces, WorkspacesText},
    permission::{Permission, PermissionSet},
    request::{Lifetime, Wanted},
    time::format_duration,
};
use claviger_wire::{keys, requests as wire};

use crate::web::grants::Names;
use crate::{
    failure::Failure,
    gate::Form,
    web::{
        parts::Choice,
        policy::{number, words},
        time::{from_field, in_field},
    },
};

/// The fields as they are typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    /// The permissions that were asked for, those chosen that are to be approved.
    pub(super) permissions: Vec<Choice>,
    /// The workspaces that were asked for by name; none where more were asked for than that.
    pub(super) workspaces: Vec<Choice>,
    /// Ids of workspaces, one a line, where more were asked for.
    pub(super) only: String,
    pub(super) endpoints: String,
    pub(super) ip_allow: String,
    pub(super) per_minute: String,
    pub(super) per_day: String,
    pub(super) depth: String,
    pub(super) keys: String,
    pub(super) lifetime: String,
    pub(super) expires_in: String,
    pub(super) expires_at: String,
    pub(super) note: String,
    pub(super) denial: String,
    /// The form names its permissions.
    is_sent: bool,
}

impl Fields {
    /// What was asked for.
    pub(super) fn of(wanted: &Wanted, names: &Names) -> Self {
        let grant = &wanted.grant;
        let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
        let text = GrantText::from(grant);
        let held = Permission::ALL
            .iter()
            .filter(|one| grant.permissions.has(**one));
        let (expires_in, expires_at) = match wanted.lifetime {
            Lifetime::Open => (String::new(), String::new()),
            Lifetime::For(span) => (format_duration(span), String::new()),
            Lifetime::Until(at) => (String::new(), in_field(at)),
        };
        let ids = match &grant.workspaces {
            Workspaces::Ids(ids) => &**ids,
            Workspaces::All | Workspaces::Labels(_) => &[],
        };
        Self {
            permissions: held
                .map(|one| Choice::new(one.as_str(), one.as_str(), one.as_str()))
                .collect(),
            workspaces: ids
                .iter()
                .map(|id| {
                    let value = id.to_string();
                    let name = names.get(id).cloned().unwrap_or_else(|| value.clone());
                    Choice::new(value.clone(), name, &value)
                })
                .collect(),
            endpoints: text.endpoints.join("\n"),
            ip_allow: text.ip_allow.join("\n"),
            per_minute: number(grant.rate_limit.per_minute),
            per_day: number(grant.rate_limit.per_day),
            depth: number(grant.delegation.depth),
            keys: number(grant.delegation.keys),
            lifetime: text.delegation.lifetime.unwrap_or_default(),
            expires_in,
            expires_at,
            ..Self::default()
        }
    }

    pub(super) fn read(form: &Form) -> Self {
        let text = |name| form.get(name).unwrap_or_default().to_owned();
        let chosen = |name| {
            let values = form.all(name);
            values
                .map(|value| Choice::new(value, value, value))
                .collect()
        };
        Self {
            permissions: chosen("permissions"),
            workspaces: chosen("workspaces"),
            only: text("only"),
            endpoints: text("endpoints"),
            ip_allow: text("ip_allow"),
            per_minute: text("per_minute"),
            per_day: text("per_day"),
            depth: text("depth"),
            keys: text("keys"),
            lifetime: text("lifetime"),
            expires_in: text("expires_in"),
            expires_at: text("expires_at"),
            note: text("note"),
            denial: String::new(),
            is_sent: true,
        }
    }

    /// The form that denies.
    pub(super) fn denying(note: &str) -> Self {
        Self {
            denial: note.to_owned(),
            ..Self::default()
        }
    }

    /// What was typed, over all that can be chosen from.
    pub(super) fn over(self, asked: &Self) -> Self {
        if !self.is_sent {
            return Self {
                denial: self.denial,
                ..asked.clone()
            };
        }
        let chosen = |all: &[Choice], typed: &[Choice]| {
            let is_typed = |one: &Choice| typed.iter().any(|other| other.value == one.value);
            let all = all.iter().cloned();
            all.map(|one| Choice {
                is_chosen: is_typed(&one),
                ..one
            })
            .collect()
        };
        Self {
            permissions: chosen(&asked.permissions, &self.permissions),
            workspaces: chosen(&asked.workspaces, &self.workspaces),
            ..self
        }
    }

    /// The approval that they ask for. What is as it was asked for is not said.
    ///
    /// # Errors
    /// 422 for a number that is none, and without any permission.
    pub(super) fn asked(&self, wanted: &Wanted) -> Result<wire::ApprovalRequest, Failure> {
        let grant = &wanted.grant;
        let before = GrantText::from(grant);
        let list = |typed: &str, before: &[String]| {
            let typed = words(typed);
            (typed != before).then_some(typed)
        };
        let text = |typed: &String, before: Option<String>| {
            (!typed.is_empty() && Some(typed) != before.as_ref()).then(|| typed.clone())
        };
        let (for_so_long, until) = match wanted.lifetime {
            Lifetime::Open => (None, None),
            Lifetime::For(span) => (Some(format_duration(span)), None),
            Lifetime::Until(at) => (None, Some(in_field(at))),
        };
        let expires_in = text(&self.expires_in, for_so_long);
        let rate_limit = keys::RateLimit {
            per_minute: number("rate_limit", &self.per_minute)?,
            per_day: number("rate_limit", &self.per_day)?,
        };
        let delegation = keys::Delegation {
            depth: number("delegation", &self.depth)?,
            keys: number("delegation", &self.keys)?,
            lifetime: text(&self.lifetime, None),
        };
        let has_rates = rate_limit.per_minute.is_some() || rate_limit.per_day.is_some();
        let has_bounds = delegation.depth.is_some()
            || delegation.keys.is_some()
            || delegation.lifetime.is_some();
        Ok(wire::ApprovalRequest {
            permissions: self.permissions(grant)?,
            workspaces: self.workspaces(&before.workspaces),
            endpoints: list(&self.endpoints, &before.endpoints),
            ip_allow: list(&self.ip_allow, &before.ip_allow),
            rate_limit: has_rates.then_some(rate_limit),
            delegation: has_bounds.then_some(delegation),
            expires_at: text(&self.expires_at, until).map(|typed| from_field(&typed)),
            expires_in,
            note: text(&self.note, None),
            preset: None,
            not_before: None,
        })
    }

    fn permissions(&self, grant: &Grant) -> Result<Option<Vec<String>>, Failure> {
        let typed: Vec<String> = self
            .permissions
            .iter()
            .map(|one| one.value.clone())
            .collect();
        if typed.is_empty() {
            let reason = "must keep at least one; to give nothing, deny the request";
            return Err(Failure::out_of_range("permissions", reason));
        }
        let chosen = PermissionSet::parse(typed.iter().map(String::as_str))
            .map_err(|error| Failure::out_of_range("permissions", error))?;
        // All of them by name are the same as `*` today.
        let held = Permission::ALL
            .iter()
            .filter(|one| grant.permissions.has(**one));
        let is_whole = held.into_iter().all(|one| chosen.has(*one));
        Ok((!is_whole).then_some(typed))
    }

    fn workspaces(&self, before: &WorkspacesText) -> Option<keys::Workspaces> {
        match before {
            WorkspacesText::Ids(ids) => {
                let typed: BTreeSet<_> = self.workspaces.iter().map(|one| &*one.value).collect();
                let kept: Vec<_> = ids
                    .iter()
                    .filter(|id| typed.contains(&***id))
                    .cloned()
                    .collect();
                (kept.len() < ids.len()).then_some(keys::Workspaces::Ids(kept))
            }
            WorkspacesText::Word(_) | WorkspacesText::Selector { .. } => {
                let only = words(&self.only);
                (!only.is_empty()).then_some(keys::Workspaces::Ids(only))
            }
        }
    }
}
