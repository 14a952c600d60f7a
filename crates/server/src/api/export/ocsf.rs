//! Records as events of the class API Activity (6003) of the Open Cybersecurity Schema Framework, a line
//! of JSON each.

use claviger_core::{id::OrgId, tier::Actor, time::Timestamp};
use claviger_store::AuditRow;
use serde_json::{Map, Value, json};

use crate::told::Told;

/// The version of the schema, of August 2026. Nothing is written that it has deprecated.
const VERSION: &str = "1.9.0";
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;
const PRODUCT: &str = "Claviger";

/// Adds the line of a record; `None` for what is none.
pub(super) fn push(out: &mut Vec<u8>, row: &AuditRow, org: OrgId) -> Option<()> {
    let told = Told::read(&row.bytes)?;
    let at: Timestamp = told.time.parse().ok()?;
    let (activity_id, activity) = activity(&told);
    let (severity_id, severity) = severity(&told);
    let is_success = told.status < 400;
    let mut event = json!({
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "type_uid": CLASS * 100 + activity_id,
        "type_name": format!("API Activity: {activity}"),
        "time": at.millis(),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": if is_success { 1 } else { 2 },
        "status": if is_success { "Success" } else { "Failure" },
        "status_code": told.status.to_string(),
        "duration": told.duration_us / 1000,
        "count": told.count,
        "metadata": {
            "version": VERSION,
            "product": {
                "name": PRODUCT,
                "vendor_name": PRODUCT,
                "version": env!("CARGO_PKG_VERSION"),
            },
            "uid": format!("{org}/{}", row.seq),
            "sequence": row.seq,
            "tenant_uid": org.to_string(),
            "event_code": told.kind,
            "original_time": told.time,
            "log_name": "audit",
        },
        "actor": { "user": user(&told) },
        "api": api(&told),
        "src_endpoint": source(&told),
        "unmapped": unmapped(&told)?,
    });
    let members = event.as_object_mut()?;
    if let Some(code) = &told.code {
        members.insert("status_detail".to_owned(), json!(code));
    }
    if let Some(workspace) = &told.workspace {
        let resource = json!([{ "uid": workspace, "type": "workspace" }]);
        members.insert("resources".to_owned(), resource);
    }
    if !told.method.is_empty() {
        members.insert("http_request".to_owned(), request(&told));
        let response = json!({ "code": told.status });
        members.insert("http_response".to_owned(), response);
    }
    serde_json::to_writer(&mut *out, &event).ok()?;
    out.push(b'\n');
    Some(())
}

/// What the call does, by its method; what no method says is another activity, under its own name.
fn activity<'a>(told: &'a Told<'_>) -> (u32, &'a str) {
    match &*told.method {
        "POST" => (1, "Create"),
        "GET" | "HEAD" | "OPTIONS" => (2, "Read"),
        "PUT" | "PATCH" => (3, "Update"),
        "DELETE" => (4, "Delete"),
        "" => (99, &told.kind),
        other => (99, other),
    }
}

/// Break-glass, floods of refusals and signals are worth a look; a single failure is less than that.
fn severity(told: &Told<'_>) -> (u32, &'static str) {
    match (&*told.kind, told.status) {
        ("break_glass" | "bootstrap" | "refusals" | "signal", _) => (3, "Medium"),
        (_, 400..) => (2, "Low"),
        _ => (1, "Informational"),
    }
}

/// Who acted: a person, a key, or the system itself.
fn user(told: &Told<'_>) -> Value {
    let (type_id, kind) = match told.actor.parse::<Actor>() {
        Ok(Actor::Session(_)) => (1, "User"),
        Ok(Actor::AdminToken) => (2, "Admin"),
        Ok(Actor::Anonymous) => (0, "Unknown"),
        Ok(Actor::OrgKey(_) | Actor::WorkspaceToken(_)) => (99, "API key"),
        Ok(_) | Err(_) => (3, "System"),
    };
    let mut user = json!({ "name": told.actor, "type_id": type_id, "type": kind });
    let person = told.actor.strip_prefix("session:");
    let uid = person.or(told.key.as_deref()).unwrap_or(&told.actor);
    if let Some(members) = user.as_object_mut() {
        members.insert("uid".to_owned(), json!(uid));
        if let Some(key) = &told.key {
            members.insert("credential_uid".to_owned(), json!(key));
        }
    }
    user
}

fn api(told: &Told<'_>) -> Value {
    let operation = match (&*told.method, &*told.route) {
        ("", _) => told.kind.to_string(),
        (method, "") => method.to_owned(),
        (method, route) => format!("{method} {route}"),
    };
    let mut response = json!({ "code": told.status });
    if let (Some(code), Some(members)) = (&told.code, response.as_object_mut()) {
        members.insert("error".to_owned(), json!(code));
    }
    json!({
        "operation": operation,
        "service": { "name": PRODUCT },
        "request": { "uid": told.id },
        "response": response,
    })
}

/// From where; what had no caller came from the service itself.
fn source(told: &Told<'_>) -> Value {
    match &told.client {
        Some(address) => json!({ "ip": address }),
        None => json!({ "name": "claviger" }),
    }
}

fn request(told: &Told<'_>) -> Value {
    let mut request = json!({
        "http_method": told.method,
        "url": { "path": told.path },
        "uid": told.id,
    });
    if let (Some(agent), Some(members)) = (&told.user_agent, request.as_object_mut()) {
        members.insert("user_agent".to_owned(), json!(agent));
    }
    request
}

/// What the schema has no place for, under the names that it has in the record.
fn unmapped(told: &Told<'_>) -> Option<Value> {
    let mut rest = Map::new();
    let mut put = |name: &str, value: Value| rest.insert(name.to_owned(), value);
    put("kind", json!(told.kind));
    put("tier", json!(told.tier));
    put("root", json!(told.root));
    put("duration_us", json!(told.duration_us));
    if !told.chain.is_empty() {
        put("chain", json!(told.chain));
    }
    if let Some(other) = &told.impersonator {
        put("impersonator", json!(other));
    }
    if !told.route.is_empty() {
        put("route", json!(told.route));
    }
    if let Some(change) = told.change {
        put("change", serde_json::from_str(change.get()).ok()?);
    }
    Some(Value::Object(rest))
}

#[cfg(test)]
mod tests {
    use claviger_core::ledger::entry::Kind;
    use serde_json::Value;

    use super::push;
    use crate::told::samples::{METHODS, org, row};

    /// What must be there, as the schema has it: github.com/ocsf/ocsf-schema, events/base_event.json,
    /// events/application/api_activity.json, objects/{metadata,product,api,http_response,url}.json.
    const REQUIRED: [&str; 15] = [
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/type_uid",
        "/time",
        "/severity_id",
        "/metadata/version",
        "/metadata/product/name",
        "/metadata/product/vendor_name",
        "/actor",
        "/api/operation",
        "/src_endpoint",
        "/status_id",
        "/api/response/code",
        "/actor/user/type_id",
    ];
    /// Of these, one at least: objects/{actor,user,network_endpoint}.json, `constraints`.
    const ONE_OF: [&[&str]; 3] = [
        &["/actor/user", "/actor/process", "/actor/session"],
        &["/actor/user/name", "/actor/user/uid", "/actor/user/account"],
        &[
            "/src_endpoint/ip",
            "/src_endpoint/name",
            "/src_endpoint/uid",
        ],
    ];
    /// What may stand there: dictionary.json, objects/user.json, api_activity.json.
    const ENUMERATED: [(&str, &[u64]); 6] = [
        ("/activity_id", &[0, 1, 2, 3, 4, 99]),
        ("/severity_id", &[0, 1, 2, 3, 4, 5, 6, 99]),
        ("/status_id", &[0, 1, 2, 99]),
        ("/actor/user/type_id", &[0, 1, 2, 3, 99]),
        ("/category_uid", &[6]),
        ("/class_uid", &[6003]),
    ];
    /// The members of the event and of its objects: none is made up.
    const KNOWN: [(&str, &[&str]); 8] = [
        (
            "",
            &[
                "activity_id",
                "activity_name",
                "actor",
                "api",
                "category_name",
                "category_uid",
                "class_name",
                "class_uid",
                "count",
                "duration",
                "http_request",
                "http_response",
                "metadata",
                "resources",
                "severity",
                "severity_id",
                "src_endpoint",
                "status",
                "status_code",
                "status_detail",
                "status_id",
                "time",
                "type_name",
                "type_uid",
                "unmapped",
            ],
        ),
        (
            "/metadata",
            &[
                "event_code",
                "log_name",
                "original_time",
                "product",
                "sequence",
                "tenant_uid",
                "uid",
                "version",
            ],
        ),
        ("/metadata/product", &["name", "vendor_name", "version"]),
        (
            "/actor/user",
            &["credential_uid", "name", "type", "type_id", "uid"],
        ),
        ("/api", &["operation", "request", "response", "service"]),
        ("/api/response", &["code", "error"]),
        (
            "/http_request",
            &["http_method", "uid", "url", "user_agent"],
        ),
        ("/http_response", &["code"]),
    ];

    fn event(kind: Kind, method: &str, status: u16) -> Value {
        let mut out = Vec::new();
        push(&mut out, &row((kind, method), status, "/x\n"), org()).expect("a record");
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn every_kind_of_record_has_what_the_schema_requires() {
        for (kind, method) in Kind::ALL
            .iter()
            .flat_map(|kind| METHODS.map(|method| (*kind, method)))
        {
            for status in [200, 404, 503] {
                let event = event(kind, method, status);
                for path in REQUIRED {
                    let found = event.pointer(path);
                    assert!(
                        found.is_some_and(|value| !value.is_null()),
                        "{path}: {event}"
                    );
                }
                for paths in ONE_OF {
                    assert!(
                        paths.iter().any(|path| event.pointer(path).is_some()),
                        "{paths:?}"
                    );
                }
                for (path, values) in ENUMERATED {
                    let found = event.pointer(path).and_then(Value::as_u64);
                    assert!(
                        found.is_some_and(|found| values.contains(&found)),
                        "{path}: {event}"
                    );
                }
                for (path, known) in KNOWN {
                    let members = event.pointer(path).and_then(Value::as_object);
                    let mut names = members.into_iter().flat_map(serde_json::Map::keys);
                    let unknown = names.find(|name| !known.contains(&name.as_str()));
                    assert_eq!(unknown, None, "{path}");
                }
            }
        }
    }

    #[test]
    fn call_of_a_key_is_told_in_full() {
        let event = event(Kind::Request, "DELETE", 403);
        for (path, value) in [
            ("/activity_id", "4"),
            ("/type_uid", "600304"),
            ("/time", "1700000000123"),
            ("/status_id", "2"),
            ("/status_code", "\"403\""),
            ("/status_detail", "\"missing_permission\""),
            ("/severity_id", "2"),
            ("/metadata/sequence", "42"),
            ("/actor/user/name", "\"org-token:mole_a1b2c3d4\""),
            ("/api/operation", "\"DELETE /workspaces/{id}\""),
            ("/src_endpoint/ip", "\"2001:db8::7\""),
            ("/http_request/url/path", "\"/x\\n\""),
            ("/http_response/code", "403"),
            ("/unmapped/tier", "\"2a\""),
            ("/duration", "12"),
        ] {
            let found = event.pointer(path).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(value), "{path}");
        }
        let uid = event.pointer("/metadata/uid").and_then(Value::as_str);
        assert_eq!(uid, Some(&*format!("{}/42", org())));
        let version = event.pointer("/metadata/version").and_then(Value::as_str);
        assert_eq!(version, Some(super::VERSION));
    }
}
