//! `Server`: the processes and files of one cluster that this process started.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::reaper::Reaper;
use crate::{free_port, install, keeper};

/// A cold start after a crash, on a slow disk, with the other core busy.
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How often somebody else may take the chosen port first.
const PORT_ATTEMPTS_MAX: usize = 5;

#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    /// `None` while it is stopped.
    postmaster: Option<Child>,
    programs: Programs,
    // The order is that of dropping: the directory goes, and the reaper sees that all is done.
    home: TempDir,
    _reaper: Reaper,
}

impl Server {
    /// Makes a cluster and starts it.
    pub(crate) fn spawn() -> Self {
        let directory = install::server_programs();
        let home = tempfile::Builder::new()
            .prefix("claviger-postgres-")
            .tempdir();
        let home = home.expect("a directory for temporary files can be made");
        let reaper = Reaper::watch(home.path());
        let programs = Programs::for_owner_of(home.path(), directory);
        programs.initdb(home.path());
        let mut server = Self {
            port: 0,
            postmaster: None,
            programs,
            home,
            _reaper: reaper,
        };
        for _ in 0..PORT_ATTEMPTS_MAX {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("PostgreSQL did not start; its log says:\n{}", server.log());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.postmaster
            .as_ref()
            .expect("a stopped cluster has no process")
            .id()
    }

    #[cfg(test)]
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn start(&mut self) {
        if self.is_running() {
            return;
        }
        // When the test killed the postmaster, its children may still be on their way out.
        self.stop_immediate();
        assert!(
            self.try_start(),
            "PostgreSQL did not start again; its log says:\n{}",
            self.log()
        );
    }

    pub(crate) fn stop_immediate(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else {
            return;
        };
        // A frozen process would keep the signal for later.
        signal("CONT", &self.processes());
        signal("QUIT", &[postmaster.id()]);
        let has_ended = wait_until(STOP_LIMIT, || {
            !is_alive(&mut postmaster) && self.processes().is_empty()
        });
        if !has_ended {
            signal("KILL", &self.processes());
            postmaster.wait().ok();
        }
    }

    pub(crate) fn pause(&mut self) {
        assert!(self.is_running(), "a stopped cluster cannot be paused");
        // The postmaster may have had a child while the signals were under way, so ask again until
        // nobody is left moving.
        let stands_still = wait_until(STOP_LIMIT, || {
            let processes = self.processes();
            signal("STOP", &processes);
            !processes.is_empty() && processes.iter().all(|pid| is_frozen(*pid))
        });
        assert!(
            stands_still,
            "the processes of PostgreSQL could not be frozen; this needs /proc"
        );
    }

    pub(crate) fn resume(&mut self) {
        signal("CONT", &self.processes());
    }

    /// Starts the postmaster on `self.port`, and says whether it came to accept queries.
    fn try_start(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("log"));
        let log = log.expect("the log can be written");
        let mut command = self.programs.command("postgres", self.home.path());
        command
            .arg("-D")
            .arg(self.data())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .arg("-k")
            .arg(self.home.path())
            .args(["-c", "max_connections=200"])
            // Files in the data directory, so that a killed server leaves nothing elsewhere.
            .args(["-c", "dynamic_shared_memory_type=mmap"])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let mut postmaster = keeper::start(command).expect("postgres was found, so it can be run");
        let mut is_alive_still = true;
        let is_ready = wait_until(START_LIMIT, || {
            is_alive_still = is_alive(&mut postmaster);
            !is_alive_still || self.accepts_queries(postmaster.id())
        });
        self.postmaster = Some(postmaster);
        let has_started = is_ready && is_alive_still;
        if !has_started {
            self.stop_immediate();
        }
        has_started
    }

    /// The postmaster writes its id into the first line of its lock file and its state into the
    /// eighth. To ask this is surer than to ask the port, where another server might answer.
    fn accepts_queries(&self, pid: u32) -> bool {
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = lock.lines().map(str::trim);
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
    }

    fn is_running(&mut self) -> bool {
        self.postmaster.as_mut().is_some_and(is_alive)
    }

    /// Every process of the cluster. The children of the postmaster each begin a session, so they
    /// share no process group with it; what they do share is the directory that they work in.
    fn processes(&self) -> Vec<u32> {
        let data = self.data();
        let works_here =
            |process: &Path| fs::read_link(process.join("cwd")).ok() == Some(data.clone());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .parse()
                    .ok()
                    .map(|pid| (pid, entry))
            })
            .filter(|(_, entry)| works_here(&entry.path()))
            .map(|(pid, _)| pid)
            .collect()
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_immediate();
    }
}

/// How the programs of PostgreSQL are run here.
#[derive(Debug)]
struct Programs {
    directory: &'static Path,
    /// PostgreSQL refuses to run as root, which is what tests in a container often are.
    as_postgres: bool,
}

impl Programs {
    /// Hands the directory over to the user `postgres` when it belongs to root.
    fn for_owner_of(home: &Path, directory: &'static Path) -> Self {
        let owner = fs::metadata(home)
            .expect("the directory was just made")
            .uid();
        let as_postgres = owner == 0;
        if as_postgres {
            let mut chown = Command::new("chown");
            run(chown.arg("postgres:").arg(home));
        }
        Self {
            directory,
            as_postgres,
        }
    }

    fn initdb(&self, home: &Path) {
        let mut initdb = self.command("initdb", home);
        initdb.arg("--pgdata").arg(home.join("data"));
        initdb.args(["--username", "postgres", "--auth", "trust", "--no-sync"]);
        run(initdb.args(["--encoding", "UTF8", "--locale", "C"]));
    }

    /// A program that ends with the thread which starts it, where `setpriv` is here to arrange it;
    /// where it is not, only the reaper sees to that. The signal is the one for a quick but orderly
    /// stop: a postmaster that is killed outright leaves shared memory behind in the kernel.
    fn command(&self, program: &str, home: &Path) -> Command {
        let program = self.directory.join(program);
        let mut command = if install::has_setpriv() {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--pdeathsig", "QUIT"]);
            if self.as_postgres {
                setpriv.args([
                    "--reuid",
                    "postgres",
                    "--regid",
                    "postgres",
                    "--init-groups",
                ]);
            }
            setpriv.arg("--").arg(program);
            setpriv
        } else if self.as_postgres {
            panic!("root needs `setpriv` to run PostgreSQL: run `apt-get install util-linux`");
        } else {
            Command::new(program)
        };
        command.current_dir(home).env("LC_ALL", "C");
        command
    }
}

/// Runs a program to its end, and panics with its words when it fails.
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {words}");
}

/// Sends a signal through the shell's own `kill`, as the program of that name may not be installed.
/// A process that is gone already is no matter.
fn signal(name: &str, processes: &[u32]) {
    if processes.is_empty() {
        return;
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"kill -s "$@""#, "sh", name]);
    shell
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null());
    shell.status().expect("`sh` can be run");
}

fn is_alive(process: &mut Child) -> bool {
    matches!(process.try_wait(), Ok(None))
}

/// Whether the process is stopped by a signal: state `T`, the word after the name in parentheses.
fn is_frozen(pid: u32) -> bool {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    line.rsplit_once(") ")
        .is_some_and(|(_, state)| state.starts_with('T'))
}

/// Looks at the condition again and again until it holds or the time is up; says which.
fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}
