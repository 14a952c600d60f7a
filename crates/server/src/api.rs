//! The JSON of each route: from the wire to an operation and back.

pub mod advice;
pub mod audit;
pub mod blast;
pub mod channels;
pub mod export;
pub mod found;
pub mod github;
mod grants;
pub mod keys;
pub mod lines;
pub mod log;
pub mod members;
pub mod orgs;
pub mod policies;
pub mod requests;
pub mod rotations;
pub mod secrets;
pub mod sign_ins;
pub mod stream;
pub mod usage;
pub mod verify;
pub mod whoami;
pub mod workspace_tokens;
pub mod workspaces;

use std::collections::BTreeMap;

use claviger_core::{
    grant::{Delegation, Grant, GrantText, RateLimit, WorkspacesText},
    text::{NAME_CHARS_MAX, check_labels, parse_name},
};
use claviger_wire::{keys as wire, map::TextMap};

use crate::failure::Failure;

/// A name as it is kept.
fn name(raw: &str) -> Result<String, Failure> {
    parse_name(raw, NAME_CHARS_MAX).map_err(|error| Failure::out_of_range("name", error))
}

/// Labels or metadata as they are kept.
fn texts(field: &str, map: TextMap) -> Result<BTreeMap<String, String>, Failure> {
    match check_labels(map.0.iter()) {
        Ok(()) => Ok(map.0),
        Err((key, error)) if key.is_empty() => Err(Failure::out_of_range(field, error)),
        Err((key, error)) => Err(Failure::out_of_range(&format!("{field}.{key}"), error)),
    }
}

/// A grant as it is answered.
fn grant_view(grant: &Grant) -> wire::Grant {
    let text = GrantText::from(grant);
    wire::Grant {
        permissions: text.permissions,
        workspaces: match text.workspaces {
            WorkspacesText::Word(word) => wire::Workspaces::Word(word),
            WorkspacesText::Ids(ids) => wire::Workspaces::Ids(ids),
            WorkspacesText::Selector { labels } => {
                wire::Workspaces::Selector(wire::LabelSelector {
                    labels: TextMap(labels),
                })
            }
        },
        endpoints: text.endpoints,
        not_before: text.not_before,
        ip_allow: text.ip_allow,
        rate_limit: (grant.rate_limit != RateLimit::default()).then_some(wire::RateLimit {
            per_minute: grant.rate_limit.per_minute,
            per_day: grant.rate_limit.per_day,
        }),
        delegation: (grant.delegation != Delegation::default()).then_some(wire::Delegation {
            depth: text.delegation.depth,
            keys: text.delegation.keys,
            lifetime: text.delegation.lifetime,
        }),
    }
}
