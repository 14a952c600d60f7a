//! The `claviger` binary: the server and its command line.

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, output::Output};

mod args;
mod client;
mod commands;
mod error;
mod input;
mod output;
mod text;

/// Records are made on one thread and freed on another, thousands of times a second: the system's
/// allocator spends a tenth of the request budget on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::print_usage(&error),
    };
    let out = Output::new(cli.global.json, cli.global.no_color);
    match commands::run(cli, &out) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            out.failure(&failure);
            failure.exit().into()
        }
    }
}
