//! A permitted request as its operation sees it.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use axum::body::Body;
use claviger_core::{
    action::Action,
    authorize::Permit,
    denial::Denial,
    id::{OrgId, WorkspaceId},
    ledger::entry::Entry,
    person::PersonId,
    time::Timestamp,
};
use claviger_store::{Acting, Recorder};
use http::{HeaderMap, StatusCode, Uri, header, request::Parts};
use serde::de::DeserializeOwned;

use super::{
    body::{self, Bounds, Held},
    identify::{KeySlot, Proof},
    query::{Form, Query},
};
use crate::{app::App, failure::Failure, people::LiveSession, trace::Trace};

/// The most fields of a form: each of them costs more than it takes to send.
const FORM_FIELDS_MAX: usize = 2000;

/// A permitted request.
#[derive(Debug)]
pub struct Call<A> {
    /// The service.
    pub app: Arc<App>,
    /// Proof that the caller may.
    pub permit: Permit<A>,
    /// The request as its record sees it.
    pub trace: Arc<Trace>,
    proof: Option<Proof>,
    /// The headers.
    pub headers: HeaderMap,
    params: Vec<String>,
    uri: Uri,
    /// Locked by nobody: so a call can be lent to what runs beside it.
    body: parking_lot::Mutex<Body>,
    /// The room that the body takes as long as the call lasts.
    held: Held,
    /// Why the credential that came along was refused, where none is needed.
    refused: Option<Denial>,
}

impl<A: Action> Call<A> {
    pub(super) fn new(
        app: Arc<App>,
        permit: Permit<A>,
        trace: Arc<Trace>,
        (identity, params): (Result<Proof, Denial>, Vec<String>),
        (parts, body): (Parts, Body),
    ) -> Self {
        let (proof, refused) = match identity {
            Ok(proof) => (Some(proof), None),
            Err(denial) => (None, Some(denial)),
        };
        Self {
            app,
            permit,
            trace,
            proof,
            headers: parts.headers,
            params,
            uri: parts.uri,
            body: parking_lot::Mutex::new(body),
            held: Held::default(),
            refused,
        }
    }

    /// The org that the caller acts in.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.permit.org()
    }

    /// The workspace that the path names.
    ///
    /// # Errors
    /// 404 for a route that names none.
    pub fn workspace(&self) -> Result<WorkspaceId, Failure> {
        self.permit
            .workspace()
            .ok_or(Failure::NotFound("workspace"))
    }

    /// A parameter of the path, decoded, by position.
    #[must_use]
    pub fn param(&self, at: usize) -> &str {
        self.params.get(at).map_or("", String::as_str)
    }

    /// A parameter of the path as an id; `what` names the thing.
    ///
    /// # Errors
    /// 404 when it is malformed or of another type.
    pub fn id<T: FromStr>(&self, at: usize, what: &'static str) -> Result<T, Failure> {
        self.param(at)
            .parse()
            .map_err(|_malformed| Failure::NotFound(what))
    }

    /// A parameter of the path as the id of a person.
    ///
    /// # Errors
    /// 404 for what is none.
    pub fn person(&self, at: usize) -> Result<PersonId, Failure> {
        PersonId::of_segment(self.param(at)).map_err(|_no_id| Failure::NotFound("person"))
    }

    /// The key that was presented, whichever of its secrets it was.
    #[must_use]
    pub fn key(&self) -> Option<KeySlot> {
        let slot = self.proof.as_ref().and_then(Proof::key)?;
        if slot.credential.is_replaced {
            return self.app.keys.find_by_id(slot.credential.id);
        }
        Some(Arc::clone(slot))
    }

    /// Why what was presented was refused, where nothing need be.
    #[must_use]
    pub const fn refused(&self) -> Option<Denial> {
        self.refused
    }

    /// The person's session that was presented.
    #[must_use]
    pub fn session(&self) -> Option<&Arc<LiveSession>> {
        self.proof.as_ref().and_then(Proof::session)
    }

    /// When what the person presented ends, if it is not used meanwhile.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let proof = self.proof.as_ref();
        proof.and_then(|proof| proof.ends_at(&self.app))
    }

    /// The permit of another action for the same principal, about this workspace if it is about one:
    /// a page asks what its reader may do, and does it the way the API does.
    ///
    /// # Errors
    /// The denial that a request for that action would get, and of the store that the labels of the
    /// workspace come from.
    pub async fn ask<B: Action>(
        &self,
        workspace: Option<WorkspaceId>,
    ) -> Result<Permit<B>, Failure> {
        super::ask::<B>(&self.app, &self.trace, (workspace, self.uri.path())).await
    }

    /// Whether [`Call::ask`] gives the permit.
    ///
    /// # Errors
    /// That of the store.
    pub async fn may<B: Action>(&self, workspace: Option<WorkspaceId>) -> Result<bool, Failure> {
        match self.ask::<B>(workspace).await {
            Ok(_) => Ok(true),
            Err(Failure::Denied(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The fields of a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// 400, 408, 413.
    pub async fn form(&mut self) -> Result<Form, Failure> {
        let malformed = |reason: &str| Failure::Malformed {
            code: "bad_form",
            field: None,
            reason: reason.to_owned(),
        };
        if !is_type(&self.headers, "application/x-www-form-urlencoded") {
            return Err(malformed("the body is not a form"));
        }
        let bytes = self.bytes().await?;
        if bytes.iter().filter(|byte| **byte == b'&').count() >= FORM_FIELDS_MAX {
            return Err(malformed("the form has more than 2000 fields"));
        }
        let pairs = url::form_urlencoded::parse(&bytes);
        let values: Vec<(String, String)> = pairs.into_owned().collect();
        let is_text = |text: &String| !text.contains('\0') && !text.contains('\u{fffd}');
        if !values
            .iter()
            .all(|(name, value)| is_text(name) && is_text(value))
        {
            return Err(malformed("the form is not UTF-8 text"));
        }
        Ok(Form { values })
    }

    /// What tells, as long as the answer lasts, whether the caller would still be let in.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            app: Arc::clone(&self.app),
            proof: self.proof.clone(),
            trace: Arc::clone(&self.trace),
        }
    }

    /// On whose behalf a change is made.
    #[must_use]
    pub fn acting(&self) -> Acting {
        crate::ops::acting(self.permit.principal())
    }

    /// Writes the record of a change that succeeds with this status; `change` says what it changed.
    pub fn recorder<T>(
        &self,
        status: StatusCode,
        change: impl FnOnce(&T) -> serde_json::Value + Send + 'static,
    ) -> Recorder<T> {
        let trace = Arc::clone(&self.trace);
        Box::new(move |value| -> Entry { trace.entry_of_change(status.as_u16(), &change(value)) })
    }

    /// The query parameters, of which only these are known.
    ///
    /// # Errors
    /// 400 for an unknown or repeated one.
    pub fn query(&self, known: &[&str]) -> Result<Query, Failure> {
        let mut values = BTreeMap::new();
        let text = self.uri.query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let malformed = |reason: String| Failure::Malformed {
                code: "bad_query",
                field: Some(name.clone().into_owned()),
                reason,
            };
            if !known.contains(&&*name) {
                return Err(malformed(format!(
                    "unknown query parameter `{name}`; there are {}",
                    known.join(", ")
                )));
            }
            if value.contains('\0') || value.contains('\u{fffd}') {
                return Err(malformed(format!(
                    "query parameter `{name}` is not UTF-8 text"
                )));
            }
            if values
                .insert(name.clone().into_owned(), value.into_owned())
                .is_some()
            {
                return Err(malformed(format!(
                    "query parameter `{name}` is given twice"
                )));
            }
        }
        Ok(Query { values })
    }

    /// The query parameters, whatever they are; of one that is given twice, the first.
    ///
    /// # Errors
    /// 400 for what is no UTF-8 text.
    pub fn any_query(&self) -> Result<Query, Failure> {
        let text = self.uri.query().unwrap_or_default();
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if value.contains('\0') || value.contains('\u{fffd}') {
                return Err(Failure::Malformed {
                    code: "bad_query",
                    field: Some(name.into_owned()),
                    reason: "the query is not UTF-8 text".to_owned(),
                });
            }
            values
                .entry(name.into_owned())
                .or_insert_with(|| value.into_owned());
        }
        Ok(Query { values })
    }

    /// The query parameters as they come: for lists in which one can stand more than once.
    #[must_use]
    pub fn query_lists(&self) -> Vec<(String, String)> {
        let text = self.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect()
    }

    /// The body as JSON of one shape.
    ///
    /// # Errors
    /// 400 naming the field, 408, 413 or 415.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        if !is_json(&self.headers) {
            return Err(Failure::NotJson);
        }
        let bytes = self.bytes().await?;
        parse_json(&bytes)
    }

    /// The body as JSON, or the default where there is none.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, Failure> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        if !is_json(&self.headers) {
            return Err(Failure::NotJson);
        }
        parse_json(&bytes)
    }

    /// The body as JSON, and its bytes.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn json_and_bytes<T: DeserializeOwned>(
        &mut self,
    ) -> Result<(T, bytes::Bytes), Failure> {
        if !is_json(&self.headers) {
            return Err(Failure::NotJson);
        }
        let bytes = self.bytes().await?;
        Ok((parse_json(&bytes)?, bytes))
    }

    /// The exact body, whatever it is.
    ///
    /// # Errors
    /// 408, 413 or 503, or the denial of a credential that ended meanwhile.
    pub async fn bytes(&mut self) -> Result<bytes::Bytes, Failure> {
        let body = std::mem::replace(self.body.get_mut(), Body::empty());
        let bounds = Bounds::of::<A>(self.proof.is_some(), self.trace.is_page);
        let (whole, held) = body::read(&self.app.bodies, body, bounds).await?;
        self.held = held;
        // What was accepted may have ended while the body was on its way.
        if let Some(proof) = &self.proof {
            let now = crate::clock::now();
            proof.check_again(&self.app, &self.trace.principal, now)?;
        }
        Ok(whole)
    }
}

/// The caller of an answer that takes its time.
#[derive(Debug)]
pub struct Watch {
    app: Arc<App>,
    proof: Option<Proof>,
    trace: Arc<Trace>,
}

impl Watch {
    /// Whether the caller would still be let in, with the same authority.
    ///
    /// # Errors
    /// The denial of a credential that ended meanwhile, or was narrowed.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(proof) = &self.proof else {
            return Ok(());
        };
        let principal = &self.trace.principal;
        proof.check_again(&self.app, principal, crate::clock::now())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    is_type(headers, "application/json")
}

fn is_type(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|text| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(media_type)
    })
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let malformed = |code, field, reason| Failure::Malformed {
        code,
        field,
        reason,
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(malformed(
            "bad_json",
            None,
            "the body is not UTF-8".to_owned(),
        ));
    };
    // A derived reader would take a list for an object, field by field.
    if text.trim_start().starts_with('[') {
        let reason = "the body must be a JSON object".to_owned();
        return Err(malformed("bad_field", None, reason));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_syntax() || inner.is_eof() {
            return malformed("bad_json", None, format!("the body is not JSON: {inner}"));
        }
        let words = inner.to_string();
        let named = words.split('`').nth(1).filter(|_| {
            ["unknown field", "missing field", "duplicate field"]
                .iter()
                .any(|w| words.starts_with(w))
        });
        let field = match (path.as_str(), named) {
            ("." | "", named) => named.map(str::to_owned),
            (path, Some(named)) if path.rsplit('.').next() != Some(named) => {
                Some(format!("{path}.{named}"))
            }
            (path, _) => Some(path.to_owned()),
        };
        let words = words
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        malformed("bad_field", field, words)
    })?;
    match reader.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(malformed(
            "bad_json",
            None,
            "the body holds more than one JSON value".to_owned(),
        )),
    }
}
