//! The audit trail as it grows: server-sent events, read one by one.

use claviger_wire::{headers, ledger::Event};
use reqwest::{Method, Response};

use super::{Client, Query};
use crate::error::Failure;

/// More than any event is long: a record has at most 65,535 bytes.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// A stream of records.
#[derive(Debug)]
pub(crate) struct EventStream {
    response: Response,
    /// What has arrived and was not read yet.
    kept: Vec<u8>,
}

/// What a stream tells.
#[derive(Debug)]
pub(crate) struct Told {
    /// Up to which record the trail is told.
    pub(crate) seq: u64,
    /// The record, if it is one.
    pub(crate) event: Option<Event>,
}

impl Client {
    /// `GET /org/audit/stream`.
    pub(crate) async fn follow_events(&self, query: &Query) -> Result<EventStream, Failure> {
        let request = self.request(Method::GET, &["org", "audit", "stream"], query);
        Ok(EventStream {
            response: self.answered(request).await?,
            kept: Vec::new(),
        })
    }
}

impl EventStream {
    /// The id of the request: its own records carry it.
    pub(crate) fn request_id(&self) -> Option<String> {
        let id = self.response.headers().get(headers::X_REQUEST_ID)?;
        Some(id.to_str().ok()?.to_owned())
    }

    /// What comes next; `None` at the end.
    pub(crate) async fn next(&mut self, client: &Client) -> Result<Option<Told>, Failure> {
        loop {
            while let Some(end) = self.kept.windows(2).position(|pair| pair == b"\n\n") {
                let rest = self.kept.split_off(end + 2);
                let block = std::mem::replace(&mut self.kept, rest);
                if let Some(told) = read(&block) {
                    return Ok(Some(told));
                }
            }
            if self.kept.len() > EVENT_BYTES_MAX {
                let reason = "the stream holds what is no event".to_owned();
                return Err(Failure::Local(reason));
            }
            let piece = self.response.chunk().await;
            match piece.map_err(|error| client.lost(&error))? {
                Some(piece) => self.kept.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

/// A record, or how far the trail is told; `None` for what is neither.
fn read(block: &[u8]) -> Option<Told> {
    let text = std::str::from_utf8(block).ok()?;
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Some(Told {
        seq: field("id")?.parse().ok()?,
        event: field("data").and_then(|data| serde_json::from_str(data).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn events_are_told_from_what_only_says_how_far_it_is() {
        let told = read(b": nothing new\nid: 7\n\n").expect("how far");
        assert_eq!((told.seq, told.event.is_none()), (7, true));
        assert!(read(b"retry: 2000\n\n").is_none());
        assert!(read(b"event: end\ndata: {\"code\":\"token_revoked\"}\n\n").is_none());
    }
}
