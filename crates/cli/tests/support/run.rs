//! A program that is run to its end.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use crate::captured::Captured;

/// How long a command may take: a client gives up after 30 s by itself.
const RUN_MAX: Duration = Duration::from_secs(60);

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program with this on its standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let out = Captured::of(child.stdout.take().expect("it is piped"));
    let err = Captured::of(child.stderr.take().expect("it is piped"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that wants no input may be gone by now.
    stdin.write_all(input.as_bytes()).ok();
    drop(stdin);
    if !(out.ends_within(RUN_MAX) && err.ends_within(RUN_MAX)) {
        child.kill().ok();
        panic!(
            "{command:?} did not end; it said:\n{}{}",
            out.text(),
            err.text()
        );
    }
    let status = child.wait().expect("it can be waited for");
    Ended {
        code: status.code(),
        out: out.text(),
        err: err.text(),
    }
}
