//! `WorkOS` `AuthKit`, in its own terms: the access token says who it is, and the refresh token
//! counts once.

use claviger_core::{
    claims::{ClaimError, Claims, WorkosToken, clean_email, clean_name},
    permission::{Permission, PermissionSet},
    text,
    time::Timestamp,
};
use futures_util::FutureExt as _;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{
    Begin, Finish, Here, Impersonator, LogoutUrl, Private, ProviderError, Refresh, Refusal,
    Verified, acting, challenge,
    token::{KeySet, Keys, Kind, Token},
    web::{Answer, Proof, Web},
};
use crate::config::WorkosConfig;

/// The longest reason of an impersonation that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;

pub(super) struct Workos {
    config: WorkosConfig,
    here: Here,
    web: Web,
    authorize: Url,
    authenticate: Url,
    logout: Url,
    keys: Keys,
}

/// What `authenticate` brings.
#[derive(Deserialize)]
struct Session {
    user: User,
    access_token: Private,
    refresh_token: Private,
    organization_id: Option<String>,
    impersonator: Option<Acting>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    email: Option<String>,
    email_verified: Option<bool>,
    first_name: Option<String>,
    last_name: Option<String>,
}

#[derive(Deserialize)]
struct Acting {
    email: String,
    reason: Option<String>,
}

/// Which request it is: what its refusal means.
#[derive(Clone, Copy)]
enum Grant {
    Code,
    Refresh,
}

impl Workos {
    pub(super) fn new(config: WorkosConfig, here: Here) -> Result<Self, ProviderError> {
        let web = Web::new(&config.api_url)?;
        let place = |path: &str| {
            let base = config.api_url.as_str().trim_end_matches('/');
            web.address(&format!("{base}/{path}"))
        };
        let (its_web, jwks) = (
            web.clone(),
            place(&format!("sso/jwks/{}", config.client_id))?,
        );
        let keys = Keys::new(move |_| {
            let (web, jwks) = (its_web.clone(), jwks.clone());
            async move {
                let answer = web.get(&jwks, Proof::None).await?;
                KeySet::parse(answer.bytes()?).map_err(ProviderError::unfit)
            }
            .boxed()
        });
        Ok(Self {
            authorize: place("user_management/authorize")?,
            authenticate: place("user_management/authenticate")?,
            logout: place("user_management/sessions/logout")?,
            config,
            here,
            web,
            keys,
        })
    }

    pub(super) fn issuer(&self) -> &str {
        self.config.api_url.as_str().trim_end_matches('/')
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.here.redirect_uri
    }

    pub(super) fn begin(&self, begin: &Begin<'_>) -> Result<Url, ProviderError> {
        let mut url = self.authorize.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.here.redirect_uri)
            .append_pair("provider", "authkit")
            .append_pair("state", begin.state)
            .append_pair("code_challenge", &challenge(begin.verifier))
            .append_pair("code_challenge_method", "S256");
        if let Some(org) = begin.org {
            url.query_pairs_mut().append_pair("organization_id", org);
        }
        Ok(url)
    }

    /// There is no nonce at `WorkOS`: that the code belongs to this browser is what the verifier
    /// proves.
    pub(super) async fn finish(&self, finish: &Finish<'_>) -> Result<Verified, ProviderError> {
        let body = json!({
            "grant_type": "authorization_code",
            "client_id": self.config.client_id,
            "client_secret": self.config.api_key.as_str(),
            "code": finish.code,
            "code_verifier": finish.verifier,
        });
        let answer = self.web.post_json(&self.authenticate, &body).await?;
        self.session(session(&answer, Grant::Code)?, finish.now)
            .await
    }

    pub(super) async fn refresh(&self, refresh: &Refresh<'_>) -> Result<Verified, ProviderError> {
        let body = json!({
            "grant_type": "refresh_token",
            "client_id": self.config.client_id,
            "client_secret": self.config.api_key.as_str(),
            "refresh_token": refresh.token.expose(),
        });
        let answer = self.web.post_json(&self.authenticate, &body).await?;
        let session = session(&answer, Grant::Refresh)?;
        if session.user.id != refresh.subject {
            return Err(Refusal::OtherPerson.into());
        }
        self.session(session, refresh.now).await
    }

    pub(super) async fn verify_access_token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Verified, ProviderError> {
        let token = Token::parse(text, Kind::Access)?;
        let claims = self.keys.verify(&token, now).await?;
        let rules = WorkosToken {
            issuers: &self.config.issuers,
            client_id: &self.config.client_id,
            now,
        };
        let end = rules.check(&claims).map_err(Refusal::from)?;
        Ok(self.person(&claims, end)?)
    }

    pub(super) fn logout_url(&self, logout: &LogoutUrl<'_>) -> Result<Option<Url>, ProviderError> {
        let Some(session) = logout.provider_session else {
            return Ok(None);
        };
        let mut url = self.logout.clone();
        url.query_pairs_mut()
            .append_pair("session_id", session)
            .append_pair("return_to", logout.return_to);
        Ok(Some(url))
    }

    pub(super) async fn probe(&self, now: Timestamp) -> Result<(), ProviderError> {
        self.keys.probe(now).await
    }

    /// The person of an answer: what the token says, and what stands beside it.
    async fn session(&self, session: Session, now: Timestamp) -> Result<Verified, ProviderError> {
        let text = session.access_token.expose();
        let person = self.verify_access_token(text, now).await?;
        if person.subject != session.user.id {
            return Err(Refusal::OtherPerson.into());
        }
        let beside = session.organization_id.map(|org| self.here.org(org));
        if beside.is_some_and(|org| org != person.org) {
            return Err(Refusal::from(ClaimError::Org).into());
        }
        let user = session.user;
        let names = [user.first_name, user.last_name].into_iter().flatten();
        let email = user.email.filter(|_| user.email_verified != Some(false));
        Ok(Verified {
            email: email.and_then(|email| clean_email(&email)),
            name: clean_name(&names.collect::<Vec<_>>().join(" ")),
            impersonator: session
                .impersonator
                .map(impersonator)
                .or(person.impersonator),
            refresh_token: Some(session.refresh_token),
            ..person
        })
    }

    fn person(&self, claims: &Claims, expires_at: Timestamp) -> Result<Verified, Refusal> {
        let names = [claims.texts("role"), claims.texts("roles")].concat();
        let (role, role_name) = self.here.role(&names);
        let permissions = claims.texts("permissions");
        // Names alone: what somebody calls `*` at WorkOS is not everything here.
        let known = permissions
            .iter()
            .filter_map(|name| name.parse::<Permission>().ok());
        Ok(Verified {
            subject: claims.subject()?.to_owned(),
            issuer: self.issuer().to_owned(),
            org: self.here.org(claims.org("org_id")?),
            email: claims.email(),
            name: claims.name(),
            role,
            role_name,
            permissions: PermissionSet::of(&known.collect::<Vec<_>>()),
            provider_session: claims.id("sid")?.map(str::to_owned),
            impersonator: acting(claims)?,
            refresh_token: None,
            id_token: None,
            issued_at: claims.issued_at(),
            expires_at,
        })
    }
}

fn impersonator(acting: Acting) -> Impersonator {
    Impersonator {
        who: clean_name(&acting.email).unwrap_or_else(|| "somebody".to_owned()),
        reason: acting
            .reason
            .and_then(|reason| text::clean(&reason, REASON_CHARS_MAX)),
    }
}

fn session(answer: &Answer, grant: Grant) -> Result<Session, ProviderError> {
    if answer.status.is_success() {
        return answer.json();
    }
    let word = answer.error_word();
    match (word.as_deref(), grant) {
        (Some("invalid_grant"), Grant::Code) => Err(Refusal::Code.into()),
        (Some("invalid_client" | "unauthorized_client" | "invalid_client_id"), _) | (None, _) => {
            Err(unfit(answer, word.as_deref()))
        }
        (Some(_), _) if answer.status == StatusCode::UNAUTHORIZED => {
            Err(unfit(answer, word.as_deref()))
        }
        // Left the organization, removed, signed out elsewhere: whatever the word, there is no
        // session any more.
        (Some(_), Grant::Refresh) => Err(Refusal::Ended.into()),
        (Some(word), Grant::Code) => Err(Refusal::Step(word.to_owned()).into()),
    }
}

fn unfit(answer: &Answer, word: Option<&str>) -> ProviderError {
    let word = word.unwrap_or("no word");
    let cause = format!("`authenticate` is answered {} with {word}", answer.status);
    ProviderError::unfit(cause)
}
