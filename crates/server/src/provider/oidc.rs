//! Any `OpenID` Connect provider: discovery, the code flow with PKCE, `userinfo`, logout.

use std::{sync::Arc, time::Duration};

use claviger_core::{
    claims::{AccessToken, ClaimError, Claims, IdToken, Logout, LogoutToken},
    permission::PermissionSet,
    time::Timestamp,
};
use futures_util::FutureExt as _;
use serde::Deserialize;
use url::Url;

use super::{
    Begin, Finish, Here, LogoutUrl, Private, ProviderError, Refresh, Refusal, Verified, acting,
    challenge,
    kept::Kept,
    same_person,
    token::{KeySet, Keys, Kind, Token},
    web::{Answer, Proof, Web},
};
use crate::config::OidcConfig;

/// The org of everybody where no claim names one.
const DEFAULT_ORG: &str = "default";
/// For how long the provider's description is taken for that of today.
const DESCRIPTION_FRESH_FOR: Duration = Duration::from_hours(1);
/// How often it is fetched at most: people who cannot sign in try again.
const DESCRIPTION_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Oidc {
    config: OidcConfig,
    here: Here,
    web: Web,
    description: Arc<Kept<Description>>,
    keys: Keys,
}

/// What the provider says of itself (`OpenID` Connect Discovery 1.0).
struct Description {
    authorization: Url,
    token: Url,
    keys: Url,
    userinfo: Option<Url>,
    end_session: Option<Url>,
    /// Whether our secret goes into the header of a request.
    takes_basic: bool,
    /// Whether the browser must bring `iss` (RFC 9207).
    names_itself: bool,
}

#[derive(Deserialize)]
struct Published {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What a token request brings.
#[derive(Deserialize)]
struct Tokens {
    access_token: Private,
    id_token: Option<Private>,
    refresh_token: Option<Private>,
    /// For how many seconds the access token lives.
    #[serde(default)]
    expires_in: Option<u64>,
}

/// For how long a word of `userinfo` holds where the provider does not say.
const WORD_LASTS: Duration = Duration::from_mins(5);
/// For how long it holds at most.
const WORD_LASTS_MAX: Duration = Duration::from_hours(1);

/// Which request for tokens it is: what its refusal means.
#[derive(Clone, Copy)]
enum Grant {
    Code,
    Refresh,
}

impl Oidc {
    pub(super) fn new(config: OidcConfig, here: Here) -> Result<Self, ProviderError> {
        let web = Web::new(&config.issuer)?;
        let (its_web, issuer) = (web.clone(), config.issuer_text.clone());
        let description = Kept::new(DESCRIPTION_FRESH_FOR, DESCRIPTION_PAUSE, move |_| {
            let (web, issuer) = (its_web.clone(), issuer.clone());
            async move { describe(&web, &issuer).await }.boxed()
        });
        let (its_web, place) = (web.clone(), Arc::clone(&description));
        let keys = Keys::new(move |now| {
            let (web, place) = (its_web.clone(), Arc::clone(&place));
            async move {
                let answer = web.get(&place.get(now).await?.keys, Proof::None).await?;
                KeySet::parse(answer.bytes()?).map_err(ProviderError::unfit)
            }
            .boxed()
        });
        Ok(Self {
            config,
            here,
            web,
            description,
            keys,
        })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.config.issuer_text
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.here.redirect_uri
    }

    pub(super) async fn begin(&self, begin: &Begin<'_>) -> Result<Url, ProviderError> {
        let description = self.description.get(begin.now).await?;
        let mut url = description.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.here.redirect_uri)
            .append_pair("scope", &self.config.scopes)
            .append_pair("state", begin.state)
            .append_pair("nonce", begin.nonce)
            .append_pair("code_challenge", &challenge(begin.verifier))
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    pub(super) async fn finish(&self, finish: &Finish<'_>) -> Result<Verified, ProviderError> {
        let description = self.description.get(finish.now).await?;
        let is_own = |issuer: &str| issuer == self.config.issuer_text;
        if !finish.issuer.map_or(!description.names_itself, is_own) {
            return Err(Refusal::from(ClaimError::Issuer).into());
        }
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", finish.code),
            ("redirect_uri", self.here.redirect_uri.as_str()),
            ("code_verifier", finish.verifier),
        ];
        let answer = self.ask_for_tokens(&description, &fields).await?;
        let tokens = tokens(&answer, Grant::Code)?;
        let Some(id_token) = &tokens.id_token else {
            return Err(ProviderError::unfit("there is no `id_token` in the answer"));
        };
        let token = Token::parse(id_token.expose(), Kind::Id)?;
        let claims = self.keys.verify(&token, finish.now).await?;
        let rules = IdToken {
            issuer: &self.config.issuer_text,
            client_id: &self.config.client_id,
            nonce: Some(finish.nonce),
            now: finish.now,
        };
        let end = rules.check(&claims).map_err(Refusal::from)?;
        let came_along = [
            ("at_hash", tokens.access_token.expose()),
            ("c_hash", finish.code),
        ];
        for (name, text) in came_along {
            if claims.find(name).is_some() && claims.text(name) != Some(&token.half_hash(text)) {
                return Err(Refusal::from(ClaimError::Hash).into());
            }
        }
        let claims = self
            .complete(&description, claims, &tokens.access_token)
            .await?;
        Ok(Verified {
            id_token: tokens.id_token,
            refresh_token: tokens.refresh_token,
            ..self.person(&claims, end)?
        })
    }

    pub(super) async fn refresh(&self, refresh: &Refresh<'_>) -> Result<Verified, ProviderError> {
        let description = self.description.get(refresh.now).await?;
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.token.expose()),
        ];
        let answer = self.ask_for_tokens(&description, &fields).await?;
        let tokens = tokens(&answer, Grant::Refresh)?;
        // A refresh need not bring an ID token; then `userinfo` says who it is.
        let (claims, end) = match &tokens.id_token {
            Some(id_token) => {
                let token = Token::parse(id_token.expose(), Kind::Id)?;
                let claims = self.keys.verify(&token, refresh.now).await?;
                let rules = IdToken {
                    issuer: &self.config.issuer_text,
                    client_id: &self.config.client_id,
                    nonce: None,
                    now: refresh.now,
                };
                let end = rules.check(&claims).map_err(Refusal::from)?;
                (claims, end)
            }
            None => {
                let Some(place) = &description.userinfo else {
                    let cause = "a refresh brings no `id_token`, and there is no `userinfo`";
                    return Err(ProviderError::unfit(cause));
                };
                let claims = self.userinfo(place, &tokens.access_token).await?;
                let lasts = tokens.expires_in.map(Duration::from_secs);
                let lasts = lasts.unwrap_or(WORD_LASTS).min(WORD_LASTS_MAX);
                (claims, refresh.now.plus(lasts))
            }
        };
        same_person(&claims, refresh.subject)?;
        let claims = self
            .complete(&description, claims, &tokens.access_token)
            .await?;
        Ok(Verified {
            id_token: tokens.id_token,
            refresh_token: tokens.refresh_token.or_else(|| Some(refresh.token.clone())),
            ..self.person(&claims, end)?
        })
    }

    pub(super) async fn verify_access_token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Verified, ProviderError> {
        let token = Token::parse(text, Kind::Access)?;
        let claims = self.keys.verify(&token, now).await?;
        let own = &self.config.client_id;
        let audience = self.config.audience.as_ref();
        let rules = AccessToken {
            issuer: &self.config.issuer_text,
            audience: audience.unwrap_or(own),
            client_id: audience.is_none().then_some(own),
            now,
        };
        let end = rules.check(&claims).map_err(Refusal::from)?;
        let mut person = self.person(&claims, end)?;
        if person.role_name.is_none() {
            // It says nothing of roles, so nothing is made of that.
            person.role = None;
        }
        Ok(person)
    }

    pub(super) async fn verify_logout_token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Logout, ProviderError> {
        let token = Token::parse(text, Kind::Logout)?;
        let claims = self.keys.verify(&token, now).await?;
        let rules = LogoutToken {
            issuer: &self.config.issuer_text,
            client_id: &self.config.client_id,
            now,
        };
        Ok(rules.check(&claims).map_err(Refusal::from)?)
    }

    pub(super) async fn logout_url(
        &self,
        logout: &LogoutUrl<'_>,
    ) -> Result<Option<Url>, ProviderError> {
        let description = self.description.get(logout.now).await?;
        let Some(mut url) = description.end_session.clone() else {
            return Ok(None);
        };
        url.query_pairs_mut()
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", logout.return_to);
        if let Some(id_token) = logout.id_token {
            url.query_pairs_mut()
                .append_pair("id_token_hint", id_token.expose());
        }
        Ok(Some(url))
    }

    pub(super) async fn probe(&self, now: Timestamp) -> Result<(), ProviderError> {
        self.keys.probe(now).await
    }

    async fn ask_for_tokens(
        &self,
        description: &Description,
        fields: &[(&str, &str)],
    ) -> Result<Answer, ProviderError> {
        let id = self.config.client_id.as_str();
        let mut fields = fields.to_vec();
        let proof = match &self.config.client_secret {
            Some(secret) if description.takes_basic => Proof::Basic(id, secret),
            Some(secret) => {
                fields.extend([("client_id", id), ("client_secret", secret.as_str())]);
                Proof::None
            }
            None => {
                fields.push(("client_id", id));
                Proof::None
            }
        };
        self.web.post_form(&description.token, proof, &fields).await
    }

    /// Adds what only `userinfo` says. Where a provider gives an access token, it need not repeat in
    /// the ID token what the scopes ask for (`OpenID` Connect Core, 5.4).
    async fn complete(
        &self,
        description: &Description,
        claims: Claims,
        access_token: &Private,
    ) -> Result<Claims, ProviderError> {
        let wanted = [
            self.config.org_claim.as_deref(),
            self.config.role_claim.as_deref(),
            Some("email"),
        ];
        let is_whole = wanted
            .into_iter()
            .flatten()
            .all(|name| claims.find(name).is_some());
        let Some(place) = description.userinfo.as_ref().filter(|_| !is_whole) else {
            return Ok(claims);
        };
        let more = self.userinfo(place, access_token).await?;
        same_person(&more, claims.subject().map_err(Refusal::from)?)?;
        Ok(claims.or(more))
    }

    async fn userinfo(&self, place: &Url, token: &Private) -> Result<Claims, ProviderError> {
        let answer = self.web.get(place, Proof::Bearer(token)).await?;
        Claims::parse(answer.bytes()?).map_err(|_not_json| {
            ProviderError::unfit("`userinfo` answers no JSON: a signed answer is not supported")
        })
    }

    fn person(&self, claims: &Claims, expires_at: Timestamp) -> Result<Verified, Refusal> {
        let org = match &self.config.org_claim {
            Some(name) => self.here.org(claims.org(name)?),
            None => DEFAULT_ORG.to_owned(),
        };
        let names = self.config.role_claim.as_ref();
        let names = names.map_or_else(Vec::new, |name| claims.texts(name));
        let (role, role_name) = self.here.role(&names);
        Ok(Verified {
            subject: claims.subject()?.to_owned(),
            issuer: self.config.issuer_text.clone(),
            org,
            email: claims.email(),
            name: claims.name(),
            role,
            role_name,
            permissions: PermissionSet::NONE,
            provider_session: claims.id("sid")?.map(str::to_owned),
            impersonator: acting(claims)?,
            refresh_token: None,
            id_token: None,
            issued_at: claims.issued_at(),
            expires_at,
        })
    }
}

async fn describe(web: &Web, issuer: &str) -> Result<Description, ProviderError> {
    let bare = issuer.strip_suffix('/').unwrap_or(issuer);
    let place = web.address(&format!("{bare}/.well-known/openid-configuration"))?;
    let published: Published = web.get(&place, Proof::None).await?.json()?;
    if published.issuer != issuer {
        let cause = format!(
            "the provider at {place} calls itself `{}`: set `oidc-issuer` to that, to the letter",
            published.issuer
        );
        return Err(ProviderError::unfit(cause));
    }
    let address = |text: &str| web.address(text);
    let maybe = |text: Option<String>| text.as_deref().map(address).transpose();
    let methods = published.token_endpoint_auth_methods_supported;
    Ok(Description {
        authorization: address(&published.authorization_endpoint)?,
        token: address(&published.token_endpoint)?,
        keys: address(&published.jwks_uri)?,
        userinfo: maybe(published.userinfo_endpoint)?,
        end_session: maybe(published.end_session_endpoint)?,
        takes_basic: methods.is_none_or(|all| all.iter().any(|one| one == "client_secret_basic")),
        names_itself: published.authorization_response_iss_parameter_supported,
    })
}

fn tokens(answer: &Answer, grant: Grant) -> Result<Tokens, ProviderError> {
    let word = answer.error_word();
    match (answer.status.is_success(), word.as_deref(), grant) {
        (true, ..) => answer.json(),
        (false, Some("invalid_grant"), Grant::Code) => Err(Refusal::Code.into()),
        (false, Some("invalid_grant"), Grant::Refresh) => Err(Refusal::Ended.into()),
        (false, word, _) => {
            let word = word.unwrap_or("no word");
            let cause = format!(
                "the token request is answered {} with {word}",
                answer.status
            );
            Err(ProviderError::unfit(cause))
        }
    }
}
