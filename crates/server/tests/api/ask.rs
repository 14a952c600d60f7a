//! `Ask` and `Answer`: one request and what came of it; and requests written byte by byte.

use http::HeaderMap;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::service::Service;

/// A request that is being put together.
pub(crate) struct Ask(pub(crate) reqwest::RequestBuilder);

impl Ask {
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// As a browser sends it from our own page, with this cookie.
    pub(crate) fn session(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
            .header("sec-fetch-site", "same-origin")
    }

    /// A form.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        Self(
            self.0
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body),
        )
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// Declared as JSON, whatever the bytes are.
    pub(crate) fn body(self, bytes: impl Into<reqwest::Body>) -> Self {
        Self(
            self.0
                .header("content-type", "application/json")
                .body(bytes),
        )
    }

    pub(crate) fn raw(self, bytes: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(bytes))
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.0.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let media_type = headers.get("content-type").map(http::HeaderValue::as_bytes);
        // What goes on for ever is only begun.
        let body = match media_type {
            Some(b"text/event-stream") => bytes::Bytes::new(),
            _ => response.bytes().await.expect("the answer arrives whole"),
        };
        Answer {
            status,
            headers,
            body: body.to_vec(),
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null if it is not.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The stable code of a problem; empty for none.
    pub(crate) fn code(&self) -> String {
        let code = self.json()["code"].as_str().map(str::to_owned);
        code.unwrap_or_default()
    }

    /// The body, after a check of the status.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// The problem document, after a check of all that every problem has.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.text()
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], "about:blank");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()));
        }
        body
    }

    /// The field that the problem names, after a check of the rest.
    #[track_caller]
    pub(crate) fn field(&self, status: u16, code: &str) -> String {
        let body = self.problem(status, code);
        body["field"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends these bytes on a connection of their own and reads the first answer. The head must ask to
/// close the connection, or be one after which the server closes it.
pub(crate) async fn exchange(service: &Service, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(service.address())
        .await
        .expect("it listens");
    // The server may answer and close before it has read everything.
    stream.write_all(request.as_ref()).await.unwrap_or_default();
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    }
    parse(&bytes)
}

/// `METHOD target` with these header lines, on a connection that closes.
pub(crate) async fn exchange_head(service: &Service, line: &str, headers: &[&str]) -> Answer {
    let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    exchange(service, head).await
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| {
        panic!("no HTTP answer: {:?}", String::from_utf8_lossy(bytes));
    });
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        let name: http::HeaderName = name.parse().expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    Answer {
        status: status.and_then(|text| text.parse().ok()).expect("a status"),
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}
