//! Folders and anchors that were made to deceive `claviger audit verify`.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use claviger_core::ledger::note::Kind;

use crate::log::{
    Bench, ORIGIN, Signer, checkpoint, checkpoint_of, record, records, verdict, word,
};

const COUNT: u64 = 10_000;

fn append(path: &Path, bytes: &[u8]) {
    let mut whole = fs::read(path).expect("a file");
    whole.extend_from_slice(bytes);
    fs::write(path, whole).expect("a file");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("a file");
}

#[test]
fn bundles_hold_as_many_records_as_their_names_say_and_nothing_else() {
    let bench = Bench::new();
    let all = records(COUNT);
    bench.write_folder("log", &all);
    let path = bench.path("log/tile/entries/003");
    let whole = fs::read(&path).expect("a bundle");
    let forged = [&b"\xff\xff"[..], &record(COUNT + 1)].concat();
    for tail in [&forged[..], b"\x00", b"\xff\xff"] {
        append(&path, tail);
        let said = bench.verify(&["log"]);
        said.expect("malformed_bundle", Some(1024));
        assert_eq!(said.report["findings"][0]["file"], "tile/entries/003");
        fs::write(&path, &whole).expect("a bundle");
    }
    // One that nobody has hashes for.
    bench.write("log/tile/entries/040", "");
    let said = bench.verify(&["log"]);
    said.expect("malformed_bundle", Some(40 * 256 + 1));
    fs::remove_file(bench.path("log/tile/entries/040")).expect("a file");
    // A narrower one that other tools may read, beside one that is right.
    bench.write("log/tile/entries/003.p/5", &whole[..900]);
    let said = bench.verify(&["log"]);
    said.expect("malformed_bundle", Some(3 * 256 + 1));
    let bytes = whole.iter().position(|byte| *byte == b'}').expect("an end") + 1;
    fs::remove_file(bench.path("log/tile/entries/003.p/5")).expect("a file");
    bench.write("log/tile/entries/003.p/1", &whole[..bytes]);
    bench.verify(&["log"]).expect_proved(COUNT);
    // Every record in the first.
    let mut bytes = Vec::new();
    for number in 0..39 {
        let name = format!("log/tile/entries/{number:03}");
        bytes.extend(fs::read(bench.path(&name)).expect("a bundle"));
        fs::remove_file(bench.path(&name)).expect("a bundle");
    }
    let last = bench.path("log/tile/entries/039.p");
    bytes.extend(fs::read(last.join("16")).expect("a bundle"));
    fs::remove_dir_all(last).expect("a bundle");
    fs::remove_dir_all(bench.path("log/tile/entries/003.p")).expect("a bundle");
    bench.write("log/tile/entries/000", bytes);
    bench.verify(&["log"]).expect("malformed_bundle", Some(256));
}

#[test]
fn tiles_above_the_leaves_are_compared_as_well() {
    let bench = Bench::new();
    bench.write_folder("log", &records(66_000));
    let altered = |name: &str, record: u64| {
        let said = bench.verify(&["log"]);
        said.expect("tile_altered", Some(record));
        assert_eq!(said.report["intact"], 66_000, "{name}");
        assert_eq!(said.report["proved"]["size"], 66_000, "{name}");
    };
    for (name, at, record) in [
        ("tile/1/000", 17 * 32 + 5, 17 * 256 + 1),
        ("tile/1/001.p/1", 0, 256 * 256 + 1),
        ("tile/2/000.p/1", 31, 1),
    ] {
        let path = bench.path("log").join(name);
        flip(&path, at);
        altered(name, record);
        flip(&path, at);
    }
    // Too short, or too long: the records still stand for themselves, but other tools rely on it.
    for (name, record) in [("tile/0/257.p/208", 257 * 256 + 1), ("tile/1/000", 1)] {
        let path = bench.path("log").join(name);
        let whole = fs::read(&path).expect("a tile");
        fs::write(&path, &whole[..whole.len() - 32]).expect("a tile");
        altered(name, record);
        fs::write(&path, whole).expect("a tile");
    }
    // A narrower one beside it.
    bench.write("log/tile/0/003.p/2", [7; 64]);
    altered("tile/0/003.p/2", 3 * 256 + 1);
}

#[test]
fn folders_are_read_below_no_link_and_from_regular_files_alone() {
    let bench = Bench::new();
    let key = Signer::of_log().public.to_string();
    // Whoever waits for a file that is none waits for ever.
    let bounded = || {
        let mut command = Command::new("timeout");
        command
            .arg("20")
            .arg(env!("CARGO_BIN_EXE_claviger"))
            .env_clear();
        command.args(["audit", "verify", "--json", "--key", &key]);
        command.arg(bench.path("log"));
        verdict(&mut command)
    };
    let refused = |what: &str| {
        let said = bounded();
        assert_eq!(said.code, Some(13), "{what}: {said:?}");
        assert!(said.err.contains(what), "{said:?}");
    };
    let fifo = |name: &str| {
        let path = bench.path(name);
        fs::remove_file(&path).expect("a file");
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
    };
    for name in [
        "tile/entries/001",
        "tile/0/001",
        "tile/1/000.p/3",
        "checkpoint",
    ] {
        bench.write_folder("log", &records(1_000));
        fifo(&format!("log/{name}"));
        refused(name);
        fs::remove_file(bench.path("log").join(name)).expect("a file");
    }
    // The same bytes, from elsewhere.
    bench.write_folder("log", &records(1_000));
    for name in ["tile/entries/001", "tile/entries", "tile"] {
        let (path, elsewhere) = (bench.path("log").join(name), bench.path("elsewhere"));
        fs::rename(&path, &elsewhere).expect("moved");
        symlink(&elsewhere, &path).expect("a link");
        refused(name);
        fs::remove_file(&path).expect("a link");
        fs::rename(&elsewhere, &path).expect("moved");
    }
    for name in ["tile/entries/x001", "tile/entries/000.p", "tile/0/x001"] {
        symlink(".", bench.path("log").join(name)).expect("a link");
        refused(name);
        fs::remove_file(bench.path("log").join(name)).expect("a link");
    }
    // What has no name of the layout is nobody's business, however deep it goes.
    for name in ["tile/entries/all", "tile/entries/x01", "tile/9", "all"] {
        symlink("/", bench.path("log").join(name)).expect("a link");
    }
    bounded().expect_proved(1_000);
}

#[test]
fn earliest_witness_counts_wherever_its_signature_is() {
    let bench = Bench::new();
    let all = records(300);
    bench.write_folder("log", &all);
    let (one, other) = ("witness.example/w1", "witness.example/w2");
    let one = Signer::new(one, Kind::Cosignature, 3);
    let other = Signer::new(other, Kind::Cosignature, 4);
    let note = checkpoint(&all, &Signer::of_log());
    let line = |note: String| {
        serde_json::json!({ "at": "2026-11-25T00:00:00Z", "note": note }).to_string() + "\n"
    };
    let anchors = [
        line(note.clone()),
        line(other.add_to(&note, 1_795_400_500)),
        line(one.add_to(&note, 1_795_400_400)),
    ];
    bench.write("anchors.jsonl", anchors.concat());
    let keys = [one.public.to_string(), other.public.to_string()];
    let words = [
        "log",
        "--anchor",
        "anchors.jsonl",
        "--key",
        &keys[0],
        "--key",
        &keys[1],
    ];
    let said = bench.verify(&words);
    said.expect_proved(300);
    let proved = &said.report["proved"];
    assert_eq!(proved["signed_at"], "2026-11-23T02:20:00.000Z", "{said:?}");
    assert_eq!(proved["signed_by"].as_array().map(Vec::len), Some(3));
    assert_eq!(proved["source"], "anchor");
    assert_eq!(said.report["checkpoints"].as_array().map(Vec::len), Some(2));
}

#[test]
fn time_that_nobody_signed_is_not_shown_as_signed() {
    let bench = Bench::new();
    let all = records(300);
    bench.write_folder("log", &all);
    let note = checkpoint(&all, &Signer::of_log());
    let line = serde_json::json!({ "at": "2026-11-25T00:00:00Z", "note": note });
    bench.write("anchors.jsonl", format!("{line}\n"));
    let said = bench.verify(&["log", "--anchor", "anchors.jsonl"]);
    said.expect_proved(300);
    let proved = &said.report["proved"];
    assert_eq!(proved["signed_at"], serde_json::Value::Null, "{said:?}");
    assert_eq!(proved["anchored_at"], "2026-11-25T00:00:00Z", "{said:?}");
    // The year 10000, which cannot be written.
    let witness = Signer::new("witness.example/w1", Kind::Cosignature, 3);
    bench.write("log/checkpoint", witness.add_to(&note, 253_402_300_800));
    let key = witness.public.to_string();
    let said = bench.verify(&["log", "--key", &key]);
    said.expect_proved(300);
    let proved = &said.report["proved"];
    assert_eq!(proved["signed_at"], serde_json::Value::Null, "{said:?}");
    assert_eq!(proved["signed_at_seconds"], 253_402_300_800_u64, "{said:?}");
    let log = Signer::of_log().public.to_string();
    let path = bench.path("log");
    let ended = bench
        .command(&[word(&path), "--key", &log, "--key", &key])
        .output();
    let out = String::from_utf8(ended.expect("the binary runs").stdout).expect("text");
    assert!(
        out.contains("signed at\t- (253402300800 seconds since 1970)\n"),
        "{out}"
    );
}

#[test]
fn foreign_names_cannot_steer_the_terminal() {
    let bench = Bench::new();
    let all = records(3);
    bench.write_folder("log", &all);
    let origin = format!("{ORIGIN}\u{202e}x\u{200b}");
    bench.write(
        "log/checkpoint",
        checkpoint_of(&origin, &all, &Signer::of_log()),
    );
    let key = Signer::of_log().public.to_string();
    for more in [&[][..], &["--json"]] {
        let words = [&["log", "--key", &key], more].concat();
        let ended = bench.command(&words).output().expect("the binary runs");
        let out = String::from_utf8(ended.stdout).expect("text");
        assert!(out.contains("other_log"), "{out}");
        let shown = out.to_lowercase();
        assert!(shown.contains("202e") && !out.contains('\u{202e}'), "{out}");
        assert!(shown.contains("200b") && !out.contains('\u{200b}'), "{out}");
    }
}
