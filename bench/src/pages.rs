//! How long pages take with 10,000 keys and 1,000,000 audit records: `bench/run pages`.
//!
//! What is measured is the time from the last byte of the request to the last byte of the answer, over
//! one connection on the same machine: what the server takes, and the way through the loopback.

pub(crate) mod org;
pub(crate) mod trail;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use claviger_server::clock;
use claviger_testkit::Postgres;

use self::org::{ADMIN_TOKEN, Org};
use crate::{Failure, http::Client, memory::Contestant, say};

const KEYS: u64 = 10_000;
const RECORDS: u64 = 1_000_000;
/// Requests for each page, after those that warm caches.
const REQUESTS: usize = 200;
const WARM_UP: usize = 20;
/// What a page may take.
const TARGET: Duration = Duration::from_millis(20);
/// What the pages are, unless another list is named.
const LIST: &str = include_str!("../pages.txt");

/// Which pages, and how much there is.
pub(crate) struct Plan {
    list: String,
    keys: u64,
    records: u64,
}

impl Plan {
    /// From the words of the command line: a file, a number of keys, a number of records.
    pub(crate) fn read(words: &[&str]) -> Result<Self, Failure> {
        let mut words = words.iter();
        let list = match words.next() {
            None | Some(&"-") => LIST.to_owned(),
            Some(path) => std::fs::read_to_string(path)?,
        };
        let mut number = |default| words.next().map_or(Ok(default), |word| word.parse());
        Ok(Self {
            list,
            keys: number(KEYS)?,
            records: number(RECORDS)?,
        })
    }
}

/// What one page took.
struct Figures {
    path: String,
    status: u16,
    bytes: usize,
    median: Duration,
    p99: Duration,
}

/// Fills both databases, and measures every page on each.
pub(crate) fn run(plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let database = Postgres::shared().database();
    let sqlite = format!("sqlite:{}", folder.path().join("pages.db").display());
    for (name, url) in [("SQLite", sqlite), ("PostgreSQL", database.url())] {
        let data = folder.path().join(name);
        let org = fill(plan, &data, &url)?;
        let server = start(&data, &url)?;
        let visitor = Visitor::sign_in(&server.address)?;
        say(&format!(
            "{name}: {} keys, {} audit records, {REQUESTS} requests over one connection",
            plan.keys, plan.records
        ));
        say("    median ms     p99 ms      bytes  status  page");
        for path in pages(&plan.list, &org)? {
            report(&visitor.measure(&path)?);
        }
    }
    Ok(())
}

fn start(data: &Path, url: &str) -> Result<Contestant, Failure> {
    let program = std::env::current_exe()?.with_file_name("claviger");
    let data = data.display().to_string();
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data,
        "--database-url",
        url,
    ];
    Contestant::start(
        Command::new(program)
            .args(arguments)
            .env("ADMIN_TOKEN", ADMIN_TOKEN),
    )
}

/// Makes the org through a server, and its past while there is none.
fn fill(plan: &Plan, data: &Path, url: &str) -> Result<Org, Failure> {
    let started = Instant::now();
    let server = start(data, url)?;
    let org = org::make(&server.address, plan.keys)?;
    drop(server);
    let minted = started.elapsed();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(trail::fill(url, &org, plan.records, clock::now()))?;
    say(&format!(
        "(made in {} s, of which {} s for the keys)",
        started.elapsed().as_secs(),
        minted.as_secs()
    ));
    Ok(org)
}

/// The paths in the list, with what is in the org in the places that it leaves open.
fn pages(list: &str, org: &Org) -> Result<Vec<String>, Failure> {
    let busy = org.keys.first().ok_or("there are keys")?;
    let plain = org
        .keys
        .get(org.keys.len() / 2)
        .ok_or("there are more keys")?;
    let workspace = org.workspaces.first().ok_or("there are workspaces")?;
    let lines = list.lines().map(str::trim);
    let wanted = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fill = |line: &str| {
        line.replace("{busy_key}", &busy.id.to_string())
            .replace("{key}", &plain.id.to_string())
            .replace("{prefix}", busy.prefix.as_str())
            .replace("{workspace}", &workspace.to_string())
            .replace("{request}", &org.request)
    };
    Ok(wanted.map(fill).collect())
}

/// Who asks: by `ADMIN_TOKEN` for the API, by a session for pages.
struct Visitor {
    address: String,
    bearer: String,
    cookie: String,
}

impl Visitor {
    fn sign_in(address: &str) -> Result<Self, Failure> {
        let form = format!("token={ADMIN_TOKEN}");
        let kind = "application/x-www-form-urlencoded";
        let mut browser = Client::connect(address, "")?;
        let answer = browser.ask("POST", "/canvas/sign-in", Some((kind, &form)))?;
        let cookie = answer
            .header("set-cookie")
            .and_then(|line| line.split(';').next());
        let cookie = cookie.filter(|_| answer.status == 303);
        let cookie =
            cookie.ok_or_else(|| format!("the sign-in was answered with {}", answer.status))?;
        Ok(Self {
            address: address.to_owned(),
            bearer: format!("Authorization: Bearer {ADMIN_TOKEN}"),
            cookie: format!("Cookie: {cookie}"),
        })
    }

    fn measure(&self, path: &str) -> Result<Figures, Failure> {
        let credential = if path.starts_with("/canvas") {
            &self.cookie
        } else {
            &self.bearer
        };
        // One for each page: the server closes those that nothing comes over for a while.
        let mut client = Client::connect(&self.address, credential)?;
        let mut times = Vec::with_capacity(REQUESTS);
        let (mut status, mut bytes) = (0, 0);
        for number in 0..WARM_UP + REQUESTS {
            let started = Instant::now();
            let answer = client.ask("GET", path, None)?;
            if number >= WARM_UP {
                times.push(started.elapsed());
            }
            (status, bytes) = (answer.status, answer.body.len());
        }
        times.sort_unstable();
        let at = |percent: usize| {
            times
                .get(REQUESTS * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        Ok(Figures {
            path: path.to_owned(),
            status,
            bytes,
            median: at(50),
            p99: at(99),
        })
    }
}

fn report(figures: &Figures) {
    let verdict = match figures {
        Figures { status, .. } if *status != 200 => "not a page",
        Figures { p99, .. } if *p99 < TARGET => "met",
        Figures { median, .. } if *median < TARGET => "met by the median",
        Figures { .. } => "MISSED",
    };
    say(&format!(
        "  {:>11.2} {:>10.2} {:>10} {:>7}  {}  (target {} ms: {verdict})",
        figures.median.as_secs_f64() * 1e3,
        figures.p99.as_secs_f64() * 1e3,
        figures.bytes,
        figures.status,
        figures.path,
        TARGET.as_millis(),
    ));
}
