//! The one place that writes to standard output and standard error.
//!
//! To a terminal: tables and colour. To a pipe: tab-separated lines without a heading. With `--json`:
//! the API's JSON, one document. Whatever is written passes [`printable`], but for what must be exact.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Cell as StyledCell, ColumnConstraint, ContentArrangement, presets};
use serde::Serialize;

use crate::{
    error::{Exit, Failure},
    text::{EventLine, printable, printable_json},
};

/// The narrowest terminal for which columns are broken.
const WIDTH_MIN: u16 = 40;

/// What a text means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Look here.
    Warning,
    /// Wrong.
    Bad,
}

impl Tone {
    /// The tone of an HTTP status.
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            0..400 => Self::Good,
            400..500 => Self::Warning,
            500.. => Self::Bad,
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }

    const fn color(self) -> Option<comfy_table::Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(comfy_table::Color::Green),
            Self::Warning => Some(comfy_table::Color::Yellow),
            Self::Bad => Some(comfy_table::Color::Red),
        }
    }
}

/// One field of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text with a meaning.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under headings. Without headings: the fields of one thing, a name and a value each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub(crate) const fn new(headings: &'static [&'static str]) -> Self {
        Self {
            headings,
            rows: Vec::new(),
        }
    }

    /// One thing, field by field.
    pub(crate) const fn fields() -> Self {
        Self::new(&[])
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.cells(cells.into());
    }

    /// Adds a row of as many cells as there are headings.
    pub(crate) fn cells(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Adds a field with its name.
    pub(crate) fn field(&mut self, name: &str, value: impl Into<Cell>) {
        self.row([name.into(), value.into()]);
    }

    /// Tab-separated lines: a row each, no heading.
    pub(crate) fn plain(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| printable(&cell.text)).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }

    /// A table for a person. `width`: columns of the terminal, where they are not found out.
    fn drawn(&self, has_color: bool, width: Option<u16>) -> String {
        if self.rows.is_empty() {
            return "nothing to show\n".to_owned();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = width {
            table.set_width(width);
        }
        if has_color {
            table.enforce_styling();
        } else if width.is_some() {
            table.force_no_tty();
        }
        // A terminal that does not know its width, or has hardly any, is better at breaking lines.
        if table.width().is_some_and(|width| width >= WIDTH_MIN) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        if !self.headings.is_empty() {
            table.set_header(self.headings.iter().map(StyledCell::new));
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| {
                let styled = StyledCell::new(printable(&cell.text));
                match cell.tone.color().filter(|_| has_color) {
                    Some(color) => styled.fg(color),
                    None => styled,
                }
            }));
        }
        // The first column holds what people copy: ids and names stay whole.
        if let Some(first) = table.column_mut(0) {
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }
}

/// Standard output and standard error, and how to write to them.
#[derive(Debug)]
pub(crate) struct Output {
    is_json: bool,
    is_terminal: bool,
    is_stderr_terminal: bool,
    has_color: bool,
}

impl Output {
    /// `is_json`: `--json`; `is_colorless`: `--no-color`.
    pub(crate) fn new(is_json: bool, is_colorless: bool) -> Self {
        Self {
            is_json,
            is_terminal: io::stdout().is_terminal(),
            is_stderr_terminal: io::stderr().is_terminal(),
            has_color: !is_colorless && !has_no_color(),
        }
    }

    /// Whether `--json` was given.
    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    /// Whether standard output is a terminal.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether standard error is a terminal.
    pub(crate) const fn is_stderr_terminal(&self) -> bool {
        self.is_stderr_terminal
    }

    /// Shows an answer: the document with `--json`, else the table that is made from it.
    pub(crate) fn show<T: Serialize>(
        &self,
        answer: &T,
        table: impl FnOnce(&T) -> Table,
    ) -> Result<(), Failure> {
        if self.is_json {
            self.json(answer)
        } else {
            self.table(&table(answer))
        }
    }

    /// Writes a table or, in a pipe, tab-separated lines.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Failure> {
        if self.is_terminal {
            self.raw(table.drawn(self.has_color, None).as_bytes())
        } else {
            self.raw(table.plain().as_bytes())
        }
    }

    /// Writes one JSON document: indented for a person, in one line for a program.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = if self.is_terminal {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(|error| Failure::Output(error.into()))?;
        self.line(&printable_json(&text))
    }

    /// Writes one JSON document of many, in a line of its own.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?;
        self.line(&printable_json(&text))
    }

    /// Writes a line as it is.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Writes the line of an audit record.
    pub(crate) fn event(&self, line: &EventLine) -> Result<(), Failure> {
        let status = self.painted(
            &line.status.to_string(),
            Tone::of_status(line.status),
            self.is_terminal,
        );
        self.line(&format!("{}{status}{}", line.head, line.tail))
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(())
    }

    /// Says the fields of something beside the output, on standard error.
    pub(crate) fn beside(&self, table: &Table) {
        write_stderr(&table.plain());
    }

    /// Says something beside the output, on standard error.
    pub(crate) fn note(&self, text: &str) {
        write_stderr(&format!("{}\n", printable(text)));
    }

    /// Says something that a person must not miss, on standard error.
    pub(crate) fn warning(&self, text: &str) {
        let word = self.painted("warning:", Tone::Warning, self.is_stderr_terminal);
        write_stderr(&format!("{word} {}\n", printable(text)));
    }

    /// Says how far something has come, over what was said before. For terminals only.
    pub(crate) fn progress(&self, text: &str) {
        if self.is_stderr_terminal {
            write_stderr(&format!("\r\u{1b}[K{}", printable(text)));
        }
    }

    /// Asks, and leaves the cursor behind the question.
    pub(crate) fn prompt(&self, text: &str) {
        write_stderr(&printable(text));
    }

    /// Says why the command failed, and what to do next.
    pub(crate) fn failure(&self, failure: &Failure) {
        if matches!(failure, Failure::Closed) {
            return;
        }
        let word = self.painted("error:", Tone::Bad, self.is_stderr_terminal);
        write_stderr(&format!("{word} {}\n", printable(&failure.to_string())));
        if let Some(advice) = failure.advice() {
            self.note(&advice);
        }
    }

    fn painted(&self, text: &str, tone: Tone, is_terminal: bool) -> String {
        if !self.has_color || !is_terminal {
            return text.to_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }
}

/// Prints what the parser of the command line has to say: help, the version, or a mistake.
pub(crate) fn print_usage(error: &clap::Error) -> ExitCode {
    // A reader that has gone away needs no help.
    drop(error.print());
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Done.into()
    }
}

/// Whoever closed standard error does not want to know.
fn write_stderr(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// See <https://no-color.org>: set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "a convention between the terminal and every program in it, not a setting of Claviger"
)]
fn has_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Cell, Table, Tone};

    fn keys() -> Table {
        let mut table = Table::new(&["NAME", "STATUS"]);
        table.row(["ci".into(), Cell::toned("active", Tone::Good)]);
        table.row(["a\tb\n\u{1b}[2J".into(), Cell::toned("revoked", Tone::Bad)]);
        table
    }

    #[test]
    fn a_pipe_gets_one_line_per_row_and_no_heading() {
        assert_eq!(keys().plain(), "ci\tactive\na\\tb\\n\\u{1b}[2J\trevoked\n");
        assert_eq!(Table::new(&["NAME"]).plain(), "");
    }

    #[test]
    fn a_terminal_gets_headings_and_no_control_characters() {
        let drawn = keys().drawn(false, Some(80));
        let lines: Vec<Vec<&str>> = drawn
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let expected = [
            vec!["NAME", "STATUS"],
            vec!["ci", "active"],
            vec!["a\\tb\\n\\u{1b}[2J", "revoked"],
        ];
        assert_eq!(lines, expected);
        assert!(!drawn.contains('\u{1b}'));
    }

    #[test]
    fn a_terminal_without_a_width_gets_whole_lines() {
        for width in [0, 10] {
            assert_eq!(
                keys().drawn(false, Some(width)).lines().count(),
                3,
                "width {width}"
            );
        }
    }

    #[test]
    fn colour_is_there_only_when_asked_for() {
        assert!(keys().drawn(true, Some(80)).contains("\u{1b}["));
        assert_eq!(
            Table::new(&["NAME"]).drawn(false, Some(80)),
            "nothing to show\n"
        );
    }

    #[test]
    fn fields_are_name_and_value() {
        let mut table = Table::fields();
        table.field("id", "tok_1");
        table.field("name", "ci".to_owned());
        assert_eq!(table.plain(), "id\ttok_1\nname\tci\n");
    }

    #[test]
    fn statuses_have_tones() {
        assert_eq!(Tone::of_status(204), Tone::Good);
        assert_eq!(Tone::of_status(404), Tone::Warning);
        assert_eq!(Tone::of_status(503), Tone::Bad);
    }
}
