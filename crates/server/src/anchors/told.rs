//! What the trails say of their anchors.

use std::sync::Arc;

use claviger_core::{
    id::OrgId,
    ledger::{
        entry::{Draft, Entry, Kind},
        tree::Hash,
    },
    tier::Actor,
};
use serde_json::{Value, json};

use super::rollback::{Rollback, There};
use crate::{clock, entropy};

/// What the operator did: the path of the record.
const ACCEPTED: &str = "claviger serve --accept-rollback";
/// The code of a record of an anchor that was not taken.
const NOT_ANCHORED: &str = "not_anchored";

fn entry(org: OrgId, change: &Value, draft: impl FnOnce(Draft<'_>) -> Entry) -> Entry {
    let (id, at) = (entropy::new_id(), clock::now());
    let text = change.to_string();
    draft(Draft {
        kind: Kind::Anchor,
        change: Some(&text),
        ..Draft::of_operation(id, entropy::bits(), at, org, &Actor::AdminToken)
    })
}

/// A checkpoint is in these places.
pub(super) fn anchored(org: OrgId, (size, root): (u64, Hash), places: &[Arc<str>]) -> Entry {
    let places: Vec<&str> = places.iter().map(|place| &**place).collect();
    let change = json!({"anchored": {"size": size, "root": root.to_string(), "where": places}});
    entry(org, &change, |draft| draft.write())
}

/// A place did not take a checkpoint.
pub(super) fn not_anchored(org: OrgId, size: u64, place: &str, reason: &str) -> Entry {
    let change = json!({"not_anchored": {"size": size, "where": place, "reason": reason}});
    entry(org, &change, |draft| {
        Draft {
            status: 503,
            code: Some(NOT_ANCHORED),
            ..draft
        }
        .write()
    })
}

/// The operator went on with a database that is behind what was anchored. The record is in the trail of
/// `home`: an org that is not there has none.
pub(super) fn accepted(home: OrgId, found: &Rollback) -> Entry {
    let to = match &found.there {
        There::Nothing => json!({"size": 0}),
        There::Tree { size, root, .. } => json!({"size": size, "root": root.to_string()}),
        There::Broken { size, .. } => json!({"size": size}),
    };
    let change = json!({"accepted_rollback": {
        "org": found.org.to_string(),
        "where": &*found.place,
        "from": {
            "size": found.size,
            "root": found.root.map(|root| root.to_string()),
            "at": found.at.map(|at| at.to_string()),
        },
        "to": to,
    }});
    entry(home, &change, |draft| {
        Draft {
            path: ACCEPTED,
            ..draft
        }
        .write()
    })
}
