//! The pages for tasks, as they stand: every command, in its order, in one shell that ends at the first
//! failure.

use std::{path::Path, process::Command};

use crate::{bed::Bed, cli::Cli, run::run, server::Server};

/// What stands in the blocks of shell commands of a page, in order.
fn shell_blocks(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1);
    let ended = blocks.filter_map(|rest| rest.split_once("```"));
    ended.map(|(block, _)| block).collect()
}

#[test]
fn every_page_for_a_task_works_as_it_stands() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tasks");
    let mut walked = 0;
    for entry in std::fs::read_dir(pages).expect("the pages") {
        let path = entry.expect("a page").path();
        let page = std::fs::read_to_string(&path).expect("a page");
        let commands = shell_blocks(&page);
        assert!(!commands.is_empty(), "{}: no commands", path.display());
        let bed = Bed::sqlite();
        let server = Server::start(bed.serve(&[]));
        let nobody = Cli::new(&bed, &server, "");
        let admin = nobody.with(&nobody.mint("admin"));
        let binary = Path::new(env!("CARGO_BIN_EXE_claviger"));
        let home = binary.parent().expect("a directory").display();
        let mut shell = Command::new("sh");
        shell.args(["-euc", &format!("PATH={home}:$PATH\n{commands}")]);
        shell.current_dir(bed.data.parent().expect("a directory"));
        shell.env("CLAVIGER_URL", &server.url);
        shell.env("CLAVIGER_TOKEN", &admin.token);
        let ended = run(shell, "");
        let said = format!("{}\n{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(0), "{}: {said}", path.display());
        walked += 1;
    }
    assert!(walked >= 5, "{walked} pages");
}
