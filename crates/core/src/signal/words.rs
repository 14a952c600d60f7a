//! Signals as a reader sees them: which records are signals, and what they say.

use serde_json::Value;

use super::SignalType;

/// The signal that a change tells of, if it tells of one. An anchor has a kind of its own, for it is
/// no reason to anchor another.
#[must_use]
pub fn type_of(change: &Value) -> Option<SignalType> {
    if change.get("anchored").is_some() {
        return Some(SignalType::LedgerAnchored);
    }
    change.get("signal")?.get("type")?.as_str()?.parse().ok()
}

/// What a change says as a signal, in words; `None` for a change that is no signal.
#[must_use]
pub fn words(change: &Value) -> Option<String> {
    let kind = type_of(change)?;
    let said = change.get("signal").or_else(|| change.get("anchored"))?;
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or("unknown");
    let number = |name: &str| said.get(name).and_then(Value::as_u64).unwrap_or(0);
    Some(match kind {
        SignalType::NewNetwork => format!("used from a new network: {}", text("network")),
        SignalType::NewEndpoint => {
            format!("first call to {} {}", text("method"), text("route"))
        }
        SignalType::RefusalBurst => format!(
            "refused {} times within {}",
            number("refusals"),
            text("within")
        ),
        SignalType::RevokedSecretUsed => {
            let what = match text("because") {
                "rotated_out" => "a secret that was replaced",
                "expired" => "an expired secret",
                _ => "a revoked secret",
            };
            match number("uses") {
                0 | 1 => format!("{what} was used"),
                uses => format!("{what} was used {uses} times"),
            }
        }
        SignalType::VerificationFailed => {
            "the trail was verified, and is not as it was signed".to_owned()
        }
        SignalType::LedgerAnchored => {
            format!("anchored with {} records", number("size"))
        }
    })
}
