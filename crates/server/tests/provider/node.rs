//! A real provider that is not ours: `oidc-provider` in Node, run by `e2e/provider.mjs`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
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
    /// Starts it. `None` where there is no Node, and there need not be.
    #[expect(
        clippy::print_stderr,
        reason = "a test that was not run must not look as if it was"
    )]
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        static NODE: LazyLock<Option<PathBuf>> = LazyLock::new(find_node);
        let Some(node) = &*NODE else {
            eprintln!("NOT RUN: Node and npm are needed for a provider that is not ours");
            return None;
        };
        let mut child = Command::new(node)
            .arg(directory().join("provider.mjs"))
            .arg("--until-stdin-closes")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Node starts");
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

/// The Node with which `e2e/run` runs the provider; it fetches what `package-lock.json` names, if
/// that was not done yet. `None` where `CLAVIGER_TEST_WITHOUT_NODE` allows that there is none.
fn find_node() -> Option<PathBuf> {
    // Tests of several processes may come here at once.
    let lock_path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm.lock");
    let lock = File::create(lock_path).expect("a file");
    lock.lock().expect("a lock");
    let found = Command::new(directory().join("run"))
        .arg("--node")
        .stdin(Stdio::null())
        .output()
        .expect("e2e/run starts");
    if found.status.success() {
        let place = String::from_utf8(found.stdout).expect("a path");
        return Some(PathBuf::from(place.trim_end()));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says by it what they may do without"
    )]
    let is_allowed = std::env::var_os("CLAVIGER_TEST_WITHOUT_NODE").is_some();
    assert!(
        is_allowed,
        "a provider that is not ours needs Node and npm: install them, or leave these tests out \
         with CLAVIGER_TEST_WITHOUT_NODE=1\n{}",
        String::from_utf8_lossy(&found.stderr)
    );
    None
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e")
}
