//! Anchors outside the database: a file and a witness, and a verification with nothing but the witness's key.

use std::fs;

use claviger_testkit::stand_in::WitnessStandIn;
use serde_json::Value;

use crate::{bed::Bed, cli::Cli, run::run, server::Server};

/// What a witness has signed is proved with its key alone; and the anchors of one database are not those
/// of another.
pub(crate) fn proved(bed: &Bed) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let witness = runtime.block_on(WitnessStandIn::start("witness.example/w1"));
    let path = |name: &str| {
        let path = bed.data.with_file_name(name);
        path.to_str().expect("UTF-8").to_owned()
    };
    let (file, setting) = (path("anchors.jsonl"), witness.setting());
    let flags = ["--anchor-file", &file, "--witness", &setting];
    let server = Server::start(bed.serve(&flags));
    let nobody = Cli::new(bed, &server, "");
    let cli = nobody.with(&nobody.mint("first"));
    let export = |cli: &Cli<'_>, folder: &str, more: &[&str]| {
        let words = ["audit", "export", "--format", "tlog", "-o", folder];
        cli.run(&[&words, more].concat(), "")
    };
    assert_eq!(export(&cli, &path("plain"), &[]).code, Some(0));
    let none = export(&cli, &path("log"), &["--cosigned"]);
    assert_eq!(none.code, Some(5), "{}", none.err);
    let vkey = fs::read_to_string(path("plain/key")).expect("the key");
    witness.trust(vkey.trim());
    // What is new is anchored at the end.
    server.stop();
    let server = Server::start(bed.serve(&flags));
    let cli = Cli::new(bed, &server, &cli.token);
    let done = export(&cli, &path("log"), &["--cosigned"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let (log, key) = (path("log"), witness.vkey());
    let origin = vkey.split('+').next().expect("a name");
    let words = ["audit", "verify", &log, "--key", &key, "--origin", origin];
    let ended = cli
        .with("")
        .run(&[&words[..], &["--anchor", &file, "--json"]].concat(), "");
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let report: Value = serde_json::from_str(&ended.out).expect("a report");
    let checkpoints = report["checkpoints"].as_array().expect("checkpoints");
    let sources: Vec<_> = checkpoints.iter().map(|one| &one["source"]).collect();
    assert_eq!(sources, ["anchor", "export"], "{report}");
    let signer = report["proved"]["signed_by"][0].as_str().expect("a signer");
    assert!(key.starts_with(&format!("{signer}+")), "{report}");
    assert_eq!(report["proved"]["size"], report["records"]);
    let usage = cli.run(&["audit", "export", "--cosigned"], "");
    assert_eq!(usage.code, Some(2), "{}", usage.err);
    let mut doctor = bed.with_data(&["doctor", "--json"]);
    doctor.args(flags).args(["--url", &server.url]);
    let found = run(doctor, "");
    for part in [r#""what":"anchor file""#, r#""what":"witness""#] {
        assert!(found.out.contains(part), "{}", found.out);
    }
    assert_eq!(found.code, Some(0), "{}", found.out);
    server.stop();

    let other = Bed::sqlite();
    let refused = run(other.serve(&flags), "");
    assert_eq!(refused.code, Some(14), "{}", refused.err);
    for part in ["the database has no such org", "--accept-rollback"] {
        assert!(refused.err.contains(part), "{}", refused.err);
    }
}
