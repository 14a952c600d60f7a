//! A change that is too long for a record: what is kept of it.

use serde_json::{Map, Value};

use super::tree::Hash;
use crate::json::{push, push_number, push_string};

/// The longest text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 128;
/// The longest name of a member, in bytes.
const NAME_BYTES_MAX: usize = 32;
/// The most members that are kept: a change of ours has fewer, and another might have any number.
const MEMBERS_MAX: usize = 16;

/// A change that says the same as a long one in few words: the name of what was done, its short members
/// (the ids are among them), and in `left_out` the length and the SHA-256 of the whole, so that whoever
/// has the whole can show that it is this.
pub(super) fn change(whole: &str) -> String {
    let parsed: Option<Map<String, Value>> = serde_json::from_str(whole).ok();
    let (name, inner) = parsed.and_then(|map| map.into_iter().next()).unzip();
    let name = name.filter(|name| name.len() <= NAME_BYTES_MAX);
    let members = inner.as_ref().and_then(Value::as_object);
    let kept = members.into_iter().flatten().filter(|(name, value)| {
        name.len() <= NAME_BYTES_MAX && name.as_str() != "left_out" && is_short(value)
    });
    let mut kept: Vec<_> = kept
        .take(MEMBERS_MAX)
        .map(|(n, v)| (n.as_str(), Some(v)))
        .collect();
    kept.push(("left_out", None));
    kept.sort_unstable_by_key(|(name, _)| *name);

    let mut out = Vec::new();
    push(&mut out, "{");
    push_string(&mut out, name.as_deref().unwrap_or("unknown"));
    for (at, (name, value)) in kept.into_iter().enumerate() {
        push(&mut out, if at == 0 { ":{" } else { "," });
        push_string(&mut out, name);
        push(&mut out, ":");
        match value {
            Some(Value::String(text)) => push_string(&mut out, text),
            Some(plain) => push(&mut out, &plain.to_string()),
            None => push_digest(&mut out, whole),
        }
    }
    push(&mut out, "}}");
    String::from_utf8(out).unwrap_or_default()
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= TEXT_BYTES_MAX,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn push_digest(out: &mut Vec<u8>, whole: &str) {
    push(out, r#"{"bytes":"#);
    push_number(out, u64::try_from(whole.len()).unwrap_or(u64::MAX));
    push(out, r#","sha256":""#);
    push(out, &Hash::of(whole.as_bytes()).to_string());
    push(out, r#""}"#);
}

#[cfg(test)]
mod tests {
    use super::change;
    use crate::{
        id::{EventId, KeyId, OrgId, WorkspaceId},
        ledger::{
            entry::{Draft, Entry},
            tree::Hash,
        },
        tier::Actor,
        time::Timestamp,
    };

    #[test]
    fn longest_record_fits_in_a_bundle_and_says_what_was_left_out() {
        let person = Actor::Session("\"".repeat(255).into());
        let (wide, chain) = ("\u{1}".repeat(9000), vec![KeyId::from_u128(5); 5000]);
        let change = |bytes: usize| {
            let long = "x".repeat(bytes);
            format!(
                r#"{{"minted":{{"grant":{{"a":"{long}"}},"id":"tok_1","name":"\u00fc","n":7}}}}"#
            )
        };
        let (small, large) = (change(10), change(70_000));
        let plain = Draft::of_operation(
            EventId::from_u128(1),
            7,
            Timestamp::MAX,
            OrgId::from_u128(2),
            &person,
        );
        let with = |change| Draft {
            chain: &chain,
            impersonator: Some(&wide),
            method: &wide,
            code: Some("missing_permission"),
            change: Some(change),
            path: &wide,
            user_agent: Some(&wide),
            key: Some(KeyId::from_u128(3)),
            client: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().ok(),
            workspace: Some(WorkspaceId::from_u128(4)),
            ..plain.clone()
        };
        let read = |entry: &Entry| -> serde_json::Value {
            serde_json::from_slice(entry.bytes()).expect("JSON")
        };
        let entry = with(&small).write();
        assert_eq!(read(&entry)["chain"].as_array().map(Vec::len), Some(1000));
        let before: serde_json::Value = serde_json::from_str(&small).expect("JSON");
        assert_eq!(read(&entry)["change"], before);
        assert!(entry.bytes().len() < 50_000, "{}", entry.bytes().len());

        let entry = with(&large).write();
        assert!(entry.bytes().len() < 50_000, "{}", entry.bytes().len());
        let change = &read(&entry)["change"]["minted"];
        let digest = Hash::of(large.as_bytes()).to_string();
        let expected = serde_json::json!({
            "id": "tok_1", "name": "ü", "n": 7,
            "left_out": {"bytes": large.len(), "sha256": digest},
        });
        assert_eq!(change, &expected);
        // What just fits is written as it is.
        let empty = Draft {
            change: Some(""),
            ..plain.clone()
        };
        let room = 65_535 - empty.write().bytes().len();
        for (more, is_whole) in [(0, true), (1, false)] {
            let text = format!(r#"{{"x":"{}"}}"#, "y".repeat(room - 8 + more));
            let entry = Draft {
                change: Some(&text),
                ..plain.clone()
            }
            .write();
            assert_eq!(entry.bytes().len() == 65_535, is_whole);
            assert_eq!(read(&entry)["change"]["x"].is_string(), is_whole);
        }
    }

    #[test]
    fn whatever_it_is_the_result_is_a_short_object() {
        let many: String = (0..9999).map(|n| format!(r#""m{n}":{n},"#)).collect();
        for whole in [
            "",
            "x",
            "[]",
            "{}",
            "7",
            r#"{"a":7}"#,
            r#"{"a":[1],"b":{}}"#,
            &format!(r#"{{"a":{{{many}"z":1}}}}"#),
            &format!(r#"{{"{}":{{"{}":1}}}}"#, "n".repeat(999), "m".repeat(999)),
            &format!(r#"{{"a":{{"s":"{}","left_out":1}}}}"#, "s".repeat(999)),
        ] {
            let short = change(whole);
            assert!(short.len() < 5000, "{short}");
            let value: serde_json::Value = serde_json::from_str(&short).expect("JSON");
            let map = value.as_object().expect("an object");
            let [(_, inner)] = map.iter().collect::<Vec<_>>()[..] else {
                panic!("{short}")
            };
            assert_eq!(inner["left_out"]["bytes"], whole.len());
        }
    }
}
