//! Requests to the provider: short, bounded, never redirected, over TLS but on this machine.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{Private, ProviderError};
use crate::config::is_loopback;

/// How long a request may take, from the first byte of it to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How large an answer may be.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The longest word of an error that is looked at, in bytes.
const ERROR_WORD_BYTES_MAX: usize = 64;

/// Speaks to one provider.
#[derive(Clone)]
pub(super) struct Web {
    client: reqwest::Client,
    is_near: bool,
}

/// How a request proves that it is ours.
pub(super) enum Proof<'a> {
    /// Not at all, or by what its body says.
    None,
    /// An id and a secret in the header (RFC 6749, 2.3.1).
    Basic(&'a str, &'a str),
    /// A token.
    Bearer(&'a Private),
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

impl Web {
    /// For a provider at this address.
    pub(super) fn new(provider: &Url) -> Result<Self, ProviderError> {
        let is_near = is_loopback(provider);
        let builder = reqwest::Client::builder()
            .user_agent(concat!("claviger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .https_only(!is_near);
        let builder = if is_near { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(ProviderError::unfit)?;
        Ok(Self { client, is_near })
    }

    /// An address that the provider names: https, unless the provider itself is on this machine.
    pub(super) fn address(&self, text: &str) -> Result<Url, ProviderError> {
        let url = Url::parse(text).map_err(ProviderError::unfit)?;
        if url.scheme() == "https" || (self.is_near && is_loopback(&url)) {
            return Ok(url);
        }
        let cause = format!("the provider names `{url}`, which is not https");
        Err(ProviderError::unfit(cause))
    }

    /// Fetches.
    pub(super) async fn get(&self, url: &Url, proof: Proof<'_>) -> Result<Answer, ProviderError> {
        let request = self.client.request(Method::GET, url.clone());
        send(prove(request, &proof)).await
    }

    /// Sends a form.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        proof: Proof<'_>,
        fields: &[(&str, &str)],
    ) -> Result<Answer, ProviderError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let kind = "application/x-www-form-urlencoded";
        let request = self.client.request(Method::POST, url.clone());
        let request = request.header(header::CONTENT_TYPE, kind).body(form);
        send(prove(request, &proof)).await
    }

    /// Sends JSON.
    pub(super) async fn post_json(
        &self,
        url: &Url,
        body: &serde_json::Value,
    ) -> Result<Answer, ProviderError> {
        send(self.client.request(Method::POST, url.clone()).json(body)).await
    }
}

fn prove(request: reqwest::RequestBuilder, proof: &Proof<'_>) -> reqwest::RequestBuilder {
    let value = match proof {
        Proof::None => return request,
        Proof::Basic(id, secret) => {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let parts: [String; 2] = [encoded(id), encoded(secret)];
            Zeroizing::new(format!("Basic {}", STANDARD.encode(parts.join(":"))))
        }
        Proof::Bearer(token) => Zeroizing::new(format!("Bearer {}", token.expose())),
    };
    match http::HeaderValue::from_str(&value) {
        Ok(mut header) => {
            header.set_sensitive(true);
            request.header(header::AUTHORIZATION, header)
        }
        // A token that cannot stand in a header proves nothing, and the answer says so.
        Err(_) => request,
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<Answer, ProviderError> {
    let request = request.header(header::ACCEPT, "application/json");
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let cause = format!("an answer is larger than {ANSWER_BYTES_MAX} bytes");
            return Err(ProviderError::unfit(cause));
        }
        body.extend_from_slice(&chunk);
    }
    let is_passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    if is_passing {
        return Err(ProviderError::unreachable(format!(
            "the answer is {status}"
        )));
    }
    Ok(Answer { status, body })
}

/// The innermost reason: the outer ones only say that a request failed, and name its address, which
/// may hold what is not for a log.
fn unreachable(error: reqwest::Error) -> ProviderError {
    let error = error.without_url();
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    ProviderError::unreachable(inner)
}

impl Answer {
    /// The JSON of a 200.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        if self.status != StatusCode::OK {
            return Err(ProviderError::unfit(format!(
                "the answer is {}",
                self.status
            )));
        }
        // Where in the answer, and not what: it may hold a secret.
        serde_json::from_slice(&self.body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            ProviderError::unfit(format!("the answer is not as it should be at {place}"))
        })
    }

    /// The bytes of a 200.
    pub(super) fn bytes(&self) -> Result<&[u8], ProviderError> {
        if self.status != StatusCode::OK {
            return Err(ProviderError::unfit(format!(
                "the answer is {}",
                self.status
            )));
        }
        Ok(&self.body)
    }

    /// The word that says what is wrong: `error` (RFC 6749, 5.2), or `code`, which `WorkOS` uses.
    /// Nothing else of it is kept: a description may quote a secret.
    pub(super) fn error_word(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let word = ["error", "code"]
            .iter()
            .find_map(|name| value.get(name)?.as_str())?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_word = word.len() <= ERROR_WORD_BYTES_MAX && word.bytes().all(is_plain);
        is_word.then(|| word.to_owned())
    }
}
