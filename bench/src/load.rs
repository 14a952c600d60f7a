//! Requests per CPU-second at 64 connections, contestants in turn.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use claviger_testkit::{Database, Postgres};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    Failure,
    memory::{Contestant, ask},
    say, seed,
};

/// Keys in each database.
pub(crate) const KEYS: u64 = 100_000;
/// Connections at once.
const CONNECTIONS: u64 = 64;
/// How many times the hand-written design's requests per CPU-second are aimed at.
const HAND_WRITTEN_TARGET: f64 = 20.0;
/// Ticks of `/proc/*/stat` in a second, on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) struct Entrant {
    name: &'static str,
    server: Contestant,
    uses_postgres: bool,
    target: Option<f64>,
    path: String,
    rounds: Vec<Figures>,
}

impl Entrant {
    /// Claviger on SQLite, asked for this path.
    pub(crate) const fn asked(name: &'static str, server: Contestant, path: String) -> Self {
        Self {
            name,
            server,
            uses_postgres: false,
            target: None,
            path,
            rounds: Vec::new(),
        }
    }

    /// Its CPU time for a request in microseconds: the median of its rounds.
    pub(crate) fn cpu_us(&self) -> f64 {
        median(self, |figures| figures.cpu_us)
    }
}

#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_us: f64,
    database_us: f64,
    p99_ms: f64,
}

/// CPU seconds that a process has used, with its threads.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = rest
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// CPU seconds that the processes of this cluster have used, with those that have ended.
fn postgres_seconds(postmaster: u32) -> f64 {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0.0;
    };
    let is_of_it = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').nth(1) == Some(postmaster.to_string().as_str())
    };
    let pids = processes
        .flatten()
        .filter_map(|process| process.file_name().to_string_lossy().parse::<u32>().ok());
    let family = pids.filter(|pid| *pid == postmaster || is_of_it(*pid));
    // Of its children that have ended the postmaster has the sum.
    family.map(cpu_seconds).sum::<f64>() + ended_children_seconds(postmaster)
}

fn ended_children_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = rest.split(' ').skip(13).take(2);
    let ticks = ticks.filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// Runs the comparison and prints it.
pub(crate) fn compare(seconds: f64, rounds: u32) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::shared();
    let hand = postgres.database();
    let hand_data = folder.path().join("hand");
    runtime.block_on(seed::fill(&hand_data, &hand.url(), KEYS))?;
    let (entrants, databases) = entrants(&runtime, &folder, &hand)?;
    let mut entrants = entrants;
    run(&runtime, &mut entrants, seconds, rounds)?;
    report(&entrants);
    drop(databases);
    Ok(())
}

/// Lets the contestants take turns.
pub(crate) fn run(
    runtime: &tokio::runtime::Runtime,
    entrants: &mut [Entrant],
    seconds: f64,
    rounds: u32,
) -> Result<(), Failure> {
    for entrant in &*entrants {
        let secret = seed::secret(5);
        let status = ask(&entrant.server.address, &entrant.path, secret.expose())?;
        if !status.contains(" 200 ") {
            return Err(format!("{}: {status}", entrant.name).into());
        }
    }
    for round in 0..rounds {
        for entrant in &mut *entrants {
            let figures = runtime.block_on(measure(entrant, seconds))?;
            // The first round warms caches and pools.
            if round > 0 || rounds == 1 {
                entrant.rounds.push(figures);
            }
        }
    }
    Ok(())
}

type Entrants = (Vec<Entrant>, Vec<Database>);

/// Starts every contestant on a database of its own.
fn entrants(
    runtime: &tokio::runtime::Runtime,
    folder: &tempfile::TempDir,
    hand: &Database,
) -> Result<Entrants, Failure> {
    let postgres = Postgres::shared();
    let program = std::env::current_exe()?;
    let mut entrants = vec![
        entrant(
            "bare axum, a constant",
            Contestant::start(Command::new(&program).arg("bare"))?,
            false,
            None,
        ),
        entrant(
            "hand-written, PostgreSQL",
            Contestant::start(Command::new(&program).args(["hand-written", &hand.url()]))?,
            true,
            None,
        ),
    ];
    let mut databases = Vec::new();
    for (audit, target, names) in [
        (
            "relaxed",
            0.75,
            ["Claviger relaxed, SQLite", "Claviger relaxed, PostgreSQL"],
        ),
        (
            "durable",
            0.55,
            ["Claviger durable, SQLite", "Claviger durable, PostgreSQL"],
        ),
        (
            "synced",
            0.35,
            ["Claviger synced, SQLite", "Claviger synced, PostgreSQL"],
        ),
    ] {
        let database = postgres.database();
        let sqlite = format!(
            "sqlite:{}",
            folder.path().join(format!("{audit}.db")).display()
        );
        for (name, url) in names.into_iter().zip([sqlite, database.url()]) {
            let data = folder.path().join(name.replace([' ', ','], "-"));
            runtime.block_on(seed::fill(&data, &url, KEYS))?;
            let server = Contestant::claviger(&data, &url, audit)?;
            entrants.push(entrant(
                name,
                server,
                url.starts_with("postgres"),
                Some(target),
            ));
        }
        databases.push(database);
    }
    Ok((entrants, databases))
}

fn entrant(
    name: &'static str,
    server: Contestant,
    uses_postgres: bool,
    target: Option<f64>,
) -> Entrant {
    Entrant {
        uses_postgres,
        target,
        ..Entrant::asked(name, server, "/org/whoami".to_owned())
    }
}

async fn measure(entrant: &Entrant, seconds: f64) -> Result<Figures, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let postmaster = Postgres::shared().pid();
    let before = (
        cpu_seconds(entrant.server.pid()),
        postgres_seconds(postmaster),
    );
    let started = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..CONNECTIONS {
        let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
        let (address, path) = (entrant.server.address.clone(), entrant.path.clone());
        tasks.push(tokio::spawn(async move {
            drive((&address, &path), number, &stop, &count).await
        }));
    }
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let after = (
        cpu_seconds(entrant.server.pid()),
        postgres_seconds(postmaster),
    );
    latencies.sort_unstable();
    let at = latencies.len().saturating_sub(1) * 99 / 100;
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts far below 2^53"
    )]
    let requests = count.load(Ordering::Relaxed) as f64;
    Ok(Figures {
        per_second: requests / elapsed,
        cpu_us: (after.0 - before.0) * 1e6 / requests,
        database_us: if entrant.uses_postgres {
            (after.1 - before.1) * 1e6 / requests
        } else {
            0.0
        },
        p99_ms: latencies
            .get(at)
            .map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0),
    })
}

/// One connection: a request, its answer, the next request. Gives latencies in microseconds.
async fn drive(
    (address, path): (&str, &str),
    number: u64,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> Result<Vec<u32>, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A few keys for each connection, spread over all of them.
    let requests: Vec<String> = (0..16)
        .map(|n| {
            let secret = seed::secret((number * 16 + n) * 97 % KEYS);
            format!(
                "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n",
                secret.expose()
            )
        })
        .collect();
    let mut latencies = Vec::with_capacity(100_000);
    let mut buffer = vec![0_u8; 8192];
    for request in requests.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
        latencies.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(latencies)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<(), Failure> {
    let mut filled = 0;
    loop {
        let free = buffer
            .get_mut(filled..)
            .filter(|free| !free.is_empty())
            .ok_or("the answer is too long")?;
        let read = stream.read(free).await?;
        if read == 0 {
            return Err("the connection was closed".into());
        }
        filled += read;
        let text = std::str::from_utf8(buffer.get(..filled).unwrap_or_default())?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if !head.starts_with("HTTP/1.1 200") {
            return Err(
                format!("answered with {}", head.lines().next().unwrap_or_default()).into(),
            );
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().ok())?
        });
        if body.len() >= length.ok_or("no content-length")? {
            return Ok(());
        }
    }
}

fn median(entrant: &Entrant, of: impl Fn(&Figures) -> f64) -> f64 {
    let mut figures: Vec<f64> = entrant.rounds.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A ratio, and whether it is what was aimed at.
fn verdict(ratio: f64, target: Option<f64>) -> String {
    match target {
        None => format!("{ratio:.2}"),
        Some(target) if ratio >= target => format!("{ratio:.2} (target {target}: met)"),
        Some(target) => format!("{ratio:.2} (target {target}: MISSED)"),
    }
}

fn report(entrants: &[Entrant]) {
    let Some(bare) = entrants
        .first()
        .map(|bare| median(bare, |figures| figures.cpu_us))
    else {
        return;
    };
    let whole = |entrant: &Entrant| {
        median(entrant, |figures| figures.cpu_us) + median(entrant, |figures| figures.database_us)
    };
    let hand = entrants.get(1).map_or(f64::NAN, whole);
    say(&format!(
        "GET /org/whoami, {KEYS} keys, {CONNECTIONS} connections, medians"
    ));
    say(
        "                                      per s   CPU us  + database   p99 ms   of bare axum               x hand-written",
    );
    for entrant in entrants {
        let cpu = median(entrant, |figures| figures.cpu_us);
        let against = if entrant.uses_postgres {
            hand / whole(entrant)
        } else {
            hand / cpu
        };
        let of_bare = verdict(bare / cpu, entrant.target);
        // The hand-written design keeps its keys in PostgreSQL, so there it is the rival.
        let is_rival = entrant.uses_postgres && entrant.target.is_some();
        let of_hand = verdict(against, is_rival.then_some(HAND_WRITTEN_TARGET));
        say(&format!(
            "  {:<32} {:>9.0} {:>8.1} {:>11.1} {:>8.2}   {:<26} {}",
            entrant.name,
            median(entrant, |figures| figures.per_second),
            cpu,
            median(entrant, |figures| figures.database_us),
            median(entrant, |figures| figures.p99_ms),
            of_bare,
            of_hand,
        ));
    }
}
