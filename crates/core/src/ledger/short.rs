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
