//! What each command does. One file per resource, with the same name as its arguments.

use std::future::Future;

use clap::CommandFactory as _;

use crate::{
    args::{Cli, Command, Global, ServeFlags},
    client::Client,
    error::{Exit, Failure},
    output::Output,
};

mod advice;
mod audit;
mod blast;
mod channels;
mod doctor;
mod export;
mod keys;
mod lines;
mod log_files;
mod login_link;
mod manual;
mod members;
mod orgs;
mod policy;
mod requests;
mod scan;
mod secrets;
mod serve;
mod tail;
mod tlog;
mod verify;
mod whoami;
mod workspaces;

/// Carries out the command.
pub(crate) fn run(cli: Cli, out: &Output) -> Result<Exit, Failure> {
    let global = cli.global;
    if cli.command.is_some() && cli.serve != ServeFlags::default() {
        let reason = "the flags of `serve` come after `serve`: claviger serve --listen …";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(flags)) => serve::run(&flags),
        Some(Command::Doctor(flags)) => return doctor::run(&flags, &global, out),
        Some(Command::Keys(command)) => online(&global, out, async |client| {
            keys::run(command, &client, out).await
        }),
        Some(Command::Policy(command)) => online(&global, out, async |client| {
            policy::run(command, &client, out).await
        }),
        Some(Command::Requests(command)) => online(&global, out, async |client| {
            requests::run(command, &client, out).await
        }),
        Some(Command::Workspaces(command)) => online(&global, out, async |client| {
            workspaces::run(command, &client, out).await
        }),
        Some(Command::Secrets(command)) => secrets::run(command, &global, out),
        Some(Command::Channels(command)) => channels::run(command, &global, out),
        Some(Command::Audit(command)) => audit::run(command, &global, out),
        Some(Command::Whoami) => {
            online(&global, out, async |client| whoami::run(&client, out).await)
        }
        Some(Command::LoginLink) => online(&global, out, async |client| {
            login_link::run(&client, out).await
        }),
        Some(Command::Members(command)) => online(&global, out, async |client| {
            members::run(command, &client, out).await
        }),
        Some(Command::Orgs(command)) => online(&global, out, async |client| {
            orgs::run(command, &client, out).await
        }),
        Some(Command::Scan(args)) => scan::run(&args, &global, out),
        Some(Command::Openapi) => out.line(claviger_server::openapi_json().trim_end()),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "claviger", &mut script);
            out.raw(&script)
        }
        Some(Command::Man { command }) => manual::run(&command, out),
    };
    done.map(|()| Exit::Done)
}

/// Runs a client command: one thread is enough for it.
fn online<F: Future<Output = Result<(), Failure>>>(
    global: &Global,
    out: &Output,
    command: impl FnOnce(Client) -> F,
) -> Result<(), Failure> {
    let client = Client::new(global, out)?;
    block_on(
        tokio::runtime::Builder::new_current_thread(),
        command(client),
    )
}

/// Runs a future to its end.
fn block_on<T>(
    mut builder: tokio::runtime::Builder,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("cannot start: {error}")))?;
    runtime.block_on(future)
}
