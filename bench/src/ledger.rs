//! The ledger at 10,000,000 records in SQLite: how fast it takes them, tree and every index included, what
//! a record costs on disk, how long proofs and filtered pages take, and how fast an export is verified.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use claviger_core::{id::OrgId, ledger::batch::Batch, time::Timestamp};
use claviger_server::clock;
use claviger_store::{OpenOptions, Store};

use crate::{
    Failure,
    http::Client,
    memory::Contestant,
    pages::{
        org::{ADMIN_TOKEN, Org},
        trail::record,
    },
    say,
};

/// How many records the trail gets, unless another number is given.
pub(crate) const RECORDS: u64 = 10_000_000;
/// After so many it is looked at for the first time, and its export is verified.
const FIRST_LOOK: u64 = 1_000_000;
const KEYS: u64 = 10_000;
const WORKSPACES: u64 = 1_000;
/// Records of one commit, and commits under way.
const RECORDS_PER_COMMIT: u64 = 1024;
const COMMITS_AT_ONCE: usize = 4;
/// One record every so often: 10,000,000 are some twelve days.
const APART: Duration = Duration::from_millis(100);
/// Requests for each figure, after those that warm caches.
const REQUESTS: usize = 200;
const WARM_UP: usize = 20;

const APPENDS_MIN: f64 = 100_000.0;
const VERIFIED_MIN: f64 = 500_000.0;
const PROOF_MAX: Duration = Duration::from_millis(1);
const PAGE_MAX: Duration = Duration::from_millis(10);

/// Fills a trail, and measures it on the way and at its end.
pub(crate) fn run(records: u64) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let trail = Trail {
        file: folder.path().join("ledger.db").display().to_string(),
        org: Org::made_up(KEYS, WORKSPACES)?,
        begin: clock::now().minus(APART * u32::try_from(records)?),
    };
    say(&format!(
        "a trail in SQLite: {KEYS} keys and {WORKSPACES} workspaces in random order, {RECORDS_PER_COMMIT} records a commit"
    ));
    let mut done = 0;
    for end in [FIRST_LOOK.min(records), records] {
        if end == done {
            break;
        }
        runtime.block_on(trail.fill(done, end))?;
        done = end;
        let server = trail.serve(folder.path())?;
        read(&server.address, &trail.org, done)?;
        if done <= FIRST_LOOK {
            verify(&server.address, &folder.path().join("export"))?;
        }
    }
    say("");
    Ok(())
}

struct Trail {
    file: String,
    org: Org,
    begin: Timestamp,
}

impl Trail {
    fn url(&self) -> String {
        format!("sqlite:{}", self.file)
    }

    /// Appends the records from `done` to `end`, and says for each million how fast they were taken. A
    /// million counts as taken when its tree, tiles and index are there too.
    async fn fill(&self, done: u64, end: u64) -> Result<(), Failure> {
        let options = OpenOptions {
            url: self.url(),
            sync_audit: false,
            default_org: OrgId::from_u128(1),
            now: clock::now(),
        };
        let store = claviger_store::open(options).await?;
        let org = store.deployment().await?.default_org;
        let mut from = done;
        while from < end {
            let to = (from + FIRST_LOOK).min(end);
            let started = Instant::now();
            self.append(&store, org, (from, to)).await?;
            let seconds = started.elapsed().as_secs_f64();
            let rate = float(to - from) / seconds;
            say(&format!(
                "  records {:>10} to {to:>10}: {rate:>8.0} a second with tree, tiles and every index (target {APPENDS_MIN:.0}: {})",
                from + 1,
                verdict(rate >= APPENDS_MIN),
            ));
            from = to;
        }
        store.close().await;
        let suffixes = ["", "-wal"];
        let sizes = suffixes.map(|suffix| std::fs::metadata(format!("{}{suffix}", self.file)));
        let bytes: u64 = sizes.into_iter().flatten().map(|file| file.len()).sum();
        let line = record((org, &self.org), end, self.begin)?.bytes().len();
        say(&format!(
            "  {:.0} bytes a record on disk, of which {line} are the record",
            float(bytes) / float(end)
        ));
        Ok(())
    }

    /// Appends records while another task derives what belongs to them.
    async fn append(
        &self,
        store: &Arc<dyn Store>,
        org: OrgId,
        (from, to): (u64, u64),
    ) -> Result<(), Failure> {
        let is_whole = Arc::new(AtomicBool::new(false));
        let behind = tokio::spawn(derive(Arc::clone(store), Arc::clone(&is_whole)));
        let mut commits = tokio::task::JoinSet::new();
        let mut number = from;
        while number < to {
            let mut batch = Batch::default();
            for _ in 0..RECORDS_PER_COMMIT.min(to - number) {
                let at = self.begin.plus(APART * u32::try_from(number)?);
                batch.push(&record((org, &self.org), number, at)?);
                number += 1;
            }
            while commits.len() >= COMMITS_AT_ONCE {
                commits.join_next().await.ok_or("a commit")???;
            }
            let (store, batch) = (Arc::clone(store), Arc::new(batch));
            commits.spawn(async move { store.append(batch).await });
        }
        while let Some(outcome) = commits.join_next().await {
            outcome??;
        }
        is_whole.store(true, Ordering::Release);
        behind.await?
    }

    fn serve(&self, folder: &Path) -> Result<Contestant, Failure> {
        let program = std::env::current_exe()?.with_file_name("claviger");
        let data = folder.join("data").display().to_string();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data];
        let database = ["--database-url", &self.url()];
        Contestant::start(
            Command::new(program)
                .args(arguments)
                .args(database)
                .env("ADMIN_TOKEN", ADMIN_TOKEN),
        )
    }
}

/// Indexes and derives until all is there, and no more comes.
async fn derive(store: Arc<dyn Store>, is_whole: Arc<AtomicBool>) -> Result<(), Failure> {
    loop {
        let is_last = is_whole.load(Ordering::Acquire);
        let has_indexed = store.index_audit().await?;
        let has_derived = store.derive_tiles().await?;
        if !has_indexed && !has_derived {
            if is_last {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Asks for proofs and filtered pages, over one connection.
fn read(address: &str, org: &Org, records: u64) -> Result<(), Failure> {
    let bearer = format!("Authorization: Bearer {ADMIN_TOKEN}");
    let mut client = Client::connect(address, &bearer)?;
    let key = org.keys.get(org.keys.len() / 2).ok_or("a key")?;
    let workspace = org.workspaces.get(5).ok_or("a workspace")?;
    // Signed in the background; a proof is asked for what is signed.
    let signed = wait_for_checkpoint(&mut client, records)?;
    say(&format!(
        "  at {records} records, median and 99th of 100 of {REQUESTS} requests over one connection"
    ));
    let middle = records / 2;
    let page = "/org/audit?limit=100&";
    let asked = [
        (
            PROOF_MAX,
            format!("/org/audit/proof?seq={middle}&size={signed}"),
        ),
        (
            PROOF_MAX,
            format!("/org/audit/proof?from={middle}&to={signed}"),
        ),
        (PAGE_MAX, "/org/audit?limit=100".to_owned()),
        (PAGE_MAX, format!("{page}token={}", key.id)),
        (PAGE_MAX, format!("{page}token={}&status=403", key.id)),
        (PAGE_MAX, format!("{page}workspace={workspace}")),
        (PAGE_MAX, format!("{page}actor=org-token:{}", key.prefix)),
        (PAGE_MAX, format!("{page}status=403")),
        (PAGE_MAX, format!("{page}method=POST")),
        (PAGE_MAX, format!("{page}route=/workspaces/{{id}}/channels")),
        (PAGE_MAX, format!("{page}q=channels")),
        (PAGE_MAX, format!("{page}q=nowhere")),
    ];
    for (target, path) in asked {
        let mut times = Vec::with_capacity(REQUESTS);
        for number in 0..WARM_UP + REQUESTS {
            let started = Instant::now();
            client.ask("GET", &path, None)?.ok(&path)?;
            if number >= WARM_UP {
                times.push(started.elapsed());
            }
        }
        times.sort_unstable();
        let at = |percent| times.get(REQUESTS * percent / 100).copied();
        let (median, p99) = at(50).zip(at(99)).ok_or("there are times")?;
        say(&format!(
            "    {:>7.2} {:>7.2} ms  {path}  (target {} ms: {})",
            median.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3,
            target.as_millis(),
            verdict(median < target),
        ));
    }
    Ok(())
}

/// How many records the checkpoint covers, once those are all that there were.
fn wait_for_checkpoint(client: &mut Client, records: u64) -> Result<u64, Failure> {
    loop {
        let answer = client.ask("GET", "/org/audit/log/checkpoint", None)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let size = text.lines().nth(1).and_then(|line| line.parse().ok());
        match size {
            Some(size) if answer.status == 200 && size >= records => return Ok(size),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Exports the trail as a folder, and lets the program verify it without the server.
fn verify(address: &str, export: &Path) -> Result<(), Failure> {
    let program = std::env::current_exe()?.with_file_name("claviger");
    let url = format!("http://{address}");
    let folder = export.display().to_string();
    let started = Instant::now();
    let arguments = [
        "audit", "export", "--format", "tlog", "-o", &folder, "--url", &url,
    ];
    let exported = Command::new(&program)
        .args(arguments)
        .env("CLAVIGER_TOKEN", ADMIN_TOKEN)
        .output()?;
    if !exported.status.success() {
        return Err(String::from_utf8_lossy(&exported.stderr)
            .into_owned()
            .into());
    }
    let seconds = started.elapsed().as_secs_f64();
    let key = export.join("key").display().to_string();
    let mut times = Vec::new();
    let mut report = serde_json::Value::Null;
    for _ in 0..3 {
        let started = Instant::now();
        let verified = Command::new(&program)
            .args(["audit", "verify", &folder, "--key", &key, "--json"])
            .output()?;
        times.push(started.elapsed().as_secs_f64());
        report = serde_json::from_slice(&verified.stdout)?;
        if !verified.status.success() {
            return Err(format!("the export is not as it was signed: {report}").into());
        }
    }
    times.sort_by(f64::total_cmp);
    let records = report.get("records").and_then(serde_json::Value::as_u64);
    let records = float(records.ok_or("the report says how many records it read")?);
    let rate = records / times.get(1).copied().unwrap_or(f64::NAN);
    say(&format!(
        "  exported as a folder {:.0} records a second; verified without a server {rate:.0} records a second (target {VERIFIED_MIN:.0}: {})",
        records / seconds,
        verdict(rate >= VERIFIED_MIN),
    ));
    Ok(())
}

const fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts far below 2^53"
)]
const fn float(count: u64) -> f64 {
    count as f64
}
