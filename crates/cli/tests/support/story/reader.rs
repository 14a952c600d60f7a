//! The folder of the log, read by an implementation that is not ours: `golang.org/x/mod/sumdb` in Go.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use claviger_core::ledger::{checkpoint::Checkpoint, tree::HASH_BYTES};

use crate::{
    cli::Cli,
    run::{Ended, run},
};

const PROGRAM: &str = include_str!("../../reader/main.go");
const MODULE: &str = "golang.org/x/mod";
/// Where Debian's package `golang-golang-x-mod-dev` puts it.
const DEBIAN: &str = "/usr/share/gocode/src/golang.org/x/mod";

/// Reads checkpoint, records, tiles and proofs; then with one bit changed in each, which must not hold.
pub(crate) fn reads(cli: &Cli<'_>, folder: &Path, checkpoint: &Checkpoint) {
    let beside = folder.with_file_name("reader");
    fs::create_dir_all(&beside).expect("made");
    let Some(program) = built(&beside) else {
        // Straight to standard error: what is printed by the macros is hidden where a test passes.
        let said = "the folder of the log was NOT read by another implementation: install Go and \
                    golang.org/x/mod (Debian: golang-go and golang-golang-x-mod-dev)\n";
        std::io::stderr().write_all(said.as_bytes()).ok();
        return;
    };
    let size = checkpoint.size();
    let proof = |name: &str, query: &str| {
        let path = beside.join(name);
        let mut curl = Command::new("curl");
        let url = format!("{}/org/audit/proof?{query}", cli.url);
        curl.args(["-sf", "--noproxy", "*", "-H"]);
        curl.arg(format!("Authorization: Bearer {}", cli.token))
            .arg(url);
        fs::write(&path, run(curl, "").out).expect("written");
        path
    };
    let inclusion = proof("inclusion", &format!("seq=300&size={size}"));
    let consistency = proof("consistency", &format!("from=277&to={size}"));
    let read = || {
        let mut command = Command::new(&program);
        run_with(command.arg(folder).arg(&inclusion).arg(&consistency))
    };
    let held = read();
    assert_eq!(held.code, Some(0), "{}", held.err);
    assert_eq!(held.out, format!("{size} records hold\n"));
    // It would have found what is wrong.
    for name in [
        "tile/entries/001",
        "tile/0/001",
        "tile/1/000.p",
        "checkpoint",
    ] {
        let path = folder.join(name);
        let path = if path.is_dir() {
            let mut entries = fs::read_dir(&path).expect("a directory");
            entries.next().expect("a tile").expect("a tile").path()
        } else {
            path
        };
        let whole = fs::read(&path).expect("a file");
        let mut bytes = whole.clone();
        bytes[HASH_BYTES + 9] ^= 1;
        fs::write(&path, bytes).expect("written");
        assert_eq!(read().code, Some(1), "{name}");
        fs::write(&path, whole).expect("written");
    }
}

fn run_with(command: &mut Command) -> Ended {
    let ended = command.output().expect("the program runs");
    Ended {
        code: ended.status.code(),
        out: String::from_utf8_lossy(&ended.stdout).into_owned(),
        err: String::from_utf8_lossy(&ended.stderr).into_owned(),
    }
}

/// The program; `None` where Go or the module is not installed. Nothing is downloaded.
fn built(beside: &Path) -> Option<PathBuf> {
    let cache = Command::new("go")
        .args(["env", "GOMODCACHE"])
        .output()
        .ok()?;
    let cache = String::from_utf8(cache.stdout).ok()?;
    let cached = PathBuf::from(cache.trim()).join("golang.org/x");
    let cached = fs::read_dir(cached).into_iter().flatten().flatten();
    let cached = cached.filter(|entry| entry.file_name().to_string_lossy().starts_with("mod@"));
    let mut places = cached.map(|entry| entry.path()).chain([DEBIAN.into()]);
    let module = places.find(|path| path.join("sumdb/tlog").is_dir())?;
    let text = format!(
        "module reader\n\ngo 1.21\n\nrequire {MODULE} v0.0.0\n\nreplace {MODULE} => {}\n",
        module.display()
    );
    fs::write(beside.join("go.mod"), text).expect("written");
    fs::write(beside.join("main.go"), PROGRAM).expect("written");
    let mut go = Command::new("go");
    go.args(["build", "-o", "reader", "."]).current_dir(beside);
    // Neither the network nor another version of Go.
    go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
    go.env("GOFLAGS", "-mod=mod -buildvcs=false");
    let made = run_with(&mut go);
    assert_eq!(made.code, Some(0), "{}", made.err);
    Some(beside.join("reader"))
}
