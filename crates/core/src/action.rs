//! Actions: what an operation needs before it may run, as types and as data.
//!
//! Every operation asks for the [`crate::authorize::Permit`] of its own action, so the table below
//! is the whole access policy of the service.

use crate::permission::Permission;

/// What a principal needs for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Any principal of the org; always allowed to a key.
    Anyone,
    /// The same; and of a session no condition of a grant either, for it only gives up what it has.
    GivingUp,
    /// A permission.
    Permission(Permission),
    /// `ADMIN_TOKEN` and nothing else.
    AdminToken,
    /// No credential: what the request carries is proof enough. One that is presented must be good
    /// all the same.
    NoCredential,
}

/// What an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The org: a workspace binding does not limit it.
    Org,
    /// The workspaces of the org: the answer is cut to those within the binding.
    Workspaces,
    /// One workspace itself.
    Workspace,
    /// What lies under one workspace: the only thing that a tier 3 token reaches.
    InWorkspace,
}

/// One thing that can be done. Implemented by the marker types of this module alone.
pub trait Action: private::Sealed + Send + Sync + 'static {
    /// The name in records and errors.
    const NAME: &'static str;
    /// What it needs.
    const NEEDS: Needs;
    /// What it is about.
    const SCOPE: Scope;
}

mod private {
    /// Keeps the table complete: no action is declared elsewhere.
    pub trait Sealed {}
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident: $needs:expr, $scope:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $action;
        impl private::Sealed for $action {}
        impl Action for $action {
            const NAME: &'static str = stringify!($action);
            const NEEDS: Needs = $needs;
            const SCOPE: Scope = Scope::$scope;
        }
    )*};
}

actions! {
    /// See one's own principal.
    WhoAmI: Needs::Anyone, Org;
    /// List and get keys.
    ReadKeys: Needs::Permission(Permission::TokensRead), Org;
    /// Mint a key.
    MintKey: Needs::Permission(Permission::TokensMint), Org;
    /// Change a key's name or metadata, or narrow it.
    ChangeKey: Needs::Permission(Permission::TokensMint), Org;
    /// Give a key another secret; a key may always rotate itself, which the operation decides.
    RotateKey: Needs::Anyone, Org;
    /// Suspend a key.
    SuspendKey: Needs::Permission(Permission::TokensRevoke), Org;
    /// Resume a suspended key.
    ResumeKey: Needs::Permission(Permission::TokensMint), Org;
    /// Revoke a key; a key may always revoke itself, which the operation decides.
    RevokeKey: Needs::Anyone, Org;
    /// Read the org's policy.
    ReadPolicy: Needs::Permission(Permission::TokensRead), Org;
    /// Set the org's policy.
    WritePolicy: Needs::Permission(Permission::OrgAdmin), Org;
    /// Ask for a key.
    AskForKey: Needs::Anyone, Org;
    /// List and get requests for keys; one's own, or with `org:admin` those of the org, which the
    /// operation decides.
    ReadRequests: Needs::Anyone, Org;
    /// Approve or deny a request for a key.
    DecideRequest: Needs::Permission(Permission::OrgAdmin), Org;
    /// Take one's own request for a key back.
    WithdrawRequest: Needs::Anyone, Org;
    /// Mint the key of one's own approved request.
    CollectKey: Needs::Anyone, Org;
    /// List and get workspaces.
    ListWorkspaces: Needs::Permission(Permission::WorkspacesRead), Workspaces;
    /// Create a workspace.
    CreateWorkspace: Needs::Permission(Permission::WorkspacesWrite), Workspaces;
    /// Get one workspace.
    ReadWorkspace: Needs::Permission(Permission::WorkspacesRead), Workspace;
    /// Change name or labels of a workspace.
    ChangeWorkspace: Needs::Permission(Permission::WorkspacesWrite), Workspace;
    /// Delete a workspace.
    DeleteWorkspace: Needs::Permission(Permission::WorkspacesDelete), Workspace;
    /// List and get channels.
    ReadChannels: Needs::Permission(Permission::ChannelsRead), InWorkspace;
    /// Create, change and delete channels.
    WriteChannels: Needs::Permission(Permission::ChannelsWrite), InWorkspace;
    /// List the names of secrets.
    ListSecrets: Needs::Permission(Permission::SecretsRead), InWorkspace;
    /// Set and delete secrets.
    WriteSecrets: Needs::Permission(Permission::SecretsWrite), InWorkspace;
    /// Read the values of secrets.
    RevealSecrets: Needs::Permission(Permission::SecretsReveal), InWorkspace;
    /// Manage the deprecated tokens of a workspace.
    ManageWorkspaceTokens: Needs::Permission(Permission::OrgAdmin), Workspace;
    /// Read the audit trail.
    ReadAudit: Needs::Permission(Permission::AuditRead), Org;
    /// Create, list and delete orgs.
    ManageOrgs: Needs::AdminToken, Org;
    /// Report secrets that were found: whoever holds a whole secret may have it ended.
    ReportFound: Needs::NoCredential, Org;
    /// See one's own account and sessions.
    UseAccount: Needs::Anyone, Org;
    /// Sign out, here or elsewhere.
    SignOut: Needs::GivingUp, Org;
    /// Make a link with which somebody signs in.
    MakeLoginLink: Needs::Permission(Permission::OrgAdmin), Org;
    /// List people.
    ReadPeople: Needs::Permission(Permission::OrgAdmin), Org;
    /// Suspend, restore and remove people, and end their sessions.
    ManagePeople: Needs::Permission(Permission::OrgAdmin), Org;
    /// Sign in, or out: whoever has no session yet must reach it.
    SignIn: Needs::NoCredential, Org;
    /// A path or method that no route serves: proved or not, it is recorded and refused.
    Nothing: Needs::Anyone, Org;
}
