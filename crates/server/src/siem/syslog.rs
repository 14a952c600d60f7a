//! Records as messages of syslog (RFC 5424).

use super::meaning::{Level, Meaning};

/// Log audit (RFC 5424, 6.2.1).
const FACILITY: u8 = 13;
/// The longest name of a host (RFC 5424, 6).
const HOSTNAME_BYTES_MAX: usize = 255;

/// What every message of this server says of its sender.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    hostname: String,
    process: u32,
    enterprise: u32,
}

impl Sender {
    /// A name of a host that cannot stand in a message becomes `-`, as does none.
    pub(super) fn new(hostname: &str, process: u32, enterprise: u32) -> Self {
        let is_good = !hostname.is_empty()
            && hostname.len() <= HOSTNAME_BYTES_MAX
            && hostname.bytes().all(|byte| byte.is_ascii_graphic());
        Self {
            hostname: if is_good { hostname } else { "-" }.to_owned(),
            process,
            enterprise,
        }
    }

    /// The message of a record; what it says is the record, byte for byte.
    pub(super) fn message(&self, meaning: &Meaning<'_>) -> Vec<u8> {
        let mut out = self.head(meaning);
        out.push_str("] ");
        out.push_str(meaning.leaf);
        out.into_bytes()
    }

    /// The message of a record that is too long for a datagram: without the record, with how many bytes
    /// it has.
    pub(super) fn short_message(&self, meaning: &Meaning<'_>) -> Vec<u8> {
        let mut out = self.head(meaning);
        push_param(&mut out, "left_out", &meaning.leaf.len().to_string());
        out.push(']');
        out.into_bytes()
    }

    fn head(&self, meaning: &Meaning<'_>) -> String {
        let severity = match meaning.level {
            Level::Warning => 4,
            Level::Notice => 5,
            Level::Info => 6,
        };
        let told = &meaning.told;
        let mut out = format!(
            "<{}>1 {} {} claviger {} {} [claviger@{}",
            FACILITY * 8 + severity,
            meaning.at,
            self.hostname,
            self.process,
            // A word of ours: at most 32 printable characters.
            told.kind,
            self.enterprise,
        );
        push_param(&mut out, "org", &meaning.org.to_string());
        push_param(&mut out, "seq", &meaning.seq.to_string());
        push_param(&mut out, "id", &told.id);
        push_param(&mut out, "tier", &told.tier);
        push_param(&mut out, "actor", &told.actor);
        let status = (!told.method.is_empty()).then(|| told.status.to_string());
        let filled = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        for (name, value) in [
            ("key", told.key.as_deref().map(str::to_owned)),
            ("method", filled(&told.method)),
            ("path", filled(&told.path)),
            ("workspace", told.workspace.as_deref().map(str::to_owned)),
            ("status", status),
            ("code", meaning.error().map(str::to_owned)),
            ("address", told.client.as_deref().map(str::to_owned)),
            ("change", meaning.change.clone()),
            ("signal", meaning.signal.map(str::to_owned)),
            ("count", (told.count != 1).then(|| told.count.to_string())),
        ] {
            if let Some(value) = value {
                push_param(&mut out, name, &value);
            }
        }
        out
    }
}

/// RFC 5424, 6.3.3. What could move a cursor or end a line gets out as `\u{…}` with its code point, so
/// that no caller can forge a message where a receiver does not count.
fn push_param(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '"' | '\\' | ']' => {
                out.push('\\');
                out.push(character);
            }
            other if is_odd(other) => {
                out.push_str(&format!("\\\\u{{{:x}}}", u32::from(other)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Controls, breaks of lines and paragraphs, and what turns the direction of writing.
fn is_odd(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
}

/// A message for a stream: its length in bytes, a space, and the message (RFC 6587, 3.4.1; RFC 5425, 4.3).
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = format!("{} ", message.len()).into_bytes();
    framed.extend_from_slice(message);
    framed
}

#[cfg(test)]
mod tests {
    use claviger_core::ledger::entry::Kind;

    use super::{Sender, frame};
    use crate::{
        siem::meaning::Meaning,
        told::samples::{METHODS, org, row},
    };

    fn message(kind: Kind, method: &str, status: u16, path: &str) -> (String, String) {
        let row = row((kind, method), status, path);
        let meaning = Meaning::read(org(), &row).expect("a record");
        let sender = Sender::new("keys-1.example", 77, 32_473);
        let message = String::from_utf8(sender.message(&meaning)).expect("UTF-8");
        let leaf = String::from_utf8(row.bytes.clone()).expect("ASCII");
        let head = message.strip_suffix(&leaf).expect("the record at the end");
        (head.to_owned(), leaf)
    }

    #[test]
    fn message_of_a_call_is_this_one() {
        let (head, _) = message(Kind::Request, "DELETE", 403, "/x");
        assert_eq!(
            head,
            "<109>1 2023-11-14T22:13:20.123Z keys-1.example claviger 77 request \
             [claviger@32473 org=\"org_00000000000000000000000002\" seq=\"42\" \
             id=\"evt_00000000000000000000000001\" tier=\"2a\" actor=\"org-token:mole_a1b2c3d4\" \
             key=\"tok_00000000000000000000000003\" method=\"DELETE\" path=\"/x\" \
             workspace=\"ws_00000000000000000000000004\" status=\"403\" code=\"missing_permission\" \
             address=\"2001:db8::7\"] "
        );
    }

    #[test]
    fn message_of_a_signal_is_a_warning() {
        let (head, _) = message(Kind::Signal, "", 200, "");
        let begin = "<108>1 2023-11-14T22:13:20.123Z keys-1.example claviger 77 signal ";
        assert!(head.starts_with(begin), "{head}");
        let (head, _) = message(Kind::Request, "GET", 200, "/x");
        assert!(
            head.starts_with("<110>1 ") && head.contains(" change=\"minted\""),
            "{head}"
        );
    }

    #[test]
    fn nothing_that_a_caller_sent_breaks_out_of_its_place() {
        let path = "/a\"] \\x\n<13>1 - - - - - -\u{85}\u{2028}\u{202e}\u{0}\u{7f}\u{fc}";
        let (head, _) = message(Kind::Request, "GET", 404, path);
        let expected =
            r#" path="/a\"\] \\x\\u{a}<13>1 - - - - - -\\u{85}\\u{2028}\\u{202e}\\u{0}\\u{7f}ü""#;
        assert!(head.contains(expected), "{head}");
        for kind in Kind::ALL {
            for method in METHODS {
                let (head, leaf) = message(*kind, method, 500, path);
                let whole = head + &leaf;
                assert!(!whole.chars().any(char::is_control), "{whole}");
            }
        }
    }

    #[test]
    fn name_of_a_host_that_cannot_stand_there_is_left_out() {
        let long = "x".repeat(256);
        for name in ["", "a b", "a\n", "ü", &long] {
            assert_eq!(Sender::new(name, 1, 1).hostname, "-");
        }
    }

    #[test]
    fn long_record_says_how_much_is_missing() {
        let row = row((Kind::Request, "GET"), 404, "/x");
        let meaning = Meaning::read(org(), &row).expect("a record");
        let short = Sender::new("h", 1, 1).short_message(&meaning);
        let short = String::from_utf8(short).expect("UTF-8");
        assert!(
            short.ends_with(&format!(" left_out=\"{}\"]", row.bytes.len())),
            "{short}"
        );
        assert_eq!(frame(b"abc"), b"3 abc");
    }
}
