//! Records as CloudEvents 1.0 in JSON, a line each. `data` is the record, byte for byte.

use claviger_core::id::OrgId;
use claviger_store::AuditRow;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::told::Told;

/// An event (CloudEvents 1.0.2, 3.1; JSON format 1.0.2).
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    /// Unique within the source.
    id: String,
    source: &'a str,
    r#type: String,
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// Adds the line of a record; `None` for what is none.
pub(super) fn push(out: &mut Vec<u8>, row: &AuditRow, (org, source): (OrgId, &str)) -> Option<()> {
    let told = Told::read(&row.bytes)?;
    let event = CloudEvent {
        specversion: "1.0",
        id: format!("{org}/{}", row.seq),
        source,
        r#type: format!("claviger.audit.{}", told.kind),
        time: &told.time,
        subject: subject(&told.path),
        datacontenttype: "application/json",
        data: serde_json::from_slice(&row.bytes).ok()?,
    };
    serde_json::to_writer(&mut *out, &event).ok()?;
    out.push(b'\n');
    Some(())
}

/// The path, in which control characters may not stand (3.1, String).
fn subject(path: &str) -> Option<String> {
    let allowed = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    (!path.is_empty()).then(|| path.chars().map(allowed).collect())
}

#[cfg(test)]
mod tests {
    use claviger_core::ledger::entry::Kind;
    use serde_json::Value;

    use super::push;
    use crate::told::samples::{METHODS, org, row};

    #[test]
    fn every_record_is_an_event_with_its_bytes() {
        for (kind, method) in Kind::ALL
            .iter()
            .flat_map(|kind| METHODS.map(|method| (*kind, method)))
        {
            let path = if method.is_empty() { "" } else { "/x\n\u{fc}" };
            let row = row((kind, method), 200, path);
            let mut out = Vec::new();
            push(&mut out, &row, (org(), "https://keys.example/orgs/1")).expect("a record");
            let text = String::from_utf8(out).expect("UTF-8");
            assert_eq!(text.find('\n'), Some(text.len() - 1));
            assert!(text.contains(std::str::from_utf8(&row.bytes).expect("ASCII")));
            let event: Value = serde_json::from_str(&text).expect("JSON");
            let members = event.as_object().expect("an object");
            // Names of attributes are lower-case letters and digits.
            let is_name = |name: &String| name.bytes().all(|b| b.is_ascii_lowercase());
            assert!(members.keys().all(is_name));
            let expected = [
                ("specversion", Some("1.0")),
                ("source", Some("https://keys.example/orgs/1")),
                ("datacontenttype", Some("application/json")),
                ("time", Some("2023-11-14T22:13:20.123Z")),
                ("subject", (!path.is_empty()).then_some("/x\u{fffd}\u{fc}")),
            ];
            for (name, value) in expected {
                assert_eq!(members.get(name).and_then(Value::as_str), value, "{name}");
            }
            assert_eq!(members["id"], format!("{}/42", org()));
            assert_eq!(members["type"], format!("claviger.audit.{}", kind.as_str()));
        }
    }
}
