//! A real provider that is not ours: `oidc-provider` in Node, run by `e2e/provider.mjs`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// The provider; it ends with whoever started it.
pub(crate) struct NodeProvider {
    child: Child,
    facts: Value,
}

impl Drop for NodeProvider {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl NodeProvider {
    /// Starts it. `None` where there is no Node or no npm; `./check` sees to it that there is.
    #[expect(
        clippy::print_stderr,
        reason = "a test that was not run must not look as if it was"
    )]
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e");
        if !install(&directory) {
            eprintln!("NOT RUN: Node and npm are needed for a provider that is not ours");
            return None;
        }
        let mut child = Command::new("node")
            .arg(directory.join("provider.mjs"))
            .arg("--until-stdin-closes")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let out = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        let facts = serde_json::from_str(&line).expect("the facts");
        Some(Self { child, facts })
    }

    /// What it said of itself.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_default()
    }

    /// Runs a command of its admin port.
    pub(crate) async fn order(&self, command: &str, order: &Value) -> Value {
        let place = format!("{}/{command}", self.fact("admin"));
        let client = crate::support::client();
        let answer = client
            .post(place)
            .json(order)
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{command}: {answer:?}");
        answer.json().await.expect("JSON")
    }
}

/// Installs what `package-lock.json` names, if that was not done yet. False where that cannot be.
fn install(directory: &Path) -> bool {
    let runs = |program: &str| {
        let mut command = Command::new(program);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs("node") {
        return false;
    }
    // Tests of several processes may come here at once.
    let lock = File::create(lock_path()).expect("a file");
    lock.lock().expect("a lock");
    let is_there = || {
        directory
            .join("node_modules/oidc-provider/package.json")
            .is_file()
    };
    if !is_there() && runs("npm") {
        let status = Command::new("npm")
            .args([
                "ci",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--silent",
            ])
            .current_dir(directory)
            .stdin(Stdio::null())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "npm ci failed in e2e"
        );
    }
    is_there()
}

fn lock_path() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm.lock")
}
