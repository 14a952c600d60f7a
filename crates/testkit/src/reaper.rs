//! `Reaper`: a small process that removes what a cluster leaves behind when the test process did
//! not: because it was killed, or because the shared cluster has no last user who could do it.
//!
//! It waits for the end of its input, which comes when the last holder of the other end is gone. It
//! leads a process group of its own, so that the interrupt key of a terminal, which ends the tests,
//! does not end it too.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The processes of a cluster are those that work in its directory. A frozen one must go on before
/// it can obey, and whatever is still there after five seconds is killed.
const SCRIPT: &str = r#"
    home=$1
    cat >/dev/null
    signal_all() {
        for process in /proc/[0-9]*; do
            case $(readlink "$process/cwd") in
                "$home" | "$home/data") kill -s "$1" "${process#/proc/}" ;;
            esac
        done
    }
    if [ -e "$home/data/postmaster.pid" ]; then
        signal_all CONT
        read -r postmaster <"$home/data/postmaster.pid" && kill -s QUIT "$postmaster"
        polls=0
        while [ -e "$home/data/postmaster.pid" ] && [ "$polls" -lt 100 ]; do
            sleep 0.05
            polls=$((polls + 1))
        done
    fi
    signal_all KILL
    rm -rf "$home"
"#;

#[derive(Debug)]
pub(crate) struct Reaper {
    process: Child,
}

impl Reaper {
    /// Sets a reaper to wait for the end of this process.
    pub(crate) fn watch(home: &Path) -> Self {
        let process = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(home)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`sh` can be run");
        Self { process }
    }
}

impl Drop for Reaper {
    /// Lets it do its work now, and waits.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}
