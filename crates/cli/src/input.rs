//! What comes from standard input or from a person: values that may be no arguments, and a yes.

use std::io::{self, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::{error::Failure, output::Output};

/// More than any value that the API takes.
const INPUT_BYTES_MAX: u64 = 1024 * 1024;

/// Whether a person sits at standard input.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// All of standard input.
pub(crate) fn read_all(what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut limited = io::stdin().lock().take(INPUT_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| {
        Failure::Local(format!("cannot read {what} from standard input: {error}"))
    })?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > INPUT_BYTES_MAX) {
        return Err(Failure::Usage(format!(
            "{what} is longer than {INPUT_BYTES_MAX} bytes"
        )));
    }
    let text = str::from_utf8(&bytes).map_err(|error| {
        let at = error.valid_up_to();
        Failure::Usage(format!(
            "{what} is not UTF-8 at byte {at}; encode it, for example in base64"
        ))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The text without the one newline that `echo` and editors put at the end.
pub(crate) fn without_newline(text: &str) -> &str {
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}

/// A value that is typed on the terminal and not shown.
pub(crate) fn hidden(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(format!("{prompt}: "))
        .map(Zeroizing::new)
        .map_err(|error| {
            Failure::Usage(format!(
                "cannot ask for {prompt}: {error}; use standard input instead"
            ))
        })
}

/// Asks for a yes, unless it was given as `--yes`. In a pipe nobody can be asked.
pub(crate) fn confirm(out: &Output, question: &str, is_given: bool) -> Result<(), Failure> {
    if is_given {
        return Ok(());
    }
    if !is_terminal() {
        return Err(Failure::Usage(format!(
            "{question} nobody can be asked here: add --yes"
        )));
    }
    out.prompt(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::Local(format!("cannot read the answer: {error}")))?;
    if is_yes(&answer) {
        return Ok(());
    }
    Err(Failure::Local("nothing was changed".to_owned()))
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::{is_yes, without_newline};

    #[test]
    fn one_newline_is_stripped_and_no_more() {
        assert_eq!(without_newline("a\n"), "a");
        assert_eq!(without_newline("a\r\n"), "a");
        assert_eq!(without_newline("a\n\n"), "a\n");
        assert_eq!(without_newline("a"), "a");
        assert_eq!(without_newline(" a "), " a ");
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Y", " yes\n", "YES"] {
            assert!(is_yes(yes), "{yes}");
        }
        for no in ["", "\n", "n", "yess", "no"] {
            assert!(!is_yes(no), "{no}");
        }
    }
}
