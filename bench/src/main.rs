//! The benchmark: `bench/run`. Claviger beside bare axum and beside the common hand-written design,
//! in one interleaved run, with CPU time per request.
//!
//! Each contestant is a process of its own; this process makes the load. What counts is how many
//! requests a contestant answers per second of its own CPU time: unlike requests per second that
//! does not depend on who else uses the machine. The CPU time of PostgreSQL is shown beside.

mod contestants;
mod counting;
mod grants;
mod http;
mod ledger;
mod load;
mod memory;
mod micro;
mod pages;
mod seed;

use std::io::Write as _;

/// What went wrong, in words.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Writes a line to standard output.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .unwrap_or_default();
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bare"] => contestants::bare(),
        ["hand-written", url] => contestants::hand_written(url),
        ["micro"] => {
            micro::run();
            counting::run();
            Ok(())
        }
        ["memory"] => memory::run(),
        ["requests"] => load::compare(3.0, 5),
        ["requests", seconds, rounds] => load::compare(seconds.parse()?, rounds.parse()?),
        ["grants"] => grants::compare(3.0, 9),
        ["grants", seconds, rounds] => grants::compare(seconds.parse()?, rounds.parse()?),
        ["ledger"] => ledger::run(ledger::RECORDS),
        ["ledger", records] => ledger::run(records.parse()?),
        ["pages", rest @ ..] => pages::run(&pages::Plan::read(rest)?),
        [] => {
            micro::run();
            memory::run()?;
            load::compare(3.0, 5)?;
            grants::compare(3.0, 9)?;
            ledger::run(ledger::RECORDS)?;
            pages::run(&pages::Plan::read(&[])?)
        }
        _ => Err("usage: claviger-bench [micro | memory | requests [SECONDS ROUNDS] | grants [SECONDS ROUNDS] | ledger [RECORDS] | pages [FILE|- [KEYS [RECORDS]]]]".into()),
    }
}
