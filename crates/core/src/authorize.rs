//! The decision: facts in, a permit or a denial out. Nothing else makes a permit.

use std::{marker::PhantomData, net::IpAddr, sync::Arc};

use crate::{
    action::{Action, Needs, Scope},
    denial::Denial,
    grant::{Grant, WorkspaceFacts, Workspaces},
    id::{OrgId, WorkspaceId},
    permission::Permission,
    tier::{Principal, Tier},
};

/// Everything that a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who asks, proven.
    pub principal: &'a Arc<Principal>,
    /// The workspace that the path names.
    pub workspace: Option<WorkspaceFacts<'a>>,
    /// The method.
    pub method: &'a str,
    /// The decoded, normalised path.
    pub path: &'a str,
    /// Where the request came from.
    pub client: IpAddr,
}

/// Proof that a principal may do `A`. Only [`authorize`] makes one, and every operation asks for
/// the one of its own action.
///
/// A permit cannot be written down, and one for another action does not fit:
///
/// ```compile_fail
/// use claviger_core::{action::MintKey, authorize::Permit};
/// let forged: Permit<MintKey> = Permit { principal: todo!(), workspace: None, action: Default::default() };
/// ```
/// ```compile_fail
/// use claviger_core::{action::{MintKey, ReadKeys}, authorize::Permit};
/// fn mint(_: &Permit<MintKey>) {}
/// fn handler(permit: Permit<ReadKeys>) { mint(&permit); }
/// ```
/// ```
/// use claviger_core::{action::MintKey, authorize::Permit};
/// fn mint(_: &Permit<MintKey>) {}
/// fn handler(permit: Permit<MintKey>) { mint(&permit); }
/// ```
///
/// The one that a stranger can get opens nothing else either:
///
/// ```compile_fail
/// use claviger_core::{action::{ReportFound, RevokeKey}, authorize::Permit};
/// fn revoke(_: &Permit<RevokeKey>) {}
/// fn handler(permit: Permit<ReportFound>) { revoke(&permit); }
/// ```
#[derive(Debug)]
pub struct Permit<A> {
    principal: Arc<Principal>,
    workspace: Option<WorkspaceId>,
    action: PhantomData<A>,
}

impl<A> Clone for Permit<A> {
    fn clone(&self) -> Self {
        Self {
            principal: Arc::clone(&self.principal),
            workspace: self.workspace,
            action: PhantomData,
        }
    }
}

impl<A: Action> Permit<A> {
    /// Who may.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// In which org.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.principal.org
    }

    /// In which workspace, where the action is about one.
    #[must_use]
    pub const fn workspace(&self) -> Option<WorkspaceId> {
        self.workspace
    }

    /// Whether a workspace is within the binding: for actions that list workspaces or make one.
    #[must_use]
    pub fn reaches(&self, workspace: WorkspaceFacts<'_>) -> bool {
        let layers = self.principal.authority.layers();
        let reaches = |grant: &Arc<Grant>| grant.workspaces.reaches(workspace);
        !layers.is_empty() && layers.iter().all(reaches)
    }

    /// Whether the principal holds a permission beyond the one that the action needs.
    #[must_use]
    pub fn has(&self, permission: Permission) -> bool {
        let authority = &self.principal.authority;
        let mut all = authority.layers().iter().chain(authority.ceiling());
        !authority.layers().is_empty() && all.all(|grant| grant.permissions.has(permission))
    }

    /// Whether a route is within the endpoints: for actions that ask for it only in some cases.
    #[must_use]
    pub fn reaches_endpoint(&self, method: &str, path: &str) -> bool {
        let layers = self.principal.authority.layers();
        let reaches = |grant: &Arc<Grant>| grant.reaches_endpoint(method, path);
        !layers.is_empty() && layers.iter().all(reaches)
    }

    /// Whether no layer binds the principal to some workspaces.
    #[must_use]
    pub fn is_unbound(&self) -> bool {
        let layers = self.principal.authority.layers();
        let is_unbound = |grant: &Arc<Grant>| grant.workspaces == Workspaces::All;
        !layers.is_empty() && layers.iter().all(is_unbound)
    }

    /// The first field of a grant that asks for more than the principal holds.
    #[must_use]
    pub fn field_beyond(&self, grant: &Grant) -> Option<&'static str> {
        let layers = self.principal.authority.layers();
        if layers.is_empty() {
            return Some("permissions");
        }
        let beyond = layers.iter().find_map(|own| own.covers(grant).err());
        beyond.map(|error| error.field)
    }

    /// Whether the principal's authority covers a grant: for acting on another key.
    #[must_use]
    pub fn covers(&self, grant: &Grant) -> bool {
        let layers = self.principal.authority.layers();
        !layers.is_empty() && layers.iter().all(|own| own.covers(grant).is_ok())
    }
}

/// Decides whether the principal may do `A`. Default deny: every layer of its authority must allow
/// it, and no layer is no authority. A stranger has no layer, and may do what needs no credential
/// and nothing else; with the permit comes no authority.
///
/// # Errors
/// The first [`Denial`], the tier's before the permission's before the conditions'.
pub fn authorize<A: Action>(facts: &Facts<'_>) -> Result<Permit<A>, Denial> {
    let principal = facts.principal;
    check_tier::<A>(facts)?;
    let layers = principal.authority.layers();
    if layers.is_empty() && !is_welcome_stranger::<A>(principal) {
        return Err(Denial::AdminTokenOnly);
    }
    for grant in layers {
        check_grant::<A>(grant, facts)?;
    }
    if let Some(ceiling) = principal.authority.ceiling() {
        check_grant::<A>(ceiling, facts).map_err(by_policy)?;
    }
    Ok(Permit {
        principal: Arc::clone(principal),
        workspace: facts.workspace.map(|workspace| workspace.id),
        action: PhantomData,
    })
}

/// The refusal of the ceiling, which is nobody's grant.
const fn by_policy(denial: Denial) -> Denial {
    match denial {
        Denial::MissingPermission(permission) => Denial::PolicyPermission(permission),
        Denial::OutsideAddresses => Denial::PolicyAddresses,
        other => other,
    }
}

/// Whether it is nobody, and the action asks for nobody. Whose session has ended is nobody too: it must
/// not keep anybody from signing in again.
fn is_welcome_stranger<A: Action>(principal: &Principal) -> bool {
    matches!(principal.tier, Tier::Anonymous | Tier::Session)
        && match A::NEEDS {
            Needs::NoCredential => true,
            Needs::Anyone | Needs::GivingUp | Needs::Permission(_) | Needs::AdminToken => false,
        }
}

/// What a tier can never do, whatever the grant.
fn check_tier<A: Action>(facts: &Facts<'_>) -> Result<(), Denial> {
    let principal = facts.principal;
    match principal.tier {
        Tier::Anonymous if is_welcome_stranger::<A>(principal) => Ok(()),
        Tier::Anonymous => Err(Denial::NoCredential),
        Tier::AdminToken => Ok(()),
        Tier::WorkspaceToken if A::NEEDS == Needs::NoCredential => Ok(()),
        Tier::WorkspaceToken => {
            let is_own = facts.workspace.map(|ws| ws.id) == principal.own_workspace;
            if A::SCOPE == Scope::InWorkspace && is_own && principal.own_workspace.is_some() {
                Ok(())
            } else {
                Err(Denial::OutsideWorkspaceToken)
            }
        }
        Tier::Bootstrap | Tier::Session | Tier::OrgKey => match A::NEEDS {
            Needs::AdminToken => Err(Denial::AdminTokenOnly),
            Needs::Anyone | Needs::GivingUp | Needs::Permission(_) | Needs::NoCredential => Ok(()),
        },
    }
}

/// Whether it is a session that gives itself up: nothing that holds it to its limits may keep it from
/// ending.
#[must_use]
pub fn gives_up(needs: Needs, principal: &Principal) -> bool {
    needs == Needs::GivingUp && principal.session.is_some()
}

fn check_grant<A: Action>(grant: &Grant, facts: &Facts<'_>) -> Result<(), Denial> {
    match A::NEEDS {
        // Knowing oneself and giving oneself up are always allowed, under the conditions below.
        Needs::Anyone | Needs::GivingUp | Needs::AdminToken | Needs::NoCredential => {}
        Needs::Permission(permission) => {
            if !grant.permissions.has(permission) {
                return Err(Denial::MissingPermission(permission));
            }
            if !grant.reaches_endpoint(facts.method, facts.path) {
                return Err(Denial::OutsideEndpoints);
            }
        }
    }
    if !gives_up(A::NEEDS, facts.principal) && !grant.reaches_address(facts.client) {
        return Err(Denial::OutsideAddresses);
    }
    match A::SCOPE {
        Scope::Org | Scope::Workspaces => Ok(()),
        Scope::Workspace | Scope::InWorkspace => match facts.workspace {
            Some(workspace) if grant.workspaces.reaches(workspace) => Ok(()),
            Some(_) | None => Err(Denial::OutsideWorkspaces),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Facts, authorize};
    use crate::{
        action::{
            Action, ListSecrets, ManageOrgs, MintKey, ReadWorkspace, ReportFound, RevealSecrets,
            RevokeKey, SignIn, WhoAmI,
        },
        authenticate,
        denial::Denial,
        grant::{Grant, WorkspaceFacts, Workspaces},
        id::{OrgId, WorkspaceId},
        permission::{Permission, PermissionSet},
        tier::{Actor, Authority, Principal, Tier},
    };

    fn principal(tier: Tier, layers: Vec<Grant>) -> Arc<Principal> {
        Arc::new(Principal {
            tier,
            org: OrgId::from_u128(1),
            actor: Actor::Anonymous,
            key: None,
            minter: None,
            own_workspace: Some(WorkspaceId::from_u128(7)),
            replaced_until: None,
            impersonator: None,
            session: None,
            is_break_glass: false,
            authority: Authority::of(layers.into_iter().map(Arc::new).collect()),
        })
    }

    fn decide<A: Action>(
        principal: &Arc<Principal>,
        workspace: Option<u128>,
    ) -> Result<(), Denial> {
        let labels = [("agent".to_owned(), "a".to_owned())].into();
        let workspace = workspace.map(|id| WorkspaceFacts {
            id: WorkspaceId::from_u128(id),
            labels: Some(&labels),
        });
        let client = "10.0.0.1".parse().expect("an address");
        let facts = Facts {
            principal,
            workspace,
            method: "GET",
            path: "/a/b",
            client,
        };
        authorize::<A>(&facts).map(|permit| assert!(Arc::ptr_eq(permit.principal(), principal)))
    }

    #[test]
    fn no_layer_is_no_authority() {
        let nobody = principal(Tier::OrgKey, Vec::new());
        assert!(decide::<WhoAmI>(&nobody, None).is_err());
        assert!(decide::<MintKey>(&nobody, None).is_err());
    }

    #[test]
    fn stranger_may_do_what_needs_no_credential_and_nothing_else() {
        let nobody = principal(Tier::Anonymous, Vec::new());
        assert_eq!(decide::<ReportFound>(&nobody, None), Ok(()));
        for denied in [
            decide::<WhoAmI>(&nobody, None),
            decide::<RevokeKey>(&nobody, None),
            decide::<MintKey>(&nobody, None),
            decide::<ManageOrgs>(&nobody, None),
            decide::<RevealSecrets>(&nobody, Some(7)),
        ] {
            assert_eq!(denied, Err(Denial::NoCredential));
        }
        // Whoever lost all authority is no stranger.
        let stripped = principal(Tier::OrgKey, Vec::new());
        assert!(decide::<ReportFound>(&stripped, None).is_err());
        // Whose session has ended is: it signs in again.
        let ended = principal(Tier::Session, Vec::new());
        assert_eq!(decide::<SignIn>(&ended, None), Ok(()));
        assert!(decide::<WhoAmI>(&ended, None).is_err());
        assert!(decide::<MintKey>(&ended, None).is_err());
    }

    #[test]
    fn permit_of_a_stranger_carries_no_authority() {
        let nobody = principal(Tier::Anonymous, Vec::new());
        let facts = Facts {
            principal: &nobody,
            workspace: None,
            method: "POST",
            path: "/a/b",
            client: "10.0.0.1".parse().expect("an address"),
        };
        let permit = authorize::<ReportFound>(&facts).expect("a permit");
        let workspace = WorkspaceFacts {
            id: WorkspaceId::from_u128(7),
            labels: None,
        };
        let narrow = Grant {
            workspaces: Workspaces::Ids(Vec::new()),
            ..Grant::workspace_token(WorkspaceId::from_u128(7))
        };
        assert!(!permit.reaches(workspace));
        assert!(!permit.has(Permission::TokensRevoke));
        assert!(!permit.reaches_endpoint("GET", "/a/b"));
        assert!(!permit.is_unbound());
        assert!(!permit.covers(&narrow));
        assert!(permit.field_beyond(&narrow).is_some());
    }

    #[test]
    fn presented_key_keeps_its_conditions_where_none_is_needed() {
        let far = Grant {
            ip_allow: vec!["192.0.2.0/24".parse().expect("a range")],
            ..Grant::admin()
        };
        let key = principal(Tier::OrgKey, vec![far]);
        assert_eq!(
            decide::<ReportFound>(&key, None),
            Err(Denial::OutsideAddresses)
        );
        let token = principal(
            Tier::WorkspaceToken,
            vec![Grant::workspace_token(WorkspaceId::from_u128(7))],
        );
        assert_eq!(decide::<ReportFound>(&token, None), Ok(()));
    }

    #[test]
    fn every_layer_must_allow() {
        let narrow = Grant {
            permissions: PermissionSet::preset("reader").expect("a preset"),
            ..Grant::admin()
        };
        let both = principal(Tier::OrgKey, vec![Grant::admin(), narrow]);
        assert_eq!(decide::<ListSecrets>(&both, Some(7)), Ok(()));
        let missing = Denial::MissingPermission(Permission::SecretsReveal);
        assert_eq!(decide::<RevealSecrets>(&both, Some(7)), Err(missing));
    }

    #[test]
    fn the_ceiling_of_the_policy_cuts_and_says_so() {
        let ceiling = Grant {
            permissions: PermissionSet::preset("reader").expect("a preset"),
            ip_allow: vec!["10.0.0.0/8".parse().expect("a range")],
            ..Grant::admin()
        };
        let under = |ceiling: Grant| {
            let free = principal(Tier::OrgKey, vec![Grant::admin()]);
            let authority = free.authority.clone().under(Some(Arc::new(ceiling)));
            Arc::new(Principal {
                authority,
                ..(*free).clone()
            })
        };
        let key = under(ceiling.clone());
        assert_eq!(decide::<ListSecrets>(&key, Some(7)), Ok(()));
        let missing = Denial::PolicyPermission(Permission::SecretsReveal);
        assert_eq!(decide::<RevealSecrets>(&key, Some(7)), Err(missing));
        let far = under(Grant {
            ip_allow: vec!["192.0.2.0/24".parse().expect("a range")],
            ..ceiling
        });
        assert_eq!(decide::<WhoAmI>(&far, None), Err(Denial::PolicyAddresses));
    }

    #[test]
    fn a_binding_limits_workspace_data_and_not_the_org() {
        let bound = Workspaces::Ids(vec![WorkspaceId::from_u128(7)]);
        let key = principal(
            Tier::OrgKey,
            vec![Grant {
                workspaces: bound,
                ..Grant::admin()
            }],
        );
        assert_eq!(decide::<ReadWorkspace>(&key, Some(7)), Ok(()));
        assert_eq!(
            decide::<ReadWorkspace>(&key, Some(8)),
            Err(Denial::OutsideWorkspaces)
        );
        assert_eq!(
            decide::<ReadWorkspace>(&key, None),
            Err(Denial::OutsideWorkspaces)
        );
        assert_eq!(decide::<MintKey>(&key, None), Ok(()));
    }

    #[test]
    fn endpoints_and_addresses_limit() {
        let elsewhere = Grant {
            endpoints: vec!["POST /a/b".parse().expect("an endpoint")],
            ..Grant::admin()
        };
        let key = principal(Tier::OrgKey, vec![elsewhere]);
        assert_eq!(decide::<MintKey>(&key, None), Err(Denial::OutsideEndpoints));
        assert_eq!(decide::<WhoAmI>(&key, None), Ok(()));
        let far = Grant {
            ip_allow: vec!["192.0.2.0/24".parse().expect("a range")],
            ..Grant::admin()
        };
        let key = principal(Tier::OrgKey, vec![far]);
        assert_eq!(decide::<WhoAmI>(&key, None), Err(Denial::OutsideAddresses));
    }

    #[test]
    fn a_workspace_token_reaches_what_lies_under_its_own_workspace() {
        let own = Grant::workspace_token(WorkspaceId::from_u128(7));
        let token = principal(Tier::WorkspaceToken, vec![own]);
        assert_eq!(decide::<RevealSecrets>(&token, Some(7)), Ok(()));
        for denied in [
            decide::<RevealSecrets>(&token, Some(8)),
            decide::<RevealSecrets>(&token, None),
            decide::<ReadWorkspace>(&token, Some(7)),
            decide::<WhoAmI>(&token, None),
            decide::<ManageOrgs>(&token, None),
        ] {
            assert_eq!(denied, Err(Denial::OutsideWorkspaceToken));
        }
    }

    #[test]
    fn orgs_are_for_the_admin_token_alone() {
        let grant = Arc::new(Grant::admin());
        let admin = Arc::new(authenticate::admin_token(
            OrgId::from_u128(1),
            Arc::clone(&grant),
        ));
        assert_eq!(decide::<ManageOrgs>(&admin, None), Ok(()));
        let first = Arc::new(authenticate::bootstrap(OrgId::from_u128(1), grant));
        assert_eq!(
            decide::<ManageOrgs>(&first, None),
            Err(Denial::AdminTokenOnly)
        );
        assert_eq!(decide::<MintKey>(&first, None), Ok(()));
    }
}
