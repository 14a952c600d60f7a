//! `claviger audit export --format tlog` against a server and a folder that are not as they should be.

use std::{
    fs,
    fs::File,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use claviger_core::ledger::note::Kind;

use crate::{
    decision,
    log::{Bench, ORIGIN, Signer, checkpoint, record, records},
    standin::{Fault, Standin},
};

/// What the server has, and the folder `log` that is exported into.
struct Scene {
    bench: Bench,
}

impl Scene {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
        }
    }

    /// Exports from a server that has these records.
    fn export(&self, records: &[Vec<u8>], fault: Fault) -> (Option<i32>, String) {
        self.bench.write_folder("served", records);
        self.export_served(records, fault)
    }

    /// Exports from a server that has what lies in `served`.
    fn export_served(&self, records: &[Vec<u8>], fault: Fault) -> (Option<i32>, String) {
        self.export_from(Standin {
            folder: self.bench.path("served"),
            records: records.to_vec(),
            fault,
            dropped: None,
        })
    }

    fn export_from(&self, standin: Standin) -> (Option<i32>, String) {
        let mut command = Command::new("timeout");
        command
            .arg("60")
            .arg(env!("CARGO_BIN_EXE_claviger"))
            .env_clear();
        command
            .env("CLAVIGER_URL", standin.start())
            .stdin(Stdio::null());
        command.args(["audit", "export", "--format", "tlog", "-o"]);
        let ended = command
            .arg(self.bench.path("log"))
            .output()
            .expect("the binary runs");
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.code(), err)
    }

    fn done(&self, records: &[Vec<u8>]) {
        let (code, err) = self.export(records, Fault::None);
        assert_eq!(code, Some(0), "{err}");
    }

    fn proved(&self, size: u64) {
        self.bench.verify(&["log"]).expect_proved(size);
    }

    fn flip(&self, name: &str) {
        let path = self.bench.path("log").join(name);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[40] ^= 1;
        fs::write(&path, bytes).expect("a file");
    }
}

fn refused((code, err): (Option<i32>, String), words: &[&str]) {
    assert_eq!(code, Some(1), "{err}");
    for word in words {
        assert!(err.contains(word), "`{word}`: {err}");
    }
}

#[test]
fn wrong_tile_of_the_folder_is_named_and_not_the_server() {
    let scene = Scene::new();
    let all = records(1_500);
    scene.done(&all[..1_000]);
    scene.proved(1_000);
    for name in ["tile/1/000.p/3", "tile/0/003.p/232"] {
        scene.flip(name);
        let said = scene.export(&all, Fault::None);
        refused(said, &[name, "export into another folder"]);
        scene.flip(name);
    }
    scene.done(&all);
    scene.proved(1_500);
}

#[test]
fn folder_has_the_hashes_of_what_the_server_dropped_and_keeps_what_it_had() {
    for before in [0, 300, 700] {
        let scene = Scene::new();
        let mut all = records(1_500);
        all[1_199] = decision(1_200, 512);
        if before > 0 {
            scene.done(&all[..before]);
        }
        scene.bench.write_folder("served", &all);
        let (code, err) = scene.export_from(Standin {
            folder: scene.bench.path("served"),
            records: all,
            fault: Fault::None,
            dropped: Some((512, 1_200)),
        });
        assert_eq!(code, Some(0), "{err}");
        scene.proved(1_500);
        let said = scene.bench.verify(&["log"]);
        let words = "the records up to 512 were dropped, as record 1200 says";
        assert_eq!(err.contains(words), before < 512, "{err}");
        let left = 512_u64.saturating_sub(u64::try_from(before).expect("few"));
        assert_eq!(said.report["without_body"], left);
    }
}

#[test]
fn what_lies_beyond_the_checkpoint_is_not_trusted_over_the_server() {
    let scene = Scene::new();
    let all = records(2_000);
    scene.done(&all[..700]);
    // As an interrupted export leaves it, and then somebody wrote into it.
    let (code, err) = scene.export(&all, Fault::LostAfter(1_100));
    assert_eq!(code, Some(7), "{err}");
    scene.flip("tile/entries/004");
    scene.bench.write("log/tile/entries/005.p/9", "forged");
    scene.bench.write("log/tile/0/006.p/7", "forged");
    scene.bench.write("log/tile/entries/x001/000", "forged");
    scene.done(&all);
    scene.proved(2_000);
    scene.done(&all);
    scene.proved(2_000);
    assert!(!scene.bench.path("log/tile/entries/x001").exists());
}

#[test]
fn two_exports_into_one_folder_do_not_meet() {
    let scene = Scene::new();
    let all = records(600);
    scene.done(&all);
    let lock = File::open(scene.bench.path("log/.claviger-export.lock")).expect("a lock");
    lock.try_lock().expect("nobody exports");
    let said = scene.export(&all, Fault::None);
    refused(said, &["another export writes into"]);
    drop(lock);
    // What is known already is not given up for less.
    let before = fs::read(scene.bench.path("log/checkpoint")).expect("a note");
    let said = scene.export(&all[..500], Fault::None);
    refused(said, &["600", "500", "keep the folder"]);
    assert_eq!(
        fs::read(scene.bench.path("log/checkpoint")).expect("a note"),
        before
    );
    scene.proved(600);
}

#[test]
fn interrupted_export_leaves_what_was_proved_and_the_keys_of_before() {
    let scene = Scene::new();
    let all = records(2_000);
    scene.done(&all[..700]);
    let key = fs::read(scene.bench.path("log/key")).expect("the keys");
    // The key is rotated meanwhile: both sign.
    scene.bench.write_folder("served", &all);
    let new = Signer::new(ORIGIN, Kind::Ed25519, 2);
    let served = |name: &str, text: String| scene.bench.write(&format!("served/{name}"), text);
    let both = Signer::of_log().add_to(&checkpoint(&all, &new), 0);
    served("checkpoint", both);
    served(
        "key",
        format!("{}\n{}\n", new.public, Signer::of_log().public),
    );
    let (code, err) = scene.export_served(&all, Fault::LostAfter(1_100));
    assert_eq!(code, Some(7), "{err}");
    assert_eq!(
        fs::read(scene.bench.path("log/key")).expect("the keys"),
        key
    );
    // Up to the checkpoint all is proved; what was added is not called proved.
    let said = scene.bench.verify(&["log"]);
    said.expect("unsigned", Some(701));
    assert_eq!(said.report["intact"], 700);
    let (code, err) = scene.export_served(&all, Fault::None);
    assert_eq!(code, Some(0), "{err}");
    scene.proved(2_000);
    let keys = fs::read_to_string(scene.bench.path("log/key")).expect("the keys");
    assert_eq!(keys.lines().count(), 2);
    // Then the new one alone.
    served("checkpoint", checkpoint(&all, &new));
    served("key", format!("{}\n", new.public));
    let (code, err) = scene.export_served(&all, Fault::None);
    assert_eq!(code, Some(0), "{err}");
    let words = ["log", "--key", &new.public.to_string()];
    scene.bench.verify_with(&words).expect_proved(2_000);
}

#[test]
fn export_writes_through_no_link() {
    let scene = Scene::new();
    let all = records(600);
    let count = |path: &Path| fs::read_dir(path).expect("a directory").count();
    for name in ["tile", "tile/entries", "tile/0"] {
        let (log, elsewhere) = (scene.bench.path("log"), scene.bench.path("elsewhere"));
        fs::create_dir_all(&elsewhere).expect("a directory");
        fs::create_dir_all(log.join(name).parent().expect("a parent")).expect("a directory");
        symlink(&elsewhere, log.join(name)).expect("a link");
        refused(scene.export(&all, Fault::None), &[name, "link"]);
        assert_eq!(count(&elsewhere), 0);
        fs::remove_dir_all(&log).expect("removed");
    }
}

#[test]
fn line_that_does_not_end_is_not_kept() {
    let scene = Scene::new();
    let said = scene.export(&[record(1)], Fault::Endless);
    refused(said, &["65535 bytes"]);
}
