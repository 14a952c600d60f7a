//! The trail as a folder that tools for transparency logs read, and the rotation of the key that signs it.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use claviger_core::ledger::{
    checkpoint::Checkpoint,
    note::{Note, VerifierKey},
    tree::{
        Frontier, Hash, leaf_hash,
        tile::{Bundle, Resource, records, tiles_of_tree},
    },
};
use claviger_server::log_key::verifies;

use crate::{
    bed::Bed,
    cli::Cli,
    reader,
    run::{Ended, run},
    server::Server,
};

/// Every file below a folder, by its path within.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let within = path.strip_prefix(folder).expect("below");
                found.insert(within.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}

/// Verifies a folder from its files alone; gives its checkpoint.
fn verified(folder: &Path) -> Checkpoint {
    let keys = fs::read_to_string(folder.join("key")).expect("the keys");
    let keys: Vec<VerifierKey> = keys
        .lines()
        .map(|key| key.parse().expect("a key"))
        .collect();
    let note = fs::read(folder.join("checkpoint")).expect("the checkpoint");
    let note = Note::parse(&note).expect("a note");
    let signers = note.open(&keys, &verifies).expect("signed");
    assert_eq!(
        signers.len(),
        keys.len(),
        "every key in the folder has signed"
    );
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    let size = checkpoint.size();
    let own = ["key", "checkpoint", ".claviger-export.lock"];
    let mut expected = BTreeSet::from(own.map(str::to_owned));
    let mut tree = Frontier::default();
    let mut leaves = Vec::new();
    for number in 0..size.div_ceil(256) {
        let bundle = Resource::Entries(Bundle::of_tree(number, size).expect("a bundle"));
        let bytes = fs::read(folder.join(bundle.to_string())).expect("records");
        for record in records(&bytes) {
            let leaf = leaf_hash(record.expect("whole"));
            tree.append(leaf);
            leaves.push(leaf);
        }
        expected.insert(bundle.to_string());
    }
    assert_eq!((tree.size(), tree.root()), (size, checkpoint.root()));
    for tile in tiles_of_tree(size) {
        let name = Resource::Tile(tile).to_string();
        let bytes = fs::read(folder.join(&name)).expect("hashes");
        assert_eq!(bytes.len(), tile.bytes());
        if tile.level() == 0 {
            let first = usize::try_from(tile.number() * 256).expect("few");
            let own = leaves.iter().skip(first).take(tile.width().into());
            let own: Vec<u8> = own.flat_map(Hash::as_bytes).copied().collect();
            assert_eq!(bytes, own);
        }
        expected.insert(name);
    }
    assert_eq!(files(folder), expected, "nothing else is left there");
    checkpoint
}

fn export(cli: &Cli<'_>, folder: &Path) -> Ended {
    let folder = folder.to_str().expect("UTF-8");
    cli.run(&["audit", "export", "--format", "tlog", "-o", folder], "")
}

/// The second export adds what is new; another history is refused, and what was changed is named.
pub(crate) fn folder(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let cli = nobody.with(&nobody.mint("first"));
    let folder = bed.data.with_file_name("log");
    let records = |count: usize| {
        let mut curl = Command::new("curl");
        // The fragment stays here; it makes so many requests of one.
        let url = format!("{}/org/whoami#[1-{count}]", server.url);
        let bearer = format!("Authorization: Bearer {}", cli.token);
        curl.args([
            "-sf",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-H",
            &bearer,
            &url,
        ]);
        assert_eq!(run(curl, "").code, Some(0));
    };
    let done = |ended: Ended| assert_eq!(ended.code, Some(0), "{}", ended.err);
    done(export(&cli, &folder));
    let first = verified(&folder);
    let mut last = first;
    for count in [10, 300, 600] {
        records(count);
        done(export(&cli, &folder));
        let next = verified(&folder);
        assert!(next.size() > last.size());
        last = next;
    }
    // What an interrupted export has left is used, and what it has not finished is made anew.
    fs::remove_file(folder.join("checkpoint")).expect("removed");
    fs::remove_file(folder.join("tile/entries/002")).expect("removed");
    let partial: Vec<_> = files(&folder)
        .into_iter()
        .filter(|name| name.contains(".p/"))
        .collect();
    for name in partial {
        fs::remove_file(folder.join(name)).expect("removed");
    }
    done(export(&cli, &folder));
    let now = verified(&folder);
    assert!(now.size() > last.size());
    reader::reads(&cli, &folder, &now);
    change_is_named(&cli, &folder);

    // What was changed in the folder is not built upon.
    let stranger = bed.data.with_file_name("stranger");
    fs::create_dir(&stranger).expect("made");
    let vkey = fs::read_to_string(folder.join("key")).expect("the key");
    fs::write(stranger.join("key"), vkey).expect("written");
    let forged = fs::read_to_string(folder.join("checkpoint")).expect("the checkpoint");
    fs::write(stranger.join("checkpoint"), forged.replacen('\n', "\n1", 1)).expect("written");
    let refused = export(&cli, &stranger);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("does not verify"), "{}", refused.err);

    let usage = |words: &[&str]| assert_eq!(cli.run(words, "").code, Some(2), "{words:?}");
    usage(&["audit", "export", "--format", "tlog"]);
    usage(&[
        "audit",
        "export",
        "--format",
        "tlog",
        "-o",
        "x",
        "--since",
        "2026-01-01T00:00:00Z",
    ]);
    usage(&["audit", "export", "--format", "xml"]);
    server.stop();
}

/// `audit verify` with the key and a checkpoint that were kept elsewhere, before and after one byte was
/// changed.
fn change_is_named(cli: &Cli<'_>, folder: &Path) {
    let kept = folder.with_file_name("kept");
    fs::create_dir(&kept).expect("made");
    for name in ["key", "checkpoint"] {
        fs::copy(folder.join(name), kept.join(name)).expect("copied");
    }
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (log, key) = (path(folder), path(&kept.join("key")));
    let anchor = path(&kept.join("checkpoint"));
    let words = [
        "audit", "verify", &log, "--key", &key, "--anchor", &anchor, "--json",
    ];
    let verify = || {
        let ended = cli.with("").run(&words, "");
        let report: serde_json::Value = serde_json::from_str(&ended.out).expect("a report");
        (ended.code, report)
    };
    let (code, report) = verify();
    assert_eq!(code, Some(0), "{report}");
    let bundle = folder.join("tile/entries/001");
    let whole = fs::read(&bundle).expect("records");
    let mut bytes = whole.clone();
    // The last byte of the last of 256 records.
    *bytes.last_mut().expect("some") ^= 1;
    fs::write(&bundle, bytes).expect("written");
    let (code, report) = verify();
    assert_eq!(code, Some(12), "{report}");
    assert_eq!(report["findings"][0]["kind"], "changed", "{report}");
    assert_eq!(report["findings"][0]["first"], 512, "{report}");
    fs::write(&bundle, whole).expect("written");
}

fn rotate(bed: &Bed, more: &[&str]) -> Ended {
    let mut command = bed.with_data(&["audit", "rotate-key", "--json"]);
    command.args(more);
    run(command, "")
}

/// Whoever exported before goes on over a rotation, and not with a key that it has not heard of.
pub(crate) fn rotation(bed: &Bed) {
    let server = Server::start(bed.serve(&[]));
    let nobody = Cli::new(bed, &server, "");
    let cli = nobody.with(&nobody.mint("first"));
    let (folder, late) = (
        bed.data.with_file_name("log"),
        bed.data.with_file_name("late"),
    );
    for folder in [&folder, &late] {
        assert_eq!(export(&cli, folder).code, Some(0));
        assert_eq!(key_lines(folder), 1);
    }
    let refused = rotate(bed, &[]);
    assert_eq!(refused.code, Some(1), "a server runs: {}", refused.err);
    server.stop();
    let rotated = rotate(bed, &[]);
    assert_eq!(rotated.code, Some(0), "{}", rotated.err);
    assert!(rotated.out.contains("\"keys\":2"), "{}", rotated.out);
    assert!(rotated.err.contains("--finish"), "{}", rotated.err);
    let early = rotate(bed, &["--finish"]);
    assert_eq!(early.code, Some(1), "{}", early.err);
    assert!(early.err.contains("start the server once"), "{}", early.err);
    let export_on = |folder: &Path| {
        let server = Server::start(bed.serve(&[]));
        let ended = export(&Cli::new(bed, &server, &cli.token), folder);
        server.stop();
        ended
    };
    assert_eq!(export_on(&folder).code, Some(0));
    assert_eq!(key_lines(&folder), 2);
    verified(&folder);
    let finished = rotate(bed, &["--finish"]);
    assert_eq!(finished.code, Some(0), "{}", finished.err);
    assert_eq!(export_on(&folder).code, Some(0));
    assert_eq!(key_lines(&folder), 1);
    verified(&folder);
    let before = fs::read(late.join("checkpoint")).expect("the checkpoint");
    let unknown = export_on(&late);
    assert_eq!(unknown.code, Some(1), "{}", unknown.err);
    assert!(
        unknown.err.contains("not signed by a key"),
        "{}",
        unknown.err
    );
    assert_eq!(fs::read(late.join("checkpoint")).expect("it"), before);
}

fn key_lines(folder: &Path) -> usize {
    let keys = fs::read_to_string(folder.join("key")).expect("the keys");
    keys.lines().count()
}
