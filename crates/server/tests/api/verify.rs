//! The server verifies its own trail: whatever somebody does to a column is named, with the record.

use claviger_core::{
    id::OrgId,
    ledger::{
        batch::Batch,
        entry::{Draft, Entry},
    },
    tier::Actor,
    time::Timestamp,
};
use claviger_store::{OpenOptions, Store};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::service::{ADMIN, Backend, Service, text};

on_each_database!(
    every_column_that_is_tampered_with_is_named,
    untouched_trail_is_sound_and_a_failed_one_is_recorded_once_an_hour,
    verification_is_for_those_who_may_read_the_whole_trail,
    one_verification_of_an_org_runs_at_a_time_and_ends_with_its_caller,
);

const NOBODY: Actor = Actor::AdminToken;

/// Opens the database of a server that is stopped.
pub(crate) async fn store(service: &Service) -> Arc<dyn Store> {
    let options = OpenOptions {
        url: service.config().database_url,
        sync_audit: false,
        default_org: OrgId::from_u128(9),
        now: Timestamp::from_millis(1_800_000_000_000),
    };
    claviger_store::open(options).await.expect("it opens")
}

/// Record `n` of a trail: `/r/<n>` is its path.
pub(crate) fn record(org: OrgId, n: u64) -> Entry {
    let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(n).expect("small"));
    let path = format!("/r/{n}");
    let id = claviger_core::id::EventId::from_u128(u128::from(n));
    Draft {
        path: &path,
        route: &path,
        ..Draft::of_operation(id, n.into(), at, org, &NOBODY)
    }
    .write()
}

/// Adds a record, and the records 2 to 1 + `count` in runs of 100, to a trail without any.
async fn fill(store: &dyn Store, org: OrgId, count: u64) {
    assert_eq!(store.audit_size(org).await.expect("a size"), 0);
    let first: Batch = [record(org, 1)].into_iter().collect();
    store.append(Arc::new(first)).await.expect("it is written");
    let mut next = 2;
    while next < count + 2 {
        let end = (next + 100).min(count + 2);
        let batch: Batch = (next..end).map(|n| record(org, n)).collect();
        store.append(Arc::new(batch)).await.expect("it is written");
        next = end;
    }
}

pub(crate) async fn derive(store: &dyn Store) {
    while store.index_audit().await.expect("indexed") {}
    while store.derive_tiles().await.expect("derived") {}
}

/// A verification of an org: its findings, and the last line.
pub(crate) async fn verified(service: &Service, org: OrgId) -> (Vec<Value>, Value) {
    let ask = service.ask_as(ADMIN, "GET", "/org/audit/verify");
    let answer = ask.header("x-org-id", &org.to_string()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/jsonl"));
    lines(&answer.text())
}

fn lines(text: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let last = lines.pop().expect("a verdict");
    lines.retain(|line| line.get("progress").is_none());
    let findings = lines.iter().map(|line| line["finding"].clone());
    (findings.collect(), last["verdict"].clone())
}

/// How bytes are written in a statement.
pub(crate) fn blob(backend: Backend, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match backend {
        Backend::Sqlite => format!("x'{hex}'"),
        Backend::Postgres => format!("'\\x{hex}'::bytea"),
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// A trail, what is done to it, and what is to be named: kind, column, record.
struct Case {
    name: &'static str,
    count: u64,
    expected: Vec<(&'static str, &'static str, u64)>,
}

fn case(
    name: &'static str,
    count: u64,
    expected: impl IntoIterator<Item = (&'static str, &'static str, u64)>,
) -> Case {
    let expected = expected.into_iter().collect();
    Case {
        name,
        count,
        expected,
    }
}

/// More than a block of the index.
const LONG: u64 = 4200;

/// Of each case one of the expected has to be named, and nothing before it.
fn cases() -> Vec<Case> {
    let column = "column";
    vec![
        case("untouched", 600, []),
        case("at_min", 300, [(column, "audit_runs.at_min", 102)]),
        case("at_max", 300, [(column, "audit_runs.at_max", 102)]),
        case("first_seq", 300, [(column, "audit_runs.first_seq", 102)]),
        case("last_seq", 300, [(column, "audit_runs.last_seq", 202)]),
        case(
            "run of another org",
            300,
            [(column, "audit_runs.first_seq", 102)],
        ),
        case("given a run", 5, [(column, "ledgers.size", 0)]),
        case("lines", 600, [("changed", "audit_runs.lines", 150)]),
        case(
            "lines, not in a tile",
            100,
            [("root_mismatch", "audit_runs.lines", 1)],
        ),
        case("run removed", 600, [("removed", "audit_runs.lines", 102)]),
        case(
            "last line removed",
            300,
            [(column, "audit_runs.last_seq", 201)],
        ),
        case(
            "size",
            300,
            [
                (column, "audit_runs.first_seq", 0),
                (column, "ledgers.size", 0),
            ],
        ),
        case("peaks", 300, [(column, "ledgers.peaks", 0)]),
        case("places", LONG, [(column, "audit_index.places", 0)]),
        case("bucket", LONG, [(column, "audit_index.bucket", 0)]),
        case("block", LONG, [(column, "audit_index.bucket", 1)]),
        case(
            "row of the index removed",
            LONG,
            [(column, "audit_index.bucket", 0)],
        ),
        case("blocks", LONG, [(column, "audit_index_heads.blocks", 0)]),
        case(
            "hashes",
            600,
            [("hashes_altered", "audit_tiles.hashes", 260)],
        ),
        case("hashes above", 600, [(column, "audit_tiles.hashes", 257)]),
        case("number", 600, [(column, "audit_tiles.number", 257)]),
        case("level", 600, [(column, "audit_tiles.number", 1)]),
        case("tiles", 600, [(column, "audit_tile_heads.tiles", 0)]),
        case(
            "size of a checkpoint",
            50,
            [(column, "audit_checkpoints.size", 0)],
        ),
        case("root", 50, [(column, "audit_checkpoints.root", 0)]),
        case("note", 50, [(column, "audit_checkpoints.note", 0)]),
    ]
}

/// What is done in the database.
async fn statement(
    backend: Backend,
    store: &dyn Store,
    (name, org): (&str, OrgId),
    giver: OrgId,
) -> String {
    let ledger = store.ledger_row(org).await.expect("a row");
    let runs = store.run_rows(org, 0).await.expect("runs");
    let run = runs.iter().find(|run| run.first_seq == 102);
    let index = store.block_rows(org, 0).await.expect("rows");
    let first_tile = |level| store.tile_row(org, (level, u64::from(level == 0)));
    let run_of = |first: u64| format!("where org = '{org}' and first_seq = {first}");
    let checkpoint = format!(
        "where org = '{org}' and size = (select min(size) from audit_checkpoints where org = '{org}')"
    );
    let lines = |from: &str, to: &str| {
        let text = String::from_utf8(run.expect("a run").lines.clone()).expect("text");
        assert!(text.contains(from));
        let lines = blob(backend, text.replacen(from, to, 1).as_bytes());
        format!("update audit_runs set lines = {lines} {}", run_of(102))
    };
    let at = |number: usize| index.get(number).expect("a row");
    match name {
        "untouched" | "given a run" => String::new(),
        "at_min" => format!("update audit_runs set at_min = at_min + 1 {}", run_of(102)),
        "at_max" => format!("update audit_runs set at_max = at_max - 1 {}", run_of(102)),
        "first_seq" => format!("update audit_runs set first_seq = 103 {}", run_of(102)),
        "last_seq" => format!("update audit_runs set last_seq = 202 {}", run_of(102)),
        "run of another org" => {
            format!("update audit_runs set org = '{giver}' {}", run_of(102))
        }
        "lines" => lines("\"/r/150\"", "\"/x/150\""),
        "lines, not in a tile" => {
            let text = runs.iter().find(|run| run.first_seq == 2).expect("a run");
            let text = String::from_utf8(text.lines.clone()).expect("text");
            let text = blob(backend, text.replace("\"/r/50\"", "\"/x/50\"").as_bytes());
            format!("update audit_runs set lines = {text} {}", run_of(2))
        }
        "run removed" => format!("delete from audit_runs {}", run_of(102)),
        "last line removed" => {
            let text = String::from_utf8(run.expect("a run").lines.clone()).expect("text");
            let end = text.trim_end().rfind('\n').expect("many") + 1;
            let lines = blob(backend, &text.as_bytes()[..end]);
            format!("update audit_runs set lines = {lines} {}", run_of(102))
        }
        // With as many peaks as before.
        "size" => {
            let more =
                (ledger.size + 1..).find(|more| more.count_ones() == ledger.size.count_ones());
            let more = more.expect("a number");
            format!("update ledgers set size = {more} where org = '{org}'")
        }
        "peaks" => {
            let peaks = blob(backend, &flipped(&ledger.peaks, 40));
            format!("update ledgers set peaks = {peaks} where org = '{org}'")
        }
        "places" => {
            let (bucket, places) = (at(3).bucket, blob(backend, &flipped(&at(3).places, 7)));
            format!(
                "update audit_index set places = {places} where org = '{org}' and bucket = {bucket}"
            )
        }
        "bucket" => {
            let bucket = at(3).bucket;
            format!("update audit_index set bucket = 200 where org = '{org}' and bucket = {bucket}")
        }
        "block" => format!("update audit_index set block = 77 where org = '{org}'"),
        "row of the index removed" => {
            let bucket = at(3).bucket;
            format!("delete from audit_index where org = '{org}' and bucket = {bucket}")
        }
        "blocks" => format!("update audit_index_heads set blocks = 9 where org = '{org}'"),
        "hashes" => {
            let tile = first_tile(0).await.expect("read").expect("a row");
            // The fourth hash of the second tile: record 260.
            let hashes = blob(backend, &flipped(&tile, 3 * 32));
            let which = format!("where org = '{org}' and level = 0 and number = 1");
            format!("update audit_tiles set hashes = {hashes} {which}")
        }
        "hashes above" => {
            let tile = first_tile(1).await.expect("read").expect("a row");
            let hashes = blob(backend, &flipped(&tile, 32));
            format!("update audit_tiles set hashes = {hashes} where org = '{org}' and level = 1")
        }
        "number" => {
            format!(
                "update audit_tiles set number = 9 where org = '{org}' and level = 0 and number = 1"
            )
        }
        "level" => format!("update audit_tiles set level = 5 where org = '{org}' and level = 1"),
        "tiles" => format!("update audit_tile_heads set tiles = 50 where org = '{org}'"),
        "size of a checkpoint" => {
            format!("update audit_checkpoints set size = size - 1 {checkpoint}")
        }
        "root" => {
            let root = blob(backend, &[7; 32]);
            format!("update audit_checkpoints set root = {root} {checkpoint}")
        }
        "note" => {
            // A character within the signature.
            let kept = store.list_checkpoints(org, first_page()).await;
            let kept = kept.expect("checkpoints")[0].note.clone();
            let mut note = kept.into_bytes();
            let at = note.len() - 20;
            note[at] = if note[at] == b'A' { b'B' } else { b'A' };
            let note = String::from_utf8(note).expect("text");
            format!("update audit_checkpoints set note = '{note}' {checkpoint}")
        }
        other => panic!("nothing is said of `{other}`"),
    }
}

fn first_page() -> claviger_store::Page<u64> {
    claviger_store::Page {
        after: None,
        limit: 1,
    }
}

async fn every_column_that_is_tampered_with_is_named(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let mut orgs = Vec::new();
    for (at, _) in cases().iter().enumerate() {
        let body = json!({"name": format!("case-{at}")});
        let made = service.make(ADMIN, "/admin/orgs", body).await;
        orgs.push(text(&made["id"]).parse::<OrgId>().expect("an id"));
    }
    service.stop().await;
    let opened = store(&service).await;
    for (case, org) in cases().iter().zip(&orgs) {
        fill(&*opened, *org, case.count).await;
    }
    derive(&*opened).await;
    opened.close().await;
    drop(opened);
    service.start().await.expect("it starts");
    for org in orgs.iter().chain(&orgs) {
        let ask = service.ask_as(ADMIN, "GET", "/org/audit/checkpoint");
        let answer = ask.header("x-org-id", &org.to_string()).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    service.stop().await;
    let opened = store(&service).await;
    let named = |name: &str| cases().iter().position(|case| case.name == name);
    let taker = orgs[named("given a run").expect("a case")];
    let mut statements = String::new();
    for (case, org) in cases().iter().zip(&orgs) {
        let one = statement(backend, &*opened, (case.name, *org), taker).await;
        statements.push_str(&one);
        statements.push_str(";\n");
    }
    opened.close().await;
    drop(opened);
    service.sql(&statements);
    service.start().await.expect("it starts");
    for (case, org) in cases().iter().zip(&orgs) {
        let (findings, verdict) = verified(&service, *org).await;
        if case.expected.is_empty() {
            assert!(findings.is_empty(), "{}: {findings:?}", case.name);
            assert_eq!(verdict["is_sound"], true, "{}: {verdict}", case.name);
            assert!(verdict["intact"].as_u64() > Some(case.count));
            continue;
        }
        let is_named = findings.iter().any(|found| {
            case.expected.iter().any(|(kind, column, seq)| {
                let is_place = *seq == 0 || found["seq"] == *seq;
                found["kind"] == *kind && found["column"] == *column && is_place
            })
        });
        assert!(is_named, "{}: {findings:#?} {verdict}", case.name);
        assert_eq!(verdict["is_sound"], false, "{}: {verdict}", case.name);
        let first = case.expected.iter().map(|(_, _, seq)| *seq).min();
        let first = first.filter(|seq| *seq > 0);
        if let Some(first) = first {
            let named = verdict["first"].as_u64();
            assert_eq!(named, Some(first), "{}: {findings:#?}", case.name);
        }
    }
}

async fn untouched_trail_is_sound_and_a_failed_one_is_recorded_once_an_hour(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let whoami = service.get(ADMIN, "/org/whoami").await;
    let org: OrgId = text(&whoami["org"]["id"]).parse().expect("an id");
    for _ in 0..3 {
        let (findings, verdict) = verified(&service, org).await;
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(
            (&verdict["is_sound"], &verdict["findings"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(verdict["intact"], verdict["proved"]);
        assert!(verdict["records"].as_u64() >= verdict["proved"].as_u64());
        let keys = service.get(ADMIN, "/org/audit/key").await;
        let key = text(&keys["keys"][0]["vkey"]);
        assert!(key.starts_with(&text(&verdict["signed_by"][0])));
    }
    let failed = async |service: &Service| {
        let records = service.audit(ADMIN, "").await;
        let failed = |record: &&Value| record["code"] == "verification_failed";
        records.iter().filter(failed).cloned().collect::<Vec<_>>()
    };
    assert_eq!(failed(&service).await.len(), 0);
    service.stop().await;
    service.sql("update audit_runs set at_max = at_max + 1 where first_seq = 1");
    service.start().await.expect("it starts");
    for _ in 0..2 {
        let (findings, verdict) = verified(&service, org).await;
        assert_eq!(verdict["is_sound"], false, "{findings:?}");
        assert_eq!(
            verdict["intact"], verdict["proved"],
            "the records themselves are"
        );
        // The record is written behind: a checkpoint waits for all of them.
        service
            .ask_as(ADMIN, "GET", "/org/audit/checkpoint")
            .send()
            .await;
    }
    // The page says it too, without any script.
    let cookie = service.sign_in(ADMIN).await;
    let ask = service.ask_in(&cookie, "GET", "/canvas/audit/verify?run=1");
    let page = ask.send().await;
    assert_eq!(page.status, 200);
    for words in [
        "Not all is well",
        "One thing is wrong, at record 1.",
        "audit_runs.at_max",
    ] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let records = failed(&service).await;
    let [record] = records.as_slice() else {
        panic!("{records:#?}");
    };
    assert_eq!(record["kind"], "signal");
    assert_eq!(record["route"], "/org/audit/verify");
    let said = &record["change"]["signal"];
    assert_eq!(said["type"], "verification_failed");
    assert_eq!((&said["findings"], &said["first"]), (&json!(1), &json!(1)));
}

async fn verification_is_for_those_who_may_read_the_whole_trail(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let bound = json!({"name": "bound", "permissions": ["audit:read"], "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    let path = "/org/audit/verify";
    let answer = service.ask_as(&bound.secret, "GET", path).send().await;
    answer.problem(403, "outside_workspaces");
    let reader = json!({"name": "reader", "permissions": ["audit:read"]});
    let reader = service.mint(ADMIN, reader).await;
    let answer = service.ask_as(&reader.secret, "GET", path).send().await;
    assert_eq!(lines(&answer.text()).1["is_sound"], true);
    // Whoever read the end of one may begin the next at once.
    for _ in 0..25 {
        let answer = service.ask_as(&reader.secret, "GET", path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let answer = service
        .ask_as(ADMIN, "GET", "/org/audit/verify?x=1")
        .send()
        .await;
    answer.problem(400, "bad_query");
}

async fn one_verification_of_an_org_runs_at_a_time_and_ends_with_its_caller(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let whoami = service.get(ADMIN, "/org/whoami").await;
    let org: OrgId = text(&whoami["org"]["id"]).parse().expect("an id");
    service.stop().await;
    let opened = store(&service).await;
    let batches = (0..20_u64).map(|batch| {
        let records = batch * 1000..(batch + 1) * 1000;
        records.map(|n| record(org, n)).collect::<Batch>()
    });
    for batch in batches {
        opened.append(Arc::new(batch)).await.expect("it is written");
    }
    opened.close().await;
    drop(opened);
    service.start().await.expect("it starts");
    let ask = || service.ask_as(ADMIN, "GET", "/org/audit/verify");
    // The head of the answer is there, and the trail is still being looked at.
    let open = ask().0.send().await.expect("an answer");
    let answer = ask().send().await;
    answer.problem(409, "refused");
    drop(open);
    let answer = service
        .until(|_| ask(), |answer| answer.status == 200)
        .await;
    let (_, verdict) = lines(&answer.text());
    assert_eq!(verdict["is_sound"], true, "{verdict}");
}
