//! The real binary as a server, killed when it is dropped.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::captured::{Captured, last_lines};

/// How long a server may take to end: it drains for 10 s and closes the store for 15 s at most.
const STOP_MAX: Duration = Duration::from_secs(40);

/// A serving process. Dropping it kills it (SIGKILL) and waits for its end.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Standard output: audit lines.
    pub(crate) out: Captured,
    /// Standard error: the welcome and the log.
    pub(crate) err: Captured,
    /// `http://127.0.0.1:PORT`, as the process printed it.
    pub(crate) url: String,
}

impl Server {
    /// Starts the command, and waits until it says where it listens and who may come in.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built, so it can be run");
        let out = Captured::of(child.stdout.take().expect("it is piped"));
        let err = Captured::of(child.stderr.take().expect("it is piped"));
        // Made before the wait, so that a server which says nothing is killed all the same.
        let mut server = Self {
            child,
            out,
            err,
            url: String::new(),
        };
        // Up to the line that says which tier is open: tests look for it next.
        server.url = server.err.wait_for("the welcome", |text| {
            let (_, words) = text.split_once(" listens on ")?;
            let (_, rest) = words.split_once("  reference ")?;
            let (_, state) = rest.split_once("\n\n")?;
            // How to sign in may stand before it, and each line arrives on its own.
            let (whole, _) = state.rsplit_once('\n')?;
            let mut lines = whole.lines();
            lines.find(|line| line.contains("tier ") || line.starts_with("Tier "))?;
            Some(words.lines().next()?.trim().to_owned())
        });
        server
    }

    /// Sends a signal, such as `HUP`, by the shell's own `kill`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("`sh` can be run").success(), "{kill} failed");
    }

    /// Stops it by SIGTERM, which must end well; gives all that it wrote to standard output and to
    /// standard error.
    pub(crate) fn stop(mut self) -> (String, String) {
        self.signal("TERM");
        // Whatever still runs holds the other ends of both.
        let has_ended = self.out.ends_within(STOP_MAX) && self.err.ends_within(STOP_MAX);
        let (out, err) = (self.out.text(), self.err.text());
        let last = last_lines(&err);
        assert!(has_ended, "not stopped within {STOP_MAX:?}:\n{last}");
        let status = self.child.wait().expect("it can be waited for");
        assert_eq!(
            status.code(),
            Some(0),
            "SIGTERM ends well:
{last}"
        );
        (out, err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
