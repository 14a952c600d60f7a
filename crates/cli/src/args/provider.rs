//! The flags of `serve` about where people sign in.

use clap::Args;

/// Where people sign in. The secrets are variables: `CLAVIGER_OIDC_CLIENT_SECRET` and `WORKOS_API_KEY`.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
#[command(next_help_heading = "Sign-in through an identity provider")]
pub(crate) struct ProviderFlags {
    /// The issuer of an OpenID Connect provider [env: CLAVIGER_OIDC_ISSUER]
    #[arg(long, value_name = "URL")]
    oidc_issuer: Option<String>,
    /// The id of Claviger there; the secret is CLAVIGER_OIDC_CLIENT_SECRET
    /// [env: CLAVIGER_OIDC_CLIENT_ID]
    #[arg(long, value_name = "ID")]
    oidc_client_id: Option<String>,
    /// The claim that names a person's org [env: CLAVIGER_OIDC_ORG_CLAIM]
    #[arg(long, value_name = "CLAIM")]
    oidc_org_claim: Option<String>,
    /// The claim that names a person's roles [env: CLAVIGER_OIDC_ROLE_CLAIM]
    #[arg(long, value_name = "CLAIM")]
    oidc_role_claim: Option<String>,
    /// The audience of access tokens, if not the client id [env: CLAVIGER_OIDC_AUDIENCE]
    #[arg(long, value_name = "AUDIENCE")]
    oidc_audience: Option<String>,
    /// What is asked for: `openid profile email` unless set [env: CLAVIGER_OIDC_SCOPES]
    #[arg(long, value_name = "SCOPES")]
    oidc_scopes: Option<String>,
    /// The client of a WorkOS environment; its secret is WORKOS_API_KEY [env: WORKOS_CLIENT_ID]
    #[arg(long, value_name = "ID")]
    workos_client_id: Option<String>,
    /// Where the API of WorkOS is, if it has a domain of its own [env: WORKOS_API_URL]
    #[arg(long, value_name = "URL")]
    workos_api_url: Option<String>,
    /// The issuers in tokens of WorkOS, with commas between, if not the usual ones
    /// [env: WORKOS_ISSUER]
    #[arg(long, value_name = "URLS")]
    workos_issuer: Option<String>,
    /// What the provider's roles come to, such as `ops=admin,*=reader` [env: CLAVIGER_ROLES]
    #[arg(long, value_name = "NAME=ROLE,...")]
    roles: Option<String>,
    /// What the provider's orgs come to, such as `org_01H=acme` [env: CLAVIGER_ORGS]
    #[arg(long, value_name = "ORG=ORG,...")]
    orgs: Option<String>,
}

impl ProviderFlags {
    /// For the server's configuration.
    pub(crate) fn flags(self) -> claviger_server::config::ProviderFlags {
        claviger_server::config::ProviderFlags {
            oidc_issuer: self.oidc_issuer,
            oidc_client_id: self.oidc_client_id,
            oidc_org_claim: self.oidc_org_claim,
            oidc_role_claim: self.oidc_role_claim,
            oidc_audience: self.oidc_audience,
            oidc_scopes: self.oidc_scopes,
            workos_client_id: self.workos_client_id,
            workos_api_url: self.workos_api_url,
            workos_issuer: self.workos_issuer,
            roles: self.roles,
            orgs: self.orgs,
        }
    }
}
