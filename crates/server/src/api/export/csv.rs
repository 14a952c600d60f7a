//! Records as CSV (RFC 4180): a header line, a record a line, always the same columns.
//!
//! A cell that a spreadsheet would take for a formula gets a single quotation mark before it, as OWASP
//! advises (CSV Injection). Control characters are written as `\u{…}`, so a record is one line, and so is
//! a backslash as `\\`.

use std::fmt::Write as _;

use claviger_store::AuditRow;

use crate::told::Told;

/// The columns, in their order. What comes is added at the end.
pub(super) const COLUMNS: [&str; 22] = [
    "seq",
    "id",
    "time",
    "org",
    "kind",
    "tier",
    "actor",
    "key",
    "chain",
    "root",
    "impersonator",
    "method",
    "path",
    "route",
    "workspace",
    "status",
    "code",
    "duration_us",
    "client",
    "user_agent",
    "count",
    "change",
];

/// The first line.
pub(super) fn head() -> Vec<u8> {
    [COLUMNS.join(",").as_bytes(), b"\r\n"].concat()
}

/// Adds the line of a record; `None` for what is none.
pub(super) fn push(out: &mut Vec<u8>, row: &AuditRow) -> Option<()> {
    let told = Told::read(&row.bytes)?;
    let (seq, status) = (row.seq.to_string(), told.status.to_string());
    let (duration, count) = (told.duration_us.to_string(), told.count.to_string());
    let chain = told.chain.join(" ");
    let cells: [&str; COLUMNS.len()] = [
        &seq,
        &told.id,
        &told.time,
        &told.org,
        &told.kind,
        &told.tier,
        &told.actor,
        told.key.as_deref().unwrap_or_default(),
        &chain,
        &told.root,
        told.impersonator.as_deref().unwrap_or_default(),
        &told.method,
        &told.path,
        &told.route,
        told.workspace.as_deref().unwrap_or_default(),
        &status,
        told.code.as_deref().unwrap_or_default(),
        &duration,
        told.client.as_deref().unwrap_or_default(),
        told.user_agent.as_deref().unwrap_or_default(),
        &count,
        told.change.map(|change| change.get()).unwrap_or_default(),
    ];
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_cell(out, cell);
    }
    out.extend_from_slice(b"\r\n");
    Some(())
}

/// Whether a spreadsheet may take a cell for a formula. The wide forms of the signs count as well.
fn is_formula(text: &str) -> bool {
    let signs = ['=', '+', '-', '@', '\t', '\r', '\n'];
    let wide = ['\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    text.starts_with(signs) || text.starts_with(wide)
}

/// Whether a spreadsheet that takes `;` for the end of a cell finds a formula in it.
fn holds_formula(text: &str) -> bool {
    text.split(';').any(is_formula)
}

fn push_cell(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:{} ".contains(&byte);
    if text.bytes().all(is_plain) && !holds_formula(text) {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut cell = String::with_capacity(text.len() + 8);
    let mut begins = true;
    for (at, c) in text.char_indices() {
        if begins && text.get(at..).is_some_and(is_formula) {
            cell.push('\'');
        }
        begins = c == ';';
        match c {
            '"' => cell.push_str("\"\""),
            '\\' => cell.push_str("\\\\"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                // Writing into a text never fails.
                write!(cell, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default();
            }
            c => cell.push(c),
        }
    }
    out.push(b'"');
    out.extend_from_slice(cell.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use claviger_core::ledger::entry::Kind;

    use super::{COLUMNS, head, push, push_cell};
    use crate::told::samples::{METHODS, row};

    /// Takes a line apart as RFC 4180 says.
    fn cells(line: &str) -> Vec<String> {
        let (mut cells, mut is_quoted) = (vec![String::new()], false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let last = cells.last_mut().expect("a cell");
            match c {
                '"' if is_quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    last.push('"');
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => cells.push(String::new()),
                c => last.push(c),
            }
        }
        assert!(!is_quoted, "{line}");
        cells
    }

    #[test]
    fn every_record_has_the_columns_of_the_header() {
        assert_eq!(head(), format!("{}\r\n", COLUMNS.join(",")).into_bytes());
        for (kind, method) in Kind::ALL
            .iter()
            .flat_map(|kind| METHODS.map(|method| (*kind, method)))
        {
            let mut out = Vec::new();
            push(
                &mut out,
                &row((kind, method), 403, "/a,\"b\"\r\n\u{2028}=c"),
            )
            .expect("a record");
            let line = String::from_utf8(out).expect("UTF-8");
            let line = line.strip_suffix("\r\n").expect("a line");
            assert!(!line.contains(['\r', '\n']), "{line}");
            let cells = cells(line);
            assert_eq!(cells.len(), COLUMNS.len(), "{line}");
            assert_eq!((&*cells[0], &*cells[4]), ("42", kind.as_str()));
            assert_eq!(cells[12], "/a,\"b\"\\u{d}\\u{a}\\u{2028}=c");
            assert_eq!(cells[15], "403");
            for cell in cells {
                assert!(
                    !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                    "{cell}"
                );
            }
        }
        let mut out = Vec::new();
        push(&mut out, &row((Kind::Request, "POST"), 201, "/x")).expect("a record");
        let cells = cells(String::from_utf8(out).expect("UTF-8").trim_end());
        assert_eq!(cells[19], "'+curl/8, \"x\"\\u{9}");
        assert_eq!(cells[21], "{\"minted\":{\"id\":\"tok_1\",\"n\":[1]}}");
    }

    #[test]
    fn formulas_are_texts() {
        for (text, written) in [
            ("plain text", "plain text"),
            ("", ""),
            ("=1+1", "\"'=1+1\""),
            ("-2", "\"'-2\""),
            ("+x", "\"'+x\""),
            ("@x", "\"'@x\""),
            ("\tx", "\"'\\u{9}x\""),
            ("\rx", "\"'\\u{d}x\""),
            ("\u{ff1d}x", "\"'\u{ff1d}x\""),
            ("a=1", "\"a=1\""),
            ("x;=1;y;-2", "\"x;'=1;y;'-2\""),
            ("a\\b", "\"a\\\\b\""),
            ("\u{fc}", "\"\u{fc}\""),
        ] {
            let mut out = Vec::new();
            push_cell(&mut out, text);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), written);
        }
    }
}
