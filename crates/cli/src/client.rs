//! The API, one method per operation, over the shapes of `claviger_wire`.
//!
//! A token travels to one host only: redirects are not followed.

use std::{error::Error, net::IpAddr, path::Path, time::Duration};

use claviger_server::config::client_env;
use claviger_wire::{headers, problem::Problem};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{args::Global, error::Failure, error::Refusal, input, output::Output};

mod follow;
mod found;
mod incoming;
mod log;
mod operations;
mod pages;
mod people;
mod requests;

pub(crate) use incoming::Incoming;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const CONNECT_SECONDS_MAX: u64 = 5;
const ANSWER_SECONDS_MAX: u64 = 30;
/// More than any answer in JSON has: the longest lists every key of an org.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How much of an answer that is no success is read.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// A query: names and values, in order.
pub(crate) type Query = Vec<(&'static str, String)>;

/// Speaks to one server as one caller.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    has_token: bool,
}

impl Client {
    /// A client as flags and environment say. Nothing is sent yet.
    pub(crate) fn new(global: &Global, out: &Output) -> Result<Self, Failure> {
        let env = client_env();
        let written = global.url.clone().or(env.url);
        let base = parse_base(written.as_deref().unwrap_or(DEFAULT_URL)).map_err(Failure::Usage)?;
        let token = match &global.token_file {
            Some(path) => Some(read_token(path)?),
            None => env.token.filter(|token| !token.is_empty()),
        };
        if base.scheme() == "http" && !is_loopback(&base) {
            out.warning(&format!(
                "{base} is plain http: others on the way can read the token"
            ));
        }
        let mut fixed = HeaderMap::new();
        if let Some(token) = token {
            fixed.insert(header::AUTHORIZATION, bearer(&token)?);
        }
        if let Some(org) = global.org.clone().or(env.org).filter(|org| !org.is_empty()) {
            let org = HeaderValue::from_str(&org)
                .map_err(|error| Failure::Usage(format!("--org: {error}")))?;
            fixed.insert(headers::X_ORG_ID, org);
        }
        Self::with(base, fixed)
    }

    /// The same server, asked by nobody.
    pub(crate) fn without_credential(&self) -> Result<Self, Failure> {
        Self::with(self.base.clone(), HeaderMap::new())
    }

    /// Whether nobody on the way can read what is sent.
    pub(crate) fn is_private(&self) -> bool {
        self.base.scheme() == "https" || is_loopback(&self.base)
    }

    /// A client with these headers on every request.
    fn with(base: Url, fixed: HeaderMap) -> Result<Self, Failure> {
        let (is_local, has_token) = (
            is_loopback(&base),
            fixed.contains_key(header::AUTHORIZATION),
        );
        let builder = reqwest::Client::builder()
            .user_agent(concat!("claviger/", env!("CARGO_PKG_VERSION")))
            .default_headers(fixed)
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .read_timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        // A proxy cannot reach what is on this machine.
        let builder = if is_local {
            builder.no_proxy()
        } else {
            builder
        };
        let http = builder.build().map_err(|error| {
            Failure::Local(format!("cannot prepare for https: {}", root_cause(&error)))
        })?;
        Ok(Self {
            http,
            base,
            has_token,
        })
    }

    /// The server, as a person would write it.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether requests carry a credential.
    pub(crate) const fn has_token(&self) -> bool {
        self.has_token
    }

    fn request(&self, method: Method, path: &[&str], query: &Query) -> RequestBuilder {
        let mut url = self.base.clone();
        // Only an address without a host has no segments, and `parse_base` refuses those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &Query) -> Result<T, Failure> {
        self.typed(self.request(Method::GET, path, query)).await
    }

    async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query,
    ) -> Result<T, Failure> {
        self.typed(self.request(Method::DELETE, path, query)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.typed(self.request(method, path, &Query::new()).json(body))
            .await
    }

    /// Sends, and reads the answer as what it must be.
    async fn typed<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let request = request.timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        let response = self.answered(request).await?;
        self.body(response).await
    }

    /// Sends, and returns the head of the answer if it is a success.
    async fn answered(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Failure::Refused(Box::new(self.refusal(response).await)))
    }

    async fn body<T: DeserializeOwned>(&self, mut response: Response) -> Result<T, Failure> {
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.lost(&error))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > ANSWER_BYTES_MAX {
                let reason = format!("{} answered more than {ANSWER_BYTES_MAX} bytes", self.url());
                return Err(Failure::Local(reason));
            }
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            // The message of the error may quote the answer, and with it a secret.
            Failure::Local(format!(
                "{} answered what this version does not understand (line {}, column {}): \
                 is it Claviger, and of this version?",
                self.url(),
                error.line(),
                error.column()
            ))
        })
    }

    async fn refusal(&self, mut response: Response) -> Refusal {
        let status = response.status();
        let location = response.headers().get(header::LOCATION);
        let location = location.filter(|_| status.is_redirection());
        let location = location
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > PROBLEM_BYTES_MAX {
                break;
            }
        }
        Refusal {
            status: status.as_u16(),
            problem: serde_json::from_slice::<Problem>(&bytes).ok(),
            location,
            url: self.url().to_owned(),
            has_token: self.has_token,
        }
    }

    fn lost(&self, error: &reqwest::Error) -> Failure {
        let url = self.url().to_owned();
        let cause = if error.is_timeout() {
            "it took too long".to_owned()
        } else {
            root_cause(error)
        };
        if error.is_connect() {
            Failure::NoConnection { url, cause }
        } else {
            Failure::NoAnswer { url, cause }
        }
    }
}

/// The innermost reason: the outer ones only say that a request failed.
fn root_cause(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// The address of a server, which may stand below a path.
fn parse_base(written: &str) -> Result<Url, String> {
    let mut url = Url::parse(written).map_err(|error| {
        format!("`{written}` is no address of a server: {error}; write http://host:port")
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!(
            "`{written}` is no address of a server; write http://host:port"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the address holds a user name or a password; put the token into \
                    CLAVIGER_TOKEN instead"
                .to_owned(),
        );
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_not_an_address) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn read_token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = if path == Path::new("-") {
        input::read_all("the token")?
    } else {
        std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| {
                Failure::Usage(format!(
                    "cannot read the token from {}: {error}",
                    path.display()
                ))
            })?
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::Usage(format!("no token in {}", path.display())));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// The header that presents the token. The error says nothing about the token.
fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Usage(
            "the token holds a character that no token has; was all of it copied, and no more?"
                .to_owned(),
        ));
    }
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value =
        HeaderValue::from_str(&text).map_err(|error| Failure::Usage(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::{bearer, is_loopback, parse_base};

    #[test]
    fn addresses_of_servers_are_taken() {
        let expected = [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            (
                "https://keys.example/base/?a=b#c",
                "https://keys.example/base/",
            ),
        ];
        for (written, meant) in expected {
            assert_eq!(parse_base(written).map(String::from).as_deref(), Ok(meant));
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for written in [
            "",
            "127.0.0.1:8080",
            "localhost:8080",
            "ftp://x",
            "file:///x",
            "http://u:p@x",
        ] {
            assert!(parse_base(written).is_err(), "{written}");
        }
    }

    #[test]
    fn loopback_is_told_from_elsewhere() {
        let is_local = |text| parse_base(text).is_ok_and(|url| is_loopback(&url));
        for local in [
            "http://127.0.0.1",
            "http://127.9.9.9:1",
            "http://[::1]:8080",
        ] {
            assert!(is_local(local), "{local}");
        }
        for name in ["http://localhost", "http://a.localhost:8080"] {
            assert!(is_local(name), "{name}");
        }
        for other in [
            "http://10.0.0.1",
            "http://example.com",
            "http://localhost.example.com",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let value = bearer("mole_x").expect("a header");
        assert!(value.is_sensitive());
        let failure = bearer("mole_sec\nret").expect_err("a newline");
        assert!(!failure.to_string().contains("sec"), "{failure}");
    }
}
