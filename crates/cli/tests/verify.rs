//! `claviger audit verify`, told with files alone: no server and no database. In 10,000 records each thing
//! that can be done to a trail is done, and named. Also the exports that a server and a folder spoil.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what is not found has failed the test, and the panic says what it was"
)]

#[path = "support/verify/crafted.rs"]
mod crafted;
#[path = "support/verify/exports.rs"]
mod exports;
#[path = "support/verify/log.rs"]
mod log;
#[path = "support/verify/standin.rs"]
mod standin;

use std::{fs, fs::File, process::Stdio, time::Duration};

use claviger_core::{
    id::{EventId, OrgId},
    ledger::{
        entry::{Draft, Kind as About},
        note::Kind,
        retention::Decision,
    },
    tier::Actor,
    time::Timestamp,
};
use log::{
    Bench, ORIGIN, Signer, checkpoint, checkpoint_of, lines, record, records, verdict, word,
};

const COUNT: u64 = 10_000;

fn number(at: u64) -> usize {
    usize::try_from(at).expect("few")
}

#[test]
fn untouched_exports_are_proved_in_every_form() {
    let bench = Bench::new();
    let all = records(COUNT);
    bench.write_folder("log", &all);
    bench.write_lines("trail.jsonl", &all, &all);
    bench.verify(&["log"]).expect_proved(COUNT);
    bench.verify(&["trail.jsonl"]).expect_proved(COUNT);
    fs::remove_file(bench.path("trail.jsonl.hashes")).expect("a file");
    bench.verify(&["trail.jsonl"]).expect_proved(COUNT);

    // From standard input, with an anchor, and with the key in a file.
    fs::rename(bench.path("trail.jsonl.checkpoint"), bench.path("anchor")).expect("a file");
    let input = File::open(bench.path("trail.jsonl")).expect("a file");
    let words = ["-", "--key", "log/key", "--anchor", "anchor", "--json"];
    let said = verdict(bench.command(&words).stdin(Stdio::from(input)));
    said.expect_proved(COUNT);
    assert_eq!(said.report["proved"]["source"], "anchor");
}

#[test]
fn flipped_bits_are_named_wherever_they_are() {
    let bench = Bench::new();
    let all = records(COUNT);
    for (at, bit) in [(1, 0), (4_242, 3), (COUNT, 7)] {
        let mut stand = all.clone();
        stand[number(at) - 1][20] ^= 1 << bit;
        bench.write_lines("trail.jsonl", &stand, &all);
        bench.verify(&["trail.jsonl"]).expect("changed", Some(at));
    }
    bench.write_folder("log", &all);
    let path = bench.path("log/tile/entries/016");
    let mut bytes = fs::read(&path).expect("a bundle");
    bytes[40] ^= 1;
    fs::write(&path, &bytes).expect("a bundle");
    bench.verify(&["log"]).expect("changed", Some(16 * 256 + 1));
    // In the length of the first record: what follows in the bundle cannot be told apart.
    bytes[40] ^= 1;
    bytes[1] ^= 1;
    fs::write(&path, &bytes).expect("a bundle");
    let said = bench.verify(&["log"]);
    said.expect_first("changed", Some(16 * 256 + 1));
    bytes[1] ^= 1;
    fs::write(&path, &bytes).expect("a bundle");

    // In the hashes: the records themselves are what was signed.
    let path = bench.path("log/tile/0/016");
    let mut tile = fs::read(&path).expect("a tile");
    tile[0] ^= 1;
    fs::write(&path, &tile).expect("a tile");
    bench
        .verify(&["log"])
        .expect("hashes_altered", Some(16 * 256 + 1));
}

#[test]
fn removed_inserted_and_swapped_records_are_named() {
    let bench = Bench::new();
    let all = records(COUNT);
    let of = |stand: &[Vec<u8>]| {
        bench.write_lines("trail.jsonl", stand, &all);
        bench.verify(&["trail.jsonl"])
    };
    let mut stand = all.clone();
    stand.remove(4_999);
    of(&stand).expect("removed", Some(5_000));
    let mut stand = all.clone();
    stand.insert(4_999, record(COUNT + 1));
    of(&stand).expect("inserted", Some(5_000));
    let mut stand = all.clone();
    stand.swap(2_999, 6_999);
    of(&stand).expect_first("reordered", Some(3_000));
    let mut stand = all.clone();
    stand.truncate(9_000);
    of(&stand).expect("cut_off", Some(9_001));
    let mut stand = all.clone();
    stand.push(record(COUNT + 1));
    of(&stand).expect("unsigned", Some(COUNT + 1));
    // A line break that was flipped makes one record of two.
    bench.write_lines("trail.jsonl", &all, &all);
    let mut bytes = lines(&all);
    let at = lines(&all[..2_000]).len() - 1;
    bytes[at] ^= 1;
    bench.write("trail.jsonl", bytes);
    let said = bench.verify(&["trail.jsonl"]);
    said.expect_first("changed", Some(2_000));
}

#[test]
fn bundles_that_are_missing_are_named() {
    let bench = Bench::new();
    bench.write_folder("log", &records(COUNT));
    fs::remove_file(bench.path("log/tile/entries/003")).expect("a bundle");
    let said = bench.verify(&["log"]);
    said.expect("no_body", Some(3 * 256 + 1));
    assert_eq!(said.report["without_body"], 256);
    bench.write_folder("log", &records(COUNT));
    fs::remove_file(bench.path("log/tile/entries/039.p/16")).expect("a bundle");
    bench.verify(&["log"]).expect("cut_off", Some(39 * 256 + 1));
}

/// The record with this number, which drops the bodies up to another.
fn decision(number: u64, last: u64) -> Vec<u8> {
    let decision = Decision {
        first: 1,
        last,
        keep: Duration::from_hours(24 * 90),
        setting: None,
        size: number - 1,
        root: log::root(&[]),
    };
    let change = decision.change().to_string();
    let (id, org) = (EventId::from_u128(number.into()), OrgId::from_u128(1));
    let at = Timestamp::from_millis(1);
    let draft = Draft {
        kind: About::Retention,
        change: Some(&change),
        ..Draft::of_operation(id, 7, at, org, &Actor::Policy)
    };
    draft.write().bytes().to_vec()
}

#[test]
fn bodies_that_a_record_drops_are_no_finding_and_others_are() {
    let bench = Bench::new();
    let mut all = records(COUNT);
    all[8_999] = decision(9_000, 1_024);
    bench.write_folder("log", &all);
    for number in 0..4 {
        let bundle = format!("log/tile/entries/00{number}");
        fs::remove_file(bench.path(&bundle)).expect("a bundle");
    }
    let said = bench.verify(&["log"]);
    said.expect_proved(COUNT);
    assert_eq!(said.report["without_body"], 1_024);
    let decided = &said.report["decisions"][0];
    assert_eq!(
        (decided["record"].as_u64(), decided["last"].as_u64()),
        (Some(9_000), Some(1_024))
    );
    assert_eq!(decided["keep_audit_for"], "90d");
    let out = bench.command(&["log", "--key", "log/key"]).output();
    let out = String::from_utf8(out.expect("it runs").stdout).expect("a text");
    let words = "records 1 to 1024, by the decision in record 9000 (keep_audit_for 90d)";
    assert!(out.contains(words), "{out}");
    // One bundle more than was decided.
    fs::remove_file(bench.path("log/tile/entries/004")).expect("a bundle");
    bench.verify(&["log"]).expect("no_body", Some(1_025));
    // Lines begin behind what was dropped; the hashes beside them are whole.
    bench.write_lines("trail.jsonl", &all[1_024..], &all);
    bench.verify(&["trail.jsonl"]).expect_proved(COUNT);
    bench.write_lines("trail.jsonl", &all[1_025..], &all);
    bench
        .verify(&["trail.jsonl"])
        .expect("removed", Some(1_025));
    // The same bytes where nobody signed a decision.
    let mut stand = all.clone();
    all[8_999] = record(9_000);
    stand.drain(..1_024);
    bench.write_lines("trail.jsonl", &stand, &all);
    let said = bench.verify(&["trail.jsonl"]);
    said.expect_first("removed", Some(1));
    assert!(
        said.findings()
            .contains(&("changed".to_owned(), Some(9_000)))
    );
}

#[test]
fn without_hashes_the_checkpoints_say_where_a_change_lies() {
    let bench = Bench::new();
    let all = records(COUNT);
    let mut stand = all.clone();
    stand[6_000][20] ^= 1;
    bench.write_lines("trail.jsonl", &stand, &all);
    fs::remove_file(bench.path("trail.jsonl.hashes")).expect("a file");
    bench.write("anchor", checkpoint(&all[..5_000], &Signer::of_log()));
    let said = bench.verify(&["trail.jsonl", "--anchor", "anchor"]);
    said.expect("root_mismatch", Some(5_001));
    assert_eq!(said.report["intact"], 5_000);
    assert_eq!(said.report["proved"]["size"], 5_000);
}

#[test]
fn checkpoints_that_do_not_count_are_named() {
    let bench = Bench::new();
    let all = records(COUNT);
    bench.write_folder("log", &all);
    let other = Signer::new(ORIGIN, Kind::Ed25519, 2);
    let note = bench.path("log/checkpoint");
    let with = |text: String| {
        fs::write(&note, text).expect("a note");
        bench.verify(&["log"])
    };
    // Signed again with another key.
    let said = with(checkpoint(&all, &other));
    said.expect_first("unknown_key", None);
    assert!(
        said.findings()
            .contains(&("no_checkpoint".to_owned(), None))
    );
    assert_eq!(said.report["proved"], serde_json::Value::Null);
    // Another text under a signature that holds.
    let signed = checkpoint(&all, &Signer::of_log());
    let said = with(signed.replace("\n10000\n", "\n9999\n"));
    said.expect_first("bad_signature", None);
    // The private key is the same for all orgs: their checkpoints must not pass for ours.
    let twin = "claviger/org_01M8336G55QTTE6EVSFV7Z65F5";
    let of_twin = checkpoint_of(twin, &all, &Signer::of_log());
    with(of_twin).expect_first("other_log", None);
    with("nothing\n".to_owned()).expect_first("malformed_checkpoint", None);
    fs::remove_file(&note).expect("a note");
    bench.verify(&["log"]).expect_first("no_checkpoint", None);
}

#[test]
fn forks_and_rollbacks_show_against_an_anchor() {
    let bench = Bench::new();
    let all = records(COUNT);
    let key = Signer::of_log();
    // Two nodes went on from the same 8,000 records.
    let mut other = all.clone();
    other[8_000] = record(COUNT + 1);
    bench.write_folder("log", &all);
    bench.write("anchor", checkpoint(&other[..9_000], &key));
    let said = bench.verify(&["log", "--anchor", "anchor"]);
    said.expect_first("fork", Some(1));
    bench.write("early", checkpoint(&all[..8_000], &key));
    let said = bench.verify(&["log", "--anchor", "anchor", "--anchor", "early"]);
    said.expect("fork", Some(8_001));
    // The anchor is ahead of the export.
    bench.write_folder("old", &all[..9_000]);
    bench.write("anchor", checkpoint(&all, &key));
    let said = bench.verify(&["old", "--anchor", "anchor"]);
    said.expect("rollback", Some(9_001));
    let advice = said.report["findings"][0]["advice"].as_str();
    assert!(advice.is_some_and(|advice| advice.contains("may only be older")));
    assert_eq!(said.report["intact"], 9_000);
}

#[test]
fn anchor_files_of_the_server_are_read_and_other_orgs_passed_over() {
    let bench = Bench::new();
    let all = records(COUNT);
    let key = Signer::of_log();
    let twin = "claviger/org_01M8336G55QTTE6EVSFV7Z65F5";
    let line = |org: &str, note: String| {
        let at = "2026-11-23T02:19:13.996Z";
        let line = serde_json::json!({ "org": org, "at": at, "note": note });
        format!("{line}\n")
    };
    let of_twin = Signer::new(twin, Kind::Ed25519, 1);
    let file = [
        line("org_a", checkpoint(&all[..5_000], &key)),
        line("org_b", checkpoint_of(twin, &all[..77], &of_twin)),
        line("org_a", checkpoint(&all, &key)),
    ];
    bench.write("anchors.jsonl", file.concat());
    bench.write_folder("log", &all);
    let said = bench.verify(&["log", "--anchor", "anchors.jsonl"]);
    said.expect_proved(COUNT);
    assert_eq!(said.report["checkpoints"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        said.report["checkpoints"][0]["anchored_at"],
        "2026-11-23T02:19:13.996Z"
    );
    // A line that was being written when the power went.
    let torn = file.concat() + file[0].get(..100).expect("a long line");
    bench.write("anchors.jsonl", torn);
    let said = bench.verify(&["log", "--anchor", "anchors.jsonl"]);
    said.expect_proved(COUNT);
    assert!(said.err.contains("not written to its end"), "{said:?}");
    // An anchor of another org alone proves nothing of this one.
    bench.write("anchors.jsonl", &file[1]);
    let said = bench.verify(&["log", "--anchor", "anchors.jsonl"]);
    assert_eq!(said.code, Some(13), "{said:?}");
    bench.write("anchors.jsonl", "{\"note\":1}\n");
    let said = bench.verify(&["log", "--anchor", "anchors.jsonl"]);
    assert_eq!(said.code, Some(13), "{said:?}");
}

#[test]
fn witnesses_say_when_and_old_keys_are_given_beside_new_ones() {
    let bench = Bench::new();
    let all = records(300);
    bench.write_folder("log", &all);
    let witness = Signer::new("witness.example/w1", Kind::Cosignature, 3);
    let note = checkpoint(&all, &Signer::of_log());
    bench.write("log/checkpoint", witness.add_to(&note, 1_795_400_400));
    let log = Signer::of_log().public.to_string();
    let key = witness.public.to_string();
    let said = bench.verify_with(&["log", "--key", &log, "--key", &key]);
    said.expect_proved(300);
    assert_eq!(
        said.report["proved"]["signed_at"],
        "2026-11-23T02:20:00.000Z"
    );
    assert_eq!(
        said.report["proved"]["signed_by"].as_array().map(Vec::len),
        Some(2)
    );
    // The key of a witness does not say which log is meant.
    let said = bench.verify_with(&["log", "--key", &key]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let said = bench.verify_with(&["log", "--key", &key, "--origin", ORIGIN]);
    said.expect_proved(300);
    // An older anchor, by the key of before.
    let old = Signer::new(ORIGIN, Kind::Ed25519, 2);
    bench.write("anchor", checkpoint(&all[..100], &old));
    let said = bench.verify(&["log", "--anchor", "anchor"]);
    said.expect("unknown_key", None);
    let old = old.public.to_string();
    let said = bench.verify(&["log", "--anchor", "anchor", "--key", &old]);
    said.expect_proved(300);
}

#[test]
fn what_cannot_be_read_ends_with_a_code_of_its_own() {
    let bench = Bench::new();
    bench.write_lines("trail.jsonl", &records(3), &records(3));
    fs::create_dir(bench.path("empty")).expect("a directory");
    bench.write("nokey", "nothing\n");
    let codes = |words: &[&str]| bench.verify_with(words).code;
    let key = Signer::of_log().public.to_string();
    assert_eq!(codes(&["absent", "--key", &key]), Some(13));
    assert_eq!(codes(&["empty", "--key", &key]), Some(13));
    assert_eq!(codes(&["trail.jsonl", "--key", "nokey"]), Some(13));
    let absent = ["trail.jsonl", "--key", &key, "--anchor", "absent"];
    assert_eq!(codes(&absent), Some(13));
    assert_eq!(codes(&["trail.jsonl", "--key", "a+b+c"]), Some(2));
    assert_eq!(codes(&["trail.jsonl"]), Some(2));
    assert_eq!(codes(&["trail.jsonl", "--key", &key]), Some(0));
}

#[test]
fn a_pipe_gets_lines_that_say_what_they_are() {
    let bench = Bench::new();
    let mut stand = records(300);
    bench.write_lines("trail.jsonl", &stand, &stand);
    let key = Signer::of_log().public.to_string();
    let path = bench.path("trail.jsonl");
    let run = || {
        let words = [word(&path), "--key", &key];
        let ended = bench.command(&words).output().expect("the binary runs");
        String::from_utf8(ended.stdout).expect("text")
    };
    let said = run();
    assert!(said.starts_with("verdict\tall is proved\n"), "{said}");
    assert!(
        said.contains("proved\trecords 1 to 300, byte for byte\n"),
        "{said}"
    );
    assert!(said.contains("checkpoint\tfits\t300\t"), "{said}");
    stand[199][20] ^= 1;
    bench.write("trail.jsonl", lines(&stand));
    let said = run();
    assert!(said.starts_with("verdict\tnot all is proved\n"), "{said}");
    assert!(
        said.contains("finding\tchanged\t200\trecord 200: other bytes"),
        "{said}"
    );
}

#[test]
fn vectors_of_the_page_are_verified_with_ed25519() {
    const PAGE: &str = include_str!("../../../docs/spec/ledger-vectors.md");
    let block = |name: &str| {
        let start = format!("\n```{name}\n");
        let (_, block) = PAGE.split_once(&start).expect(name);
        let (block, _) = block.split_once("\n```").expect("its end");
        format!("{block}\n")
    };
    let bench = Bench::new();
    bench.write("trail.jsonl", block("records"));
    bench.write("trail.jsonl.checkpoint", block("note"));
    bench.write("keys", block("keys"));
    let said = bench.verify_with(&["trail.jsonl", "--key", "keys"]);
    said.expect_proved(5);
    let signers = said.report["proved"]["signed_by"].as_array();
    assert_eq!(signers.map(Vec::len), Some(3), "{said:?}");
    // Each key alone is enough; a note that was changed is none of theirs.
    for key in block("keys").lines() {
        let origin = "claviger.example/org_01M8336G55QTTE6EVSFV7Z65F4";
        let words = ["trail.jsonl", "--key", key, "--origin", origin];
        bench.verify_with(&words).expect_proved(5);
        bench.write("changed", block("note").replacen("w4I", "w4J", 1));
        let with_anchor = [&words[..], &["--anchor", "changed"]].concat();
        let said = bench.verify_with(&with_anchor);
        said.expect("bad_signature", None);
    }
}
