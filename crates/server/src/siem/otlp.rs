//! Records as OTLP logs, in the JSON that the protocol has for HTTP (OTLP 1.x, JSON Protobuf Encoding).

use claviger_core::time::Timestamp;
use serde_json::{Value, json};

use super::meaning::{Level, Meaning};

/// The methods that the semantic conventions know; any other is `_OTHER`.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// What every request of this server says of its sender.
#[derive(Debug, Clone)]
pub(super) struct Resource(String);

impl Resource {
    /// `instance` is unique for the deployment, and one process serves it.
    pub(super) fn new(hostname: &str, instance: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut attributes = Attributes::default();
        attributes.text("service.name", "claviger");
        attributes.text("service.version", version);
        attributes.text("service.instance.id", instance);
        if !hostname.is_empty() {
            attributes.text("host.name", hostname);
        }
        let resource = json!({ "attributes": attributes.0 });
        let scope = json!({ "name": "claviger.audit", "version": version });
        Self(format!(
            r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},"logRecords":["#
        ))
    }

    /// The body of a request with these records.
    pub(super) fn body(&self, records: &[Vec<u8>]) -> Vec<u8> {
        let mut body = self.0.clone().into_bytes();
        body.extend_from_slice(&records.join(&b','));
        body.extend_from_slice(b"]}]}]}");
        body
    }
}

/// Attributes; names are never given twice.
#[derive(Debug, Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text(&mut self, name: &str, value: &str) {
        self.0
            .push(json!({ "key": name, "value": { "stringValue": value } }));
    }

    fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// 64 bits are a string in this encoding.
    fn number(&mut self, name: &str, value: u64) {
        self.0
            .push(json!({ "key": name, "value": { "intValue": value.to_string() } }));
    }
}

/// A log record.
pub(super) fn record(meaning: &Meaning<'_>, observed: Timestamp) -> Vec<u8> {
    // SeverityNumber, as the log data model maps the severities of syslog.
    let (number, text) = match meaning.level {
        Level::Warning => (13, "WARN"),
        Level::Notice => (10, "INFO2"),
        Level::Info => (9, "INFO"),
    };
    let record = json!({
        "timeUnixNano": nanoseconds(meaning.at),
        "observedTimeUnixNano": nanoseconds(observed),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("claviger.audit.{}", meaning.told.kind),
        "body": { "stringValue": meaning.leaf },
        "attributes": attributes(meaning).0,
    });
    record.to_string().into_bytes()
}

fn nanoseconds(at: Timestamp) -> String {
    (i128::from(at.millis()).max(0) * 1_000_000).to_string()
}

/// By the semantic conventions where they have a name, else under `claviger.`.
fn attributes(meaning: &Meaning<'_>) -> Attributes {
    let told = &meaning.told;
    let mut all = Attributes::default();
    if !told.method.is_empty() {
        let is_known = METHODS.contains(&&*told.method);
        let method = if is_known { &told.method } else { "_OTHER" };
        all.text("http.request.method", method);
        if !is_known {
            all.text("http.request.method_original", &told.method);
        }
        all.text("url.path", &told.path);
        if !told.route.is_empty() {
            all.text("http.route", &told.route);
        }
        all.number("http.response.status_code", told.status.into());
    }
    all.some("client.address", told.client.as_deref());
    all.some("user_agent.original", told.user_agent.as_deref());
    all.some("error.type", meaning.error());
    all.text("claviger.org", &meaning.org.to_string());
    all.number("claviger.seq", meaning.seq);
    all.text("claviger.id", &told.id);
    all.text("claviger.kind", &told.kind);
    all.text("claviger.tier", &told.tier);
    all.text("claviger.actor", &told.actor);
    all.text("claviger.root", &told.root);
    all.some("claviger.key", told.key.as_deref());
    all.some("claviger.impersonator", told.impersonator.as_deref());
    all.some("claviger.workspace", told.workspace.as_deref());
    all.some("claviger.change", meaning.change.as_deref());
    all.some("claviger.signal", meaning.signal);
    all.number("claviger.duration_us", told.duration_us);
    all.number("claviger.count", told.count);
    all
}

#[cfg(test)]
mod tests {
    use claviger_core::{ledger::entry::Kind, time::Timestamp};
    use serde_json::{Value, json};

    use super::{Resource, record};
    use crate::{
        siem::meaning::Meaning,
        told::samples::{METHODS, org, row},
    };

    fn body(kind: Kind, method: &str, status: u16, path: &str) -> (Value, Vec<u8>) {
        let row = row((kind, method), status, path);
        let meaning = Meaning::read(org(), &row).expect("a record");
        let one = record(&meaning, Timestamp::from_millis(1_700_000_001_000));
        let body = Resource::new("keys-1", "org_1").body(&[one.clone(), one]);
        (serde_json::from_slice(&body).expect("JSON"), row.bytes)
    }

    /// The attributes as one object.
    fn attributes(of: &Value) -> Value {
        let list = of["attributes"].as_array().expect("attributes");
        let pairs = list.iter().map(|one| {
            let value = one["value"].as_object().expect("a value");
            assert_eq!(value.len(), 1, "{one}");
            let value = value.values().next().expect("one");
            (
                one["key"].as_str().expect("a name").to_owned(),
                value.clone(),
            )
        });
        let all: serde_json::Map<_, _> = pairs.collect();
        assert_eq!(all.len(), list.len(), "a name is there twice");
        Value::Object(all)
    }

    #[test]
    fn call_is_told_by_the_conventions() {
        let (body, leaf) = body(Kind::Request, "DELETE", 403, "/x\n");
        let resource = &body["resourceLogs"][0];
        assert_eq!(
            attributes(&resource["resource"]),
            json!({
                "service.name": "claviger",
                "service.version": env!("CARGO_PKG_VERSION"),
                "service.instance.id": "org_1",
                "host.name": "keys-1",
            })
        );
        let scope = &resource["scopeLogs"][0];
        assert_eq!(scope["scope"]["name"], "claviger.audit");
        let records = scope["logRecords"].as_array().expect("records");
        assert_eq!((records.len(), &records[0]), (2, &records[1]));
        let one = &records[0];
        assert_eq!(one["timeUnixNano"], "1700000000123000000");
        assert_eq!(one["observedTimeUnixNano"], "1700000001000000000");
        assert_eq!(
            (&one["severityNumber"], &one["severityText"]),
            (&json!(10), &json!("INFO2"))
        );
        assert_eq!(one["eventName"], "claviger.audit.request");
        assert_eq!(
            one["body"]["stringValue"].as_str().map(str::as_bytes),
            Some(&leaf[..])
        );
        assert_eq!(
            attributes(one),
            json!({
                "http.request.method": "DELETE",
                "url.path": "/x\n",
                "http.route": "/workspaces/{id}",
                "http.response.status_code": "403",
                "client.address": "2001:db8::7",
                "user_agent.original": "+curl/8, \"x\"\t",
                "error.type": "missing_permission",
                "claviger.org": "org_00000000000000000000000002",
                "claviger.seq": "42",
                "claviger.id": "evt_00000000000000000000000001",
                "claviger.kind": "request",
                "claviger.tier": "2a",
                "claviger.actor": "org-token:mole_a1b2c3d4",
                "claviger.root": "org-token:mole_a1b2c3d4",
                "claviger.key": "tok_00000000000000000000000003",
                "claviger.workspace": "ws_00000000000000000000000004",
                "claviger.duration_us": "12345",
                "claviger.count": "1",
            })
        );
    }

    #[test]
    fn every_kind_has_its_severity_and_method() {
        for kind in Kind::ALL {
            for method in METHODS {
                let (body, _) = body(*kind, method, 200, "/x");
                let one = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
                let is_warning = matches!(kind, Kind::Signal | Kind::Anchor);
                assert_eq!(one["severityNumber"] == json!(13), is_warning, "{kind:?}");
                let said = attributes(one);
                match method {
                    "" => assert_eq!(said.get("http.request.method"), None),
                    "BREW" => {
                        assert_eq!(said["http.request.method"], "_OTHER");
                        assert_eq!(said["http.request.method_original"], "BREW");
                    }
                    known => assert_eq!(said["http.request.method"], known),
                }
            }
        }
    }
}
