//! What an operation answers.

use axum::{body::Body, response::Response};
use claviger_store::Receipt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// What an operation answers.
#[derive(Debug)]
pub struct Reply {
    response: Response,
    receipt: Option<Receipt>,
}

impl Reply {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Our own shapes always serialize.
        Self::body(
            status,
            "application/json",
            serde_json::to_vec(value).unwrap_or_default(),
        )
    }

    /// An answer of any type.
    #[must_use]
    pub fn body(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self {
            response,
            receipt: None,
        }
    }

    /// The record of this request was committed with its change.
    #[must_use]
    pub fn written(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// With a header; left out if the value cannot stand in one.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// Sends the browser on to another page, with GET.
    #[must_use]
    pub fn see_other(location: &str) -> Self {
        Self::body(StatusCode::SEE_OTHER, "text/plain", Body::empty())
            .with(header::LOCATION, location)
    }

    /// With another line of a header that may stand more than once.
    #[must_use]
    pub fn with_also(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().append(name, value);
        }
        self
    }

    /// An answer that was put together elsewhere.
    #[must_use]
    pub const fn of(response: Response) -> Self {
        Self {
            response,
            receipt: None,
        }
    }

    pub(super) fn into_parts(self) -> (Response, Option<Receipt>) {
        (self.response, self.receipt)
    }
}
