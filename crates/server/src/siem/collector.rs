//! OTLP logs over HTTP, with bodies in JSON: sent, and sent again where that may help.

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

use claviger_core::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;
use tokio_rustls::rustls::ClientConfig;
use url::Url;

use super::{Delivered, Trouble, otlp::Resource};
use crate::{clock, config::is_loopback, private_file};

/// How long a request may take, from the first byte of it to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest wait that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
/// After so many refusals the search for what is not wanted goes on in the next step.
const REFUSALS_MAX: u32 = 32;
/// After so many failures in a row that look like a fault of the receiver, what it fails at is passed over.
const FAULTS_MAX: u32 = 10;

/// A receiver of OTLP logs.
pub(super) struct Collector {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    resource: Resource,
    faults: u32,
}

/// How far the search is for those records of a batch that the receiver does not want.
///
/// A record counts as unwanted if it is refused after another of its batch was taken. What is refused before
/// that may be so because the receiver is at fault.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// What is to be sent; the next is the last.
    parts: Vec<Range<usize>>,
    /// So many of the first records were refused one by one while nothing was taken.
    suspects: usize,
    is_taken: bool,
    delivered: Delivered,
}

impl Search {
    fn of(count: usize) -> Self {
        let mut search = Self::default();
        search.parts.push(0..count);
        search
    }

    /// Whether it is to go on with the same records.
    pub(super) const fn is_begun(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Notes what became of a part; whether it was taken.
    fn note(&mut self, part: Range<usize>, answer: Answer) -> bool {
        let count = u64::try_from(part.len()).unwrap_or(u64::MAX);
        match answer {
            Answer::Taken(rejected, reason) => {
                let rejected = rejected.min(count);
                self.delivered.sent += count - rejected;
                self.delivered.dropped += rejected;
                self.delivered.reason = reason.or(self.delivered.reason.take());
                self.is_taken = true;
                if self.suspects > 0 {
                    self.parts.push(0..std::mem::take(&mut self.suspects));
                }
                true
            }
            Answer::Refused(reason)
            | Answer::Fault(reason)
            | Answer::Away(Trouble { reason, .. }) => {
                self.delivered.reason = Some(reason);
                let middle = part.start + part.len() / 2;
                if part.len() > 1 {
                    self.parts.extend([middle..part.end, part.start..middle]);
                } else if self.is_taken {
                    self.delivered.dropped += count;
                } else {
                    self.suspects = part.end;
                }
                false
            }
        }
    }

    /// Why nothing is taken.
    fn trouble(&self) -> Trouble {
        Trouble::new(self.delivered.reason.clone().unwrap_or_default())
    }
}

/// What a receiver says to a request.
enum Answer {
    /// It has taken all but so many, and may say why.
    Taken(u64, Option<String>),
    /// It does not want what is in it.
    Refused(String),
    /// It is not there, or not now.
    Away(Trouble),
    /// Something went wrong there.
    Fault(String),
}

impl Collector {
    pub(super) fn new(
        url: Url,
        tls: Option<&Arc<ClientConfig>>,
        headers: HeaderMap,
        resource: Resource,
    ) -> Result<Self, String> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("claviger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT);
        let builder = match tls {
            Some(tls) => builder.tls_backend_preconfigured((**tls).clone()),
            // Without TLS nobody has to be believed.
            None => builder.tls_certs_only([]),
        };
        let is_near = is_loopback(&url);
        let builder = if is_near { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(reason)?;
        Ok(Self {
            client,
            url,
            headers,
            resource,
            faults: 0,
        })
    }

    /// Sends records, or goes on where `search` says. Those that the receiver does not want are found, and
    /// passed over; `None` if that is not at its end yet.
    pub(super) async fn send(
        &mut self,
        records: &[Vec<u8>],
        search: &mut Search,
    ) -> Result<Option<Delivered>, Trouble> {
        if search.is_begun() {
            self.try_suspects(records, search).await?;
        } else {
            *search = Search::of(records.len());
        }
        let mut refusals = 0;
        while let Some(part) = search.parts.pop() {
            match self.post_part(records, &part).await {
                Ok(answer) => refusals += u32::from(!search.note(part, answer)),
                Err(trouble) => {
                    // Nothing was learned from all of them: they are read again, with what comes.
                    if part != (0..records.len()) {
                        search.parts.push(part);
                    }
                    return Err(trouble);
                }
            }
            if refusals >= REFUSALS_MAX && !search.parts.is_empty() {
                return search
                    .is_taken
                    .then_some(None)
                    .ok_or_else(|| search.trouble());
            }
        }
        // A receiver that refuses everything is at fault, and not what is sent.
        if !search.is_taken {
            let trouble = search.trouble();
            *search = Search::default();
            return Err(trouble);
        }
        self.faults = 0;
        Ok(Some(std::mem::take(&mut search.delivered)))
    }

    /// After a wait in which the receiver may have recovered: what was refused before comes first, so that
    /// it is in order.
    async fn try_suspects(
        &mut self,
        records: &[Vec<u8>],
        search: &mut Search,
    ) -> Result<(), Trouble> {
        let suspects = 0..search.suspects;
        if search.is_taken || suspects.is_empty() {
            return Ok(());
        }
        let answer = self.post_part(records, &suspects).await?;
        if let Answer::Taken(..) = answer {
            search.suspects = 0;
            search.note(suspects, answer);
        }
        Ok(())
    }

    /// Sends a part of the records; what is not for them is trouble.
    async fn post_part(
        &mut self,
        records: &[Vec<u8>],
        part: &Range<usize>,
    ) -> Result<Answer, Trouble> {
        match self
            .post(records.get(part.clone()).unwrap_or_default())
            .await
        {
            Answer::Away(trouble) => Err(trouble),
            Answer::Fault(reason) if self.faults < FAULTS_MAX => {
                self.faults += 1;
                Err(Trouble::new(reason))
            }
            Answer::Fault(reason) => Ok(Answer::Refused(reason)),
            answer => Ok(answer),
        }
    }

    async fn post(&self, records: &[Vec<u8>]) -> Answer {
        let request = self.client.post(self.url.clone());
        let request = request
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(self.resource.body(records));
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Away(Trouble::new(reason(error))),
        };
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            let (count, reason) = rejected(&body);
            return Answer::Taken(count, reason);
        }
        let said = said(status, &body);
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused(said),
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Answer::Away(Trouble { reason: said, wait }),
            _ if status.is_server_error() => Answer::Fault(said),
            // A credential that has expired, a route that is not there: what is sent has no part in it.
            _ => Answer::Away(Trouble { reason: said, wait }),
        }
    }
}

/// `Retry-After`: seconds, or a time (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.since(clock::now()),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

/// How many records were not taken, and why (`ExportLogsPartialSuccess`); a number of 64 bits may be a
/// string.
fn rejected(body: &[u8]) -> (u64, Option<String>) {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = answer
        .get("partialSuccess")
        .or_else(|| answer.get("partial_success"));
    let member = |one: &str, other: &str| said.and_then(|said| said.get(one).or(said.get(other)));
    let count = match member("rejectedLogRecords", "rejected_log_records") {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(count) => count.as_u64().unwrap_or(0),
        None => 0,
    };
    let message = member("errorMessage", "error_message").and_then(Value::as_str);
    (count, message.map(short))
}

/// The status, and what the answer says of it (`google.rpc.Status`), for a log.
fn said(status: StatusCode, body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = answer.get("message").and_then(Value::as_str);
    match message {
        Some(message) => format!("the answer is {status}: {}", short(message)),
        None => format!("the answer is {status}"),
    }
}

/// Words of a receiver for a log: few, and without what could break a line.
fn short(message: &str) -> String {
    let short: String = message.chars().take(200).collect();
    short.escape_debug().to_string()
}

/// The innermost reason: the outer ones name the address, which may hold what is not for a log.
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

/// Reads the file with headers: one `Name: value` a line; empty lines and those with `#` first say nothing.
///
/// # Errors
/// A sentence that quotes no value.
pub(super) fn read_headers(path: &Path) -> Result<HeaderMap, String> {
    let name = path.display();
    let text = private_file::read(path).map_err(|error| match error {
        private_file::Unreadable::Io(error) => format!("cannot read {name}: {error}"),
        private_file::Unreadable::Exposed => {
            format!("everybody can read {name}: make it of mode 0600")
        }
    })?;
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = || format!("line {number} of {name} must be a header such as `Name: value`");
        let (header, value) = line.split_once(':').ok_or_else(bad)?;
        let header: HeaderName = header.trim().parse().map_err(|_bad| bad())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_bad| bad())?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use http::{HeaderMap, HeaderValue, header};

    use super::{http_date, read_headers, rejected, retry_after};
    use crate::clock;

    #[test]
    fn receiver_can_ask_for_a_wait_and_not_for_a_long_one() {
        let of = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a value");
            retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value)]))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("99999999"), Some(super::RETRY_AFTER_MAX));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = clock::now().plus(Duration::from_secs(100)).to_http_date();
        let wait = of(&soon).expect("a wait");
        assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
        for bad in ["", "-1", "soon", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let at = http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a time");
        assert_eq!(at.to_string(), "1994-11-06T08:49:37.000Z");
    }

    #[test]
    fn partial_success_is_read_in_both_spellings() {
        for (body, count) in [
            (
                r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"x"}}"#,
                3,
            ),
            (r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, 2),
            (r#"{"partial_success":{"rejected_log_records":1}}"#, 1),
            ("{}", 0),
            ("", 0),
            (r#"{"partialSuccess":{}}"#, 0),
        ] {
            assert_eq!(rejected(body.as_bytes()).0, count, "{body}");
        }
    }

    #[test]
    fn headers_are_read_and_never_quoted() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"# for the collector\n\nAuthorization: Bearer a b\nX-Scope: 1\n")
            .expect("written");
        let headers = read_headers(file.path()).expect("headers");
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], "Bearer a b");
        assert!(headers["authorization"].is_sensitive());
        file.write_all(b"hush\n").expect("written");
        let said = read_headers(file.path()).expect_err("no header");
        assert!(said.contains("line 5") && !said.contains("hush"), "{said}");
    }
}
