//! Whether whoever approved still holds what was approved.

use crate::{
    grant::Grant,
    key::{KeyStatus, OrgKey},
    permission::Permission,
    time::Timestamp,
};

/// Why an approval is worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// The approver, or a key above it, is no longer accepted.
    #[error("the key that approved the request is no longer accepted; ask again")]
    ApproverEnded,
    /// The approver holds less than it approved, in this field.
    #[error(
        "the key that approved the request no longer holds what it approved, in `{0}`; ask again"
    )]
    ApproverNarrowed(&'static str),
    /// The key would have ended by now.
    #[error("the end that was asked for has passed; ask again")]
    Over,
}

/// Whether the approver still holds what it approved: it and every key above it, nearest first.
///
/// # Errors
/// [`Void`], of the first key that does not.
pub fn check_approver(line: &[OrgKey], grant: &Grant, now: Timestamp) -> Result<(), Void> {
    for key in line {
        if key.status(now) != KeyStatus::Active {
            return Err(Void::ApproverEnded);
        }
        let rights = [Permission::OrgAdmin, Permission::TokensMint];
        if !rights.iter().all(|right| key.grant.permissions.has(*right)) {
            return Err(Void::ApproverNarrowed("permissions"));
        }
        let covered = key.grant.covers(grant);
        covered.map_err(|error| Void::ApproverNarrowed(error.field))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Void, check_approver};
    use crate::{
        grant::Grant,
        id::{KeyId, OrgId},
        key::{OrgKey, OwnSecret, Suspension},
        permission::{Permission, PermissionSet},
        tier::{Actor, Minter},
        time::Timestamp,
    };

    const NOW: Timestamp = Timestamp::from_millis(1000);

    fn key(grant: Grant) -> OrgKey {
        OrgKey {
            id: KeyId::from_u128(1),
            org: OrgId::from_u128(1),
            name: "k".to_owned(),
            prefix: "mole_a1b2c3d4".parse().expect("a prefix"),
            minter: Minter {
                created_by: Actor::AdminToken,
                root: Actor::AdminToken,
                chain: Vec::new(),
            },
            created_at: NOW,
            expires_at: None,
            grant,
            metadata: [].into(),
            suspension: None,
            resumed_at: None,
            revocation: None,
            last_use: None,
            secret: OwnSecret {
                since: NOW,
                last_use: None,
            },
            rotate_every: None,
        }
    }

    fn with(permissions: &[Permission]) -> Grant {
        Grant {
            permissions: PermissionSet::of(permissions),
            ..Grant::admin()
        }
    }

    fn check(line: &[OrgKey]) -> Result<(), Void> {
        check_approver(line, &with(&[Permission::ChannelsSend]), NOW)
    }

    #[test]
    fn the_org_itself_and_a_line_that_holds_everything_stand() {
        assert_eq!(check(&[]), Ok(()));
        let whole = || key(Grant::admin());
        assert_eq!(check(&[whole(), whole()]), Ok(()));
    }

    #[test]
    fn each_key_of_the_line_must_be_accepted() {
        let ended = [
            OrgKey {
                suspension: Some(Suspension {
                    at: NOW,
                    by: Actor::AdminToken,
                    reason: None,
                }),
                ..key(Grant::admin())
            },
            OrgKey {
                expires_at: Some(NOW),
                ..key(Grant::admin())
            },
            key(Grant {
                not_before: Some(Timestamp::from_millis(1001)),
                ..Grant::admin()
            }),
        ];
        for key_above in ended {
            let line = [key(Grant::admin()), key_above];
            assert_eq!(check(&line), Err(Void::ApproverEnded));
        }
    }

    #[test]
    fn each_key_of_the_line_must_hold_the_rights_and_what_was_approved() {
        let (admin, mint, send) = (
            Permission::OrgAdmin,
            Permission::TokensMint,
            Permission::ChannelsSend,
        );
        assert_eq!(check(&[key(with(&[admin, mint, send]))]), Ok(()));
        for few in [[admin, mint], [admin, send], [mint, send]] {
            let line = [key(Grant::admin()), key(with(&few))];
            assert_eq!(check(&line), Err(Void::ApproverNarrowed("permissions")));
        }
        let near = Grant {
            ip_allow: vec!["10.0.0.0/8".parse().expect("a range")],
            ..Grant::admin()
        };
        assert_eq!(check(&[key(near)]), Err(Void::ApproverNarrowed("ip_allow")));
    }
}
