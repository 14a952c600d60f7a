//! Records to the receiver of the OpenTelemetry Collector itself: a program in Go that is built here,
//! where Go and its modules are.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use claviger_testkit::free_port;
use serde_json::{Value, json};

use crate::{
    service::{ADMIN, Backend, Service, text},
    siem::{SOON, requests, trail},
};

on_each_database!(collector_takes_records_and_reads_in_them_what_was_written);

/// How long building the program may take, where nothing of it was built before.
const BUILD_MAX: Duration = Duration::from_secs(300);

/// The program in Go; it ends when it is dropped.
struct Collector {
    program: Child,
    lines: Receiver<String>,
    /// The lines that came so far.
    came: Vec<String>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

impl Collector {
    fn start(program: &Path, address: &str) -> Self {
        let mut command = Command::new(program);
        command.arg(address).stdout(Stdio::piped());
        let mut program = command.spawn().expect("it runs");
        let output = BufReader::new(program.stdout.take().expect("its output"));
        let (line, lines) = channel();
        // It ends with the program.
        thread::spawn(move || {
            for read in output.lines().map_while(Result::ok) {
                if line.send(read).is_err() {
                    return;
                }
            }
        });
        let came = Vec::new();
        let mut started = Self {
            program,
            lines,
            came,
        };
        assert_eq!(started.line(), "ready");
        started
    }

    fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(SOON);
        let line = line.unwrap_or_else(|why| panic!("{why}; what came: {:#?}", self.came));
        self.came.push(line.clone());
        line
    }

    /// The next record that it has read.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("JSON")
    }
}

/// The program; `None` where Go or the modules are not there. Nothing is downloaded here.
fn built() -> Option<&'static PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let built = build();
        if let Err(why) = &built {
            // Straight to standard error: what is printed by the macros is hidden where a test passes.
            let said = format!(
                "records were NOT sent to the receiver of the OpenTelemetry Collector: install Go 1.26, \
                 and run `go mod download` in crates/server/tests/otel: {why}\n"
            );
            std::io::stderr().write_all(said.as_bytes()).ok();
        }
        built.ok()
    });
    built.as_ref()
}

/// Builds the program, or says why that cannot be.
fn build() -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("otel-receiver");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otel");
    let mut go = Command::new("go");
    go.current_dir(&module)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".");
    go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
    go.env("GOFLAGS", "-mod=readonly -buildvcs=false");
    go.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut go = go.spawn().map_err(|error| error.to_string())?;
    let mut errors = go.stderr.take().expect("its errors");
    let (all, said) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).ok();
        all.send(text).ok();
    });
    let said = said.recv_timeout(BUILD_MAX);
    if said.is_err() {
        go.kill().ok();
    }
    let status = go.wait().map_err(|error| error.to_string())?;
    match said {
        Ok(_) if status.success() => Ok(program),
        Ok(said) => Err(said),
        Err(_) => Err(format!("it was not built within {BUILD_MAX:?}")),
    }
}

async fn collector_takes_records_and_reads_in_them_what_was_written(backend: Backend) {
    let Some(program) = built() else { return };
    let address = format!("127.0.0.1:{}", free_port());
    let mut collector = Collector::start(program, &address);
    let url = format!("http://{address}/v1/logs");
    let mut service = Service::guarded_with(backend, |flags| {
        flags.siem.otlp_logs = Some(url);
    })
    .await;
    requests(&service, 20).await;
    let key = service.mint(ADMIN, json!({"name": "agent"})).await;
    let ask = service.ask_as(&key.secret, "BREW", "/nowhere/%C3%BC]");
    let denied = ask.header("user-agent", "curl/8 \"x\"").send().await;
    assert!(denied.status >= 400);
    let whole = trail(&service).await;
    let got: Vec<Value> = whole.iter().map(|_| collector.next()).collect();
    let bodies: Vec<String> = got.iter().map(|record| text(&record["body"])).collect();
    assert_eq!(bodies, whole);
    let first = &got[0];
    assert_eq!(first["scope"], "claviger.audit");
    assert_eq!(first["resource"]["service.name"], "claviger");
    assert_eq!(first["event"], "claviger.audit.break_glass");
    assert_eq!(
        (&first["severity"], &first["text"]),
        (&json!(10), &json!("INFO2"))
    );
    let leaf: Value = serde_json::from_str(&whole[0]).expect("JSON");
    let time = first["time"].as_i64().expect("a time") / 1_000_000;
    let time = claviger_core::time::Timestamp::from_millis(time).to_string();
    assert_eq!(text(&leaf["time"]), time);
    assert!(first["observed"].as_i64() >= first["time"].as_i64());
    let last = &got[21]["attributes"];
    for (name, value) in [
        ("http.request.method", json!("_OTHER")),
        ("http.request.method_original", json!("BREW")),
        ("http.response.status_code", json!(denied.status)),
        ("url.path", json!("/nowhere/%C3%BC]")),
        ("client.address", json!("127.0.0.1")),
        ("user_agent.original", json!("curl/8 \"x\"")),
        ("claviger.actor", json!(key.actor())),
        ("claviger.key", json!(key.id)),
        ("claviger.seq", json!(22)),
    ] {
        assert_eq!(last[name], value, "{name}: {last}");
    }
    assert!(last["error.type"].is_string(), "{last}");
    assert_eq!(got[20]["attributes"]["claviger.change"], "minted");
    service.stop().await;
}
