//! A server with 1,000,000 keys: how soon it is ready, and what a key costs it in memory.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use claviger_testkit::Postgres;

use crate::{Failure, say, seed};

/// Keys in the database.
const KEYS: u64 = 1_000_000;

/// A contestant that runs.
pub(crate) struct Contestant {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Contestant {
    /// Starts a program that says where it listens, on standard output or standard error.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (out, err) = (
            child.stdout.take().ok_or("no output")?,
            child.stderr.take().ok_or("no error output")?,
        );
        let (found, address) = std::sync::mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [Box::new(out), Box::new(err)];
        for stream in streams {
            let found = found.clone();
            // The threads read on, or the contestant would block on a full pipe.
            std::thread::spawn(move || {
                let mut reader = BufReader::with_capacity(1 << 20, stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if let Some((_, rest)) = line.split_once("listen") {
                        let place = rest.rsplit([' ', '/']).next().unwrap_or_default();
                        found.send(place.trim().to_owned()).unwrap_or_default();
                        break;
                    }
                    line.clear();
                }
                std::io::copy(&mut reader, &mut std::io::sink())
                    .map(drop)
                    .unwrap_or_default();
            });
        }
        drop(found);
        let address = address
            .recv()
            .map_err(|_ended| "the contestant ended before it listened")?;
        Ok(Self { child, address })
    }

    /// Starts Claviger on a database.
    pub(crate) fn claviger(data_dir: &Path, url: &str, audit: &str) -> Result<Self, Failure> {
        let program = std::env::current_exe()?.with_file_name("claviger");
        Self::start(Command::new(program).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--bootstrap",
            "off",
            "--audit",
            audit,
            "--database-url",
            url,
            "--data-dir",
            &data_dir.display().to_string(),
        ]))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait().map(drop))
            .unwrap_or_default();
    }
}

/// One request on a connection of its own; gives the status line.
pub(crate) fn ask(address: &str, path: &str, token: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn resident(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<f64>()
        .ok()
        .map(|kib| kib * 1024.0)
}

/// Measures and prints.
pub(crate) fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let database = Postgres::shared().database();
    let sqlite = format!("sqlite:{}", folder.path().join("many.db").display());
    say(&format!("a server with {KEYS} keys"));
    for (name, url, target) in [("SQLite", sqlite, 2.0), ("PostgreSQL", database.url(), 3.0)] {
        let empty = folder.path().join(format!("{name}-data"));
        runtime.block_on(seed::fill(&empty, &url, KEYS))?;
        let mut times = Vec::new();
        let mut bytes = 0.0;
        for _ in 0..3 {
            let started = Instant::now();
            let server = Contestant::claviger(&empty, &url, "durable")?;
            let status = ask(&server.address, "/org/whoami", seed::secret(77).expose())?;
            times.push(started.elapsed().as_secs_f64());
            if !status.contains(" 200 ") {
                return Err(format!("{name}: a seeded key was answered with {status}").into());
            }
            bytes = resident(server.pid()).ok_or("no memory figure")?;
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(1).copied().unwrap_or(f64::NAN);
        say(&format!(
            "  {name:<11} from start to the first answer {median:5.2} s  target under {target} s: {}",
            if median < target { "met" } else { "MISSED" }
        ));
        say(&format!(
            "  {name:<11} resident memory per key        {:5.0} B",
            bytes / 1e6
        ));
    }
    say("");
    Ok(())
}
