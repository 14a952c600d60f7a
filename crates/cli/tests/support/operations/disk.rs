//! SQLite on a disk that is full, or can only be read.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    bed::Bed,
    run::run,
    server::Server,
    service::{Ask, GUARDED, Service},
};

/// How fast a request must be refused when the disk is full.
const REFUSAL_MAX: Duration = Duration::from_secs(2);

/// A small disk at a directory; unmounted when it is dropped.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one, or says why it cannot.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).expect("a directory");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"])
            .arg(path);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self {
                path: path.to_owned(),
            }),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).into_owned();
                println!(
                    "skipped: no small disk can be mounted here: {}",
                    reason.trim()
                );
                None
            }
            Err(error) => {
                println!("skipped: `mount` cannot be run here: {error}");
                None
            }
        }
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("made");
        for size in [4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives it back.
    fn clear(&self) {
        fs::remove_file(self.ballast()).expect("removed");
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    fn remount_read_only(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(&self.path);
        let output = mount.output().expect("`mount` can be run");
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{reason}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test left behind may still be on its way out.
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.path).status().ok();
    }
}

#[test]
fn full_disk_refuses_changes_and_secret_reads_while_relaxed_reads_go_on() {
    let bed = Bed::sqlite();
    let Some(disk) = Disk::mount(&bed.data) else {
        return;
    };
    let service = Service::start(&bed, "relaxed");
    disk.fill();
    let mut reads = vec![];
    for _ in 0..3 {
        service.expect_refused(&GUARDED, REFUSAL_MAX);
        for ask in [Ask::WhoAmI, Ask::ListWorkspaces] {
            let answer = service.ask(ask);
            assert_eq!(answer.status, 200, "{ask:?}: {}", answer.body);
            reads.push(
                answer
                    .header("x-request-id")
                    .expect("a request id")
                    .to_owned(),
            );
        }
    }
    assert_eq!(
        (service.status("/healthz"), service.status("/readyz")),
        (200, 503)
    );
    disk.clear();
    service.expect_recovery();
    // What was answered meanwhile is recorded after all.
    let trail = service.trail();
    let lost = reads.iter().filter(|id| !trail.contains(*id));
    assert_eq!(lost.collect::<Vec<_>>(), Vec::<&String>::new());
    service.server.stop();
}

#[test]
fn full_disk_refuses_everything_that_must_be_recorded_first() {
    let bed = Bed::sqlite();
    let Some(disk) = Disk::mount(&bed.data) else {
        return;
    };
    let service = Service::start(&bed, "durable");
    for _ in 0..2 {
        disk.fill();
        service.expect_refused(&GUARDED, REFUSAL_MAX);
        service.expect_refused(&[Ask::WhoAmI, Ask::ListWorkspaces], REFUSAL_MAX);
        assert_eq!(
            (service.status("/healthz"), service.status("/readyz")),
            (200, 503)
        );
        disk.clear();
        service.expect_recovery();
    }
    service.server.stop();
}

#[test]
fn full_disk_is_logged_in_few_words() {
    for audit in ["relaxed", "durable"] {
        let bed = Bed::sqlite();
        let Some(disk) = Disk::mount(&bed.data) else {
            return;
        };
        let service = Service::start(&bed, audit);
        disk.fill();
        service.expect_refused(&GUARDED, REFUSAL_MAX);
        service.expect_few_words();
        disk.clear();
        service.expect_recovery();
    }
}

#[test]
fn server_that_stops_on_a_full_disk_ends_well_and_starts_again() {
    let bed = Bed::sqlite();
    let Some(disk) = Disk::mount(&bed.data) else {
        return;
    };
    let service = Service::start(&bed, "durable");
    disk.fill();
    service.expect_refused(&GUARDED, REFUSAL_MAX);
    service.server.stop();
    disk.clear();
    Service::start(&bed, "durable").server.stop();
}

#[test]
fn start_on_a_disk_that_is_full_or_read_only_is_refused_with_a_sentence() {
    let bed = Bed::sqlite();
    let Some(disk) = Disk::mount(&bed.data) else {
        return;
    };
    let refusal = || {
        let refused = run(bed.serve(&[]), "");
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        assert_eq!(refused.out, "");
        let sentence = refused.err.lines().last().unwrap_or_default().to_owned();
        assert!(sentence.starts_with("error: cannot "), "{}", refused.err);
        sentence
    };
    disk.fill();
    refusal();
    disk.clear();
    // No half of a database was left behind.
    Server::start(bed.serve(&[])).stop();
    disk.remount_read_only();
    let sentence = refusal();
    assert!(sentence.to_lowercase().contains("read-only"), "{sentence}");
}
