//! `claviger man`.

use clap::CommandFactory as _;

use crate::{args::Cli, error::Failure, output::Output};

/// Prints the page of the program, or of the command that the words name.
pub(super) fn run(words: &[String], out: &Output) -> Result<(), Failure> {
    let mut page = Vec::new();
    render(words, &mut page)?;
    out.raw(&page)
}

fn render(words: &[String], page: &mut Vec<u8>) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let mut found = &command;
    for word in words {
        found = found
            .find_subcommand(word)
            .ok_or_else(|| Failure::Usage(format!("there is no command `{}`", words.join(" "))))?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(found.clone())
        .render(&mut text)
        .map_err(Failure::Output)?;
    let heading = if words.is_empty() {
        "ENVIRONMENT AND EXIT STATUS"
    } else {
        "NOTES"
    };
    let text = String::from_utf8_lossy(&text);
    let text = text.replace("\n.SH EXTRA\n", &format!("\n.SH \"{heading}\"\n"));
    page.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn the_page_of_the_program_lists_exit_codes() {
        let mut page = Vec::new();
        render(&[], &mut page).expect("a page");
        let page = String::from_utf8(page).expect("UTF-8");
        assert!(page.contains("unauthenticated (401)"), "{page}");
        assert!(
            page.contains("EXIT STATUS") && !page.contains("EXTRA"),
            "{page}"
        );
    }

    #[test]
    fn a_command_has_a_page_and_an_unknown_one_has_not() {
        let mut page = Vec::new();
        render(&["keys".to_owned(), "mint".to_owned()], &mut page).expect("a page");
        assert!(String::from_utf8(page).is_ok_and(|page| page.contains("idempotency")));
        assert!(render(&["locks".to_owned()], &mut Vec::new()).is_err());
    }
}
