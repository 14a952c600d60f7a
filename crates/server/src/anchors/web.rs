//! Requests to those who take checkpoints: short, bounded, never redirected.

use std::time::Duration;

use claviger_core::ledger::anchor::Anchor;
use http::{HeaderValue, Method, StatusCode, header};
use url::Url;
use zeroize::Zeroizing;

use super::Trouble;
use crate::config::{WebhookConfig, is_loopback};

/// How long a request may take, from the first byte of it to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Speaks to one host.
#[derive(Debug)]
pub(super) struct Web {
    client: reqwest::Client,
    url: Url,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media_type: String,
    pub(super) body: String,
}

impl Web {
    pub(super) fn new(url: Url) -> Result<Self, String> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("claviger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT);
        let is_near = is_loopback(&url);
        let builder = if is_near { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(reason)?;
        Ok(Self { client, url })
    }

    /// Sends a body.
    pub(super) async fn post(
        &self,
        (media_type, body): (&'static str, String),
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, String> {
        let request = self.client.request(Method::POST, self.url.clone());
        let request = request.header(header::CONTENT_TYPE, media_type).body(body);
        let request = match authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        };
        let mut response = request.send().await.map_err(reason)?;
        let status = response.status();
        let media_type = response.headers().get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(reason)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!(
                    "the answer is larger than {ANSWER_BYTES_MAX} bytes"
                ));
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer {
            status,
            media_type,
            body,
        })
    }

    /// Whether anybody answers there, whatever it is.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let request = self.client.request(Method::HEAD, self.url.clone());
        request.send().await.map(drop).map_err(reason)
    }
}

/// The innermost reason: the outer ones only say that a request failed, and name its address, which may
/// hold what is not for a log.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A program of the operator's that takes anchors.
#[derive(Debug)]
pub(super) struct Webhook {
    web: Web,
    secret: Secret,
}

/// Proves that a request comes from us. It is not for a log.
struct Secret(Option<Zeroizing<String>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, String> {
        let web = Web::new(config.url.clone())?;
        let secret = Secret(config.secret.clone());
        Ok(Self { web, secret })
    }

    /// Whether anybody answers there.
    pub(super) async fn probe(&self) -> Result<(), String> {
        self.web.probe().await
    }

    /// Sends an anchor.
    pub(super) async fn take(&self, anchor: &Anchor) -> Result<(), Trouble> {
        let body = ("application/json", anchor.to_json());
        let secret = self.secret.0.as_ref().and_then(|secret| {
            let text = Zeroizing::new(format!("Bearer {}", secret.as_str()));
            let mut value = HeaderValue::from_str(&text).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let answer = self.web.post(body, secret).await.map_err(Trouble::Outage)?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(Trouble::Ahead { size: None }),
            status => Err(Trouble::Outage(format!("the answer is {status}"))),
        }
    }
}
