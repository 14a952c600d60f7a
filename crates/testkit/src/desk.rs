//! `Desk`: one `psql` that stays connected. Each test makes a database and drops it, and a program and a
//! connection for each of the two would be a good part of the time of all tests.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use crate::{database::ClusterUrl, install};

/// What stands before each answer. No message of PostgreSQL's begins so.
const MARK: &str = "claviger-testkit-answer";

/// Those of this process, by the database that they are connected to.
static KEPT: Mutex<BTreeMap<String, Desk>> = Mutex::new(BTreeMap::new());

/// A `psql` at work. It ends when its input ends, so at the latest with this process.
#[derive(Debug)]
struct Desk {
    _program: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Runs a statement in the database for administration; one at a time. Where no `psql` is connected, or
/// the connection has ended, one is started.
///
/// # Errors
/// What PostgreSQL says against it, or why it could not be reached.
pub(crate) fn run(cluster: &ClusterUrl, sql: &str) -> Result<(), String> {
    let url = cluster.administration();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(desk) = kept.get_mut(&url)
        && let Ok(answer) = desk.ask(sql)
    {
        return answer;
    }
    let mut fresh = Desk::open(&url).map_err(|error| error.to_string())?;
    let answer = fresh.ask(sql).map_err(|error| error.to_string())?;
    kept.insert(url, fresh);
    answer
}

impl Desk {
    fn open(url: &str) -> io::Result<Self> {
        let mut program = Command::new(install::psql())
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-password"])
            .args(["--dbname", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = program.stdin.take().zip(program.stdout.take());
        let (input, output) = pipes.expect("both are piped");
        Ok(Self {
            _program: program,
            input,
            output: BufReader::new(output),
        })
    }

    /// The outer error is that of the connection, the inner one that of the statement.
    fn ask(&mut self, sql: &str) -> io::Result<Result<(), String>> {
        writeln!(
            self.input,
            "{sql};\n\\echo {MARK} :ERROR :LAST_ERROR_MESSAGE"
        )?;
        self.input.flush()?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = line.trim_end().strip_prefix(MARK) {
                return Ok(match answer.trim_start().split_once(' ') {
                    Some(("true", problem)) => Err(problem.to_owned()),
                    _ => Ok(()),
                });
            }
        }
    }
}
