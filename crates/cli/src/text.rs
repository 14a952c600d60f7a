//! Small pure functions over text: escaping, quoting, times.

use std::fmt::Write as _;

use claviger_core::text::is_invisible;
use claviger_wire::{keys::Workspaces, ledger::Event, map::TextMap};

/// The text with every control, bidirectional and other invisible character written out: what others
/// chose cannot steer a terminal, look like something else, or break a line of tab-separated output.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_invisible(c) => push(&mut out, format_args!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A JSON document that means the same, with invisible characters beyond ASCII written out. Those stand
/// within strings alone.
pub(crate) fn printable_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() || !is_invisible(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            push(&mut out, format_args!("\\u{unit:04x}"));
        }
    }
    out
}

/// The text as one word of a POSIX shell.
pub(crate) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a shell takes the text for the name of a variable.
pub(crate) fn is_shell_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(is_word) && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

/// `name=value` for each, with commas.
pub(crate) fn pairs(map: &TextMap) -> String {
    let pairs: Vec<String> = map
        .0
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(",")
}

/// A workspace binding in one word.
pub(crate) fn workspaces(binding: &Workspaces) -> String {
    match binding {
        Workspaces::Word(word) => word.clone(),
        Workspaces::Ids(ids) if ids.is_empty() => "none".to_owned(),
        Workspaces::Ids(ids) => ids.join(","),
        Workspaces::Selector(selector) => pairs(&selector.labels),
    }
}

/// What is there, or `-`.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or("-")
        .to_owned()
}

/// A duration as the audit line has it: `340us`, `12ms`.
pub(crate) fn duration(us: u64) -> String {
    if us < 1000 {
        format!("{us}us")
    } else {
        format!("{}ms", us / 1000)
    }
}

/// The parts of an audit line around the status, so that the status alone can be coloured.
pub(crate) struct EventLine {
    /// Time, actor, method and path.
    pub(crate) head: String,
    /// The status.
    pub(crate) status: u16,
    /// Duration, count and code.
    pub(crate) tail: String,
}

/// `time actor METHOD path status duration`, then the count and the code where there are any.
pub(crate) fn event_line(event: &Event) -> EventLine {
    let mut head = String::new();
    for field in [&event.time, &event.actor, &event.method, &event.path] {
        push_field(&mut head, field);
        head.push(' ');
    }
    let mut tail = format!(" {}", duration(event.duration_us));
    if let Some(count) = event.count {
        push(&mut tail, format_args!(" x{count}"));
    }
    if let Some(code) = &event.code {
        tail.push(' ');
        push_field(&mut tail, code);
    }
    EventLine {
        head,
        status: event.status,
        tail,
    }
}

/// A field of a line: no space, no control character, nothing outside printable ASCII.
fn push_field(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '!'..='~' => out.push(c),
            c => push(out, format_args!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    if text.is_empty() {
        out.push('-');
    }
}

/// Writing to a string cannot fail.
fn push(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use claviger_wire::{
        keys::{LabelSelector, Workspaces},
        ledger::Event,
        map::TextMap,
    };

    use super::{
        duration, event_line, is_shell_name, or_dash, printable, printable_json, shell_quoted,
        workspaces,
    };

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(
            printable("a\u{1b}[31mb\tc\nd\re\u{9b}ü"),
            "a\\u{1b}[31mb\\tc\\nd\\re\\u{9b}ü"
        );
        assert_eq!(printable("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        let json = "{\"a\": \"\u{202e}ü\u{e0001}\"}\n";
        let shown = "{\"a\": \"\\u202eü\\udb40\\udc01\"}\n";
        assert_eq!(printable_json(json), shown);
    }

    #[test]
    fn quoted_text_is_one_word_of_a_shell() {
        assert_eq!(shell_quoted("plain"), "'plain'");
        assert_eq!(shell_quoted(""), "''");
        assert_eq!(
            shell_quoted("it's $HOME `x` \"y\" \\"),
            r#"'it'\''s $HOME `x` "y" \'"#
        );
        assert_eq!(shell_quoted("two\nlines"), "'two\nlines'");
    }

    #[test]
    fn names_of_variables_are_told_from_others() {
        for name in ["A", "_a", "OPENAI_API_KEY", "a1"] {
            assert!(is_shell_name(name), "{name}");
        }
        for name in ["", "1a", "a-b", "a.b", "a b", "ä"] {
            assert!(!is_shell_name(name), "{name}");
        }
    }

    #[test]
    fn bindings_are_one_word() {
        let labels = TextMap([("agent".to_owned(), "x".to_owned())].into());
        assert_eq!(workspaces(&Workspaces::Word("*".to_owned())), "*");
        assert_eq!(workspaces(&Workspaces::Ids(vec![])), "none");
        assert_eq!(
            workspaces(&Workspaces::Ids(vec!["ws_1".into(), "ws_2".into()])),
            "ws_1,ws_2"
        );
        assert_eq!(
            workspaces(&Workspaces::Selector(LabelSelector { labels })),
            "agent=x"
        );
    }

    #[test]
    fn absence_is_a_dash() {
        assert_eq!(or_dash(None), "-");
        assert_eq!(or_dash(Some("")), "-");
        assert_eq!(or_dash(Some("x")), "x");
    }

    #[test]
    fn the_line_of_an_event_is_the_documented_one() {
        let event: Event = serde_json::from_str(
            r#"{"seq":1,"id":"evt_1","time":"2026-01-02T03:04:05Z","org":"org_1","kind":"request",
                "tier":"2a","actor":"org-token:mole_a1b2c3d4","root":"x","method":"POST",
                "path":"/a b","route":"/a","status":200,"duration_us":12345,"count":3,"code":"c"}"#,
        )
        .expect("an event");
        let line = event_line(&event);
        assert_eq!(
            format!("{}{}{}", line.head, line.status, line.tail),
            "2026-01-02T03:04:05Z org-token:mole_a1b2c3d4 POST /a\\u{20}b 200 12ms x3 c"
        );
        assert_eq!(duration(999), "999us");
        assert_eq!(duration(1000), "1ms");
    }
}
