//! The audit trail as a log: what an outsider verifies from the answers alone.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_core::ledger::{
    checkpoint::Checkpoint,
    note::{Note, VerifierKey},
    tree::{
        Frontier, HASH_BYTES, Hash, leaf_hash,
        proof::{verify_consistency, verify_inclusion},
        tile::{Bundle, Resource, records, root_of, tiles_of_tree},
    },
};
use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    outsider_rebuilds_the_log_from_what_is_served,
    proofs_hold_for_records_and_for_earlier_trees,
    checkpoint_covers_every_record_that_was_answered_before,
    concurrent_requests_share_a_checkpoint_that_is_not_older_than_they_are,
    log_has_what_it_has_and_nothing_else,
    log_is_for_those_who_may_read_the_whole_trail_of_their_org,
);

/// Asks until there are so many more records.
async fn records_more(service: &Service, count: usize) {
    for _ in 0..count.div_ceil(100) {
        let asks = (0..100).map(|_| service.ask_as(ADMIN, "GET", "/org/whoami").send());
        for answer in futures_util::future::join_all(asks).await {
            answer.ok(200);
        }
    }
}

/// What an outsider knows of a log.
pub(crate) struct Outsider {
    pub(crate) keys: Vec<VerifierKey>,
}

impl Outsider {
    /// Learns the public keys.
    pub(crate) async fn of(service: &Service, token: &str) -> Self {
        let answer = service.get(token, "/org/audit/key").await;
        let keys = answer["keys"].as_array().expect("keys").iter();
        let keys = keys.map(|key| {
            let parsed: VerifierKey = text(&key["vkey"]).parse().expect("a public key");
            assert_eq!(parsed.name(), text(&answer["origin"]));
            let id = format!("{:08x}", u32::from_be_bytes(parsed.id()));
            assert_eq!(text(&key["id"]), id);
            parsed
        });
        let keys: Vec<_> = keys.collect();
        let current = answer["keys"].as_array().expect("keys").iter();
        let current: Vec<_> = current.map(|key| key["is_current"] == true).collect();
        assert!(current[0] && !current[1..].contains(&true));
        Self { keys }
    }

    /// Reads a note, and verifies that a known key signed it.
    pub(crate) fn open(&self, note: &str) -> Checkpoint {
        self.try_open(note).expect("signed by a known key")
    }

    pub(crate) fn try_open(&self, note: &str) -> Option<Checkpoint> {
        let verify = |key: &[u8; 32], message: &[u8], signature: &[u8; 64]| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(message, signature).is_ok()
        };
        let note = Note::parse(note.as_bytes()).expect("a note");
        let signers = note.open(&self.keys, &verify).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!(signers[0].key.name(), checkpoint.origin());
        Some(checkpoint)
    }
}

/// The signed note.
pub(crate) async fn note(service: &Service, token: &str) -> String {
    let ask = service.ask_as(token, "GET", "/org/audit/checkpoint");
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("text/plain; charset=utf-8"));
    answer.text()
}

async fn file(service: &Service, resource: Resource) -> Answer {
    let path = format!("/org/audit/log/{resource}");
    let answer = service.ask_as(ADMIN, "GET", &path).send().await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

/// The records as an export has them, up to a number.
async fn exported(service: &Service, size: u64) -> Vec<Vec<u8>> {
    let ask = service.ask_as(ADMIN, "GET", "/org/audit/export");
    let lines = ask.send().await.text();
    let lines = lines.lines().map(|line| line.as_bytes().to_vec());
    let lines: Vec<_> = lines.take(usize::try_from(size).expect("few")).collect();
    assert_eq!(u64::try_from(lines.len()), Ok(size));
    lines
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    let bytes = hashes.iter().flat_map(|hash| hash.as_bytes());
    bytes.copied().collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.root()
}

async fn outsider_rebuilds_the_log_from_what_is_served(backend: Backend) {
    let service = Service::guarded(backend).await;
    records_more(&service, 700).await;
    let outsider = Outsider::of(&service, ADMIN).await;
    let whoami = service.get(ADMIN, "/org/whoami").await;
    let origin = format!("claviger/{}", text(&whoami["org"]["id"]));
    let log = file(&service, Resource::Checkpoint).await;
    assert_eq!(log.header("cache-control"), Some("no-store"));
    let signed = outsider.open(&log.text());
    assert_eq!(signed.origin(), origin);
    assert!(signed.size() > 700 && signed.extensions().is_empty());
    let lines = exported(&service, signed.size()).await;
    let leaves: Vec<_> = lines.iter().map(|line| leaf_hash(line)).collect();
    assert_eq!(root(&leaves), signed.root());
    let size = usize::try_from(signed.size()).expect("few");
    for tile in tiles_of_tree(signed.size()) {
        let answer = file(&service, Resource::Tile(tile)).await;
        let first = usize::try_from(tile.number() * 256).expect("few");
        let expected = match tile.level() {
            0 => bytes(&leaves[first..size.min(first + 256)]),
            _ => {
                let full = leaves.chunks_exact(256);
                let roots = full.map(|leaves| root_of(&bytes(leaves)).expect("a root"));
                bytes(&roots.collect::<Vec<_>>())
            }
        };
        assert_eq!(answer.body, expected, "{tile:?}");
        assert_eq!(answer.body.len() / HASH_BYTES, usize::from(tile.width()));
        expect_cached(&answer, tile.is_full());
    }
    for number in 0..signed.size().div_ceil(256) {
        let bundle = Bundle::of_tree(number, signed.size()).expect("a bundle");
        let answer = file(&service, Resource::Entries(bundle)).await;
        let found = records(&answer.body).map(|record| record.expect("whole"));
        let first = usize::try_from(bundle.first_leaf()).expect("few");
        let found: Vec<_> = found.map(<[u8]>::to_vec).collect();
        assert_eq!(found, lines[first..size.min(first + 256)]);
        expect_cached(&answer, bundle.width() == 256);
    }
}

fn expect_cached(answer: &Answer, is_full: bool) {
    let kept = "private, max-age=31536000, immutable";
    let expected = if is_full { kept } else { "no-store" };
    assert_eq!(answer.header("cache-control"), Some(expected));
    assert_eq!(
        answer.header("vary"),
        Some("authorization, cookie, x-org-id")
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
}

fn hash(value: &Value) -> Hash {
    let bytes = STANDARD.decode(text(value)).expect("base64");
    Hash::from_slice(&bytes).expect("32 bytes")
}

fn hashes(value: &Value) -> Vec<Hash> {
    let hashes = value.as_array().expect("a list").iter();
    hashes.map(hash).collect()
}

async fn proofs_hold_for_records_and_for_earlier_trees(backend: Backend) {
    let service = Service::guarded(backend).await;
    let outsider = Outsider::of(&service, ADMIN).await;
    let mut trees = vec![outsider.open(&note(&service, ADMIN).await)];
    for count in [100, 200] {
        records_more(&service, count).await;
        trees.push(outsider.open(&note(&service, ADMIN).await));
    }
    let last = trees[2].size();
    let lines = exported(&service, last).await;
    for seq in [1, 2, 77, 255, 256, 257, last] {
        let index = seq - 1;
        let leaf = leaf_hash(&lines[usize::try_from(index).expect("few")]);
        let path = format!("/org/audit/proof?seq={seq}");
        let fresh = service.get(ADMIN, &path).await;
        let signed = outsider.open(&text(&fresh["checkpoint"]));
        assert!(signed.size() > last);
        let of_size = service.get(ADMIN, &format!("{path}&size={last}")).await;
        assert_eq!(outsider.open(&text(&of_size["checkpoint"])), trees[2]);
        for (answer, tree) in [(fresh, &signed), (of_size, &trees[2])] {
            assert_eq!(
                (&answer["seq"], hash(&answer["leaf_hash"])),
                (&json!(seq), leaf)
            );
            assert_eq!(answer["size"], tree.size());
            assert_eq!(hash(&answer["root"]), tree.root());
            let proof = hashes(&answer["proof"]);
            let head = (tree.size(), &tree.root());
            verify_inclusion((index, &leaf), head, &proof).expect("it holds");
            verify_inclusion((index, &tree.root()), head, &proof).expect_err("another leaf");
        }
    }
    let unsigned = service.get(ADMIN, "/org/audit/proof?seq=1&size=50").await;
    assert_eq!(unsigned["checkpoint"], json!(null));
    let leaves: Vec<_> = lines.iter().map(|line| leaf_hash(line)).collect();
    assert_eq!(hash(&unsigned["root"]), root(&leaves[..50]));
    for from in &trees {
        for to in trees.iter().filter(|to| to.size() >= from.size()) {
            let query = format!("from={}&to={}", from.size(), to.size());
            let path = format!("/org/audit/proof?{query}");
            let answer = service.get(ADMIN, &path).await;
            assert_eq!(
                (&answer["from"], &answer["to"]),
                (&json!(from.size()), &json!(to.size()))
            );
            assert_eq!(hash(&answer["from_root"]), from.root());
            assert_eq!(hash(&answer["to_root"]), to.root());
            assert_eq!(outsider.open(&text(&answer["checkpoint"])), *to);
            let proof = hashes(&answer["proof"]);
            let (from, to) = ((from.size(), &from.root()), (to.size(), &to.root()));
            verify_consistency(from, to, &proof).expect("it only grew");
        }
    }
    let fresh = service.get(ADMIN, "/org/audit/proof?from=0").await;
    let signed = outsider.open(&text(&fresh["checkpoint"]));
    assert_eq!(
        (&fresh["to"], &fresh["proof"]),
        (&json!(signed.size()), &json!([]))
    );
}

async fn checkpoint_covers_every_record_that_was_answered_before(backend: Backend) {
    for mode in ["relaxed", "durable"] {
        let set = |flags: &mut claviger_server::config::Flags| flags.audit = Some(mode.to_owned());
        let service = Service::guarded_with(backend, set).await;
        let outsider = Outsider::of(&service, ADMIN).await;
        for _ in 0..10 {
            let answer = service.ask_as(ADMIN, "GET", "/org/whoami").send().await;
            let id = answer.header("x-request-id").expect("an id").to_owned();
            let size = outsider.open(&note(&service, ADMIN).await).size();
            let records = service.audit(ADMIN, "").await;
            let record = records.iter().find(|record| record["id"] == *id);
            let seq = record.expect("it is recorded")["seq"].as_u64();
            assert!(seq <= Some(size), "{mode}: {seq:?} of {size}");
        }
    }
}

async fn concurrent_requests_share_a_checkpoint_that_is_not_older_than_they_are(backend: Backend) {
    let service = Service::guarded(backend).await;
    let outsider = Outsider::of(&service, ADMIN).await;
    for _ in 0..3 {
        let before = service.audit(ADMIN, "").await;
        let before = before[0]["seq"].as_u64().expect("a number");
        let notes = (0..40).map(|_| note(&service, ADMIN));
        let mut notes = futures_util::future::join_all(notes).await;
        notes.sort_by_key(|note| outsider.open(note).size());
        for pair in notes.windows(2) {
            let (one, two) = (outsider.open(&pair[0]), outsider.open(&pair[1]));
            assert!(
                one.size() > before,
                "the list was recorded before it was answered"
            );
            // One size is signed once.
            assert_eq!(one.size() == two.size(), pair[0] == pair[1]);
        }
    }
}

async fn log_has_what_it_has_and_nothing_else(backend: Backend) {
    let service = Service::guarded(backend).await;
    let ask = |path: &str| service.ask_as(ADMIN, "GET", path).send();
    records_more(&service, 10).await;
    for none in [
        "0/000",
        "0/001",
        "1/000",
        "1/000.p/1",
        "0/001.p/1",
        "0/000.p/0",
        "0/000.p/255",
        "0/000.p/256",
        "0/00",
        "0/0000",
        "0/x000/001",
        "8/000",
        "-1/000",
        "00/000",
        "0/000.p",
        "0/000.p/01",
        "entries/000",
        "entries/001.p/1",
        "entries/000.p/255",
        "entries/x",
        "data/000",
        "0",
        "x/y/z",
    ] {
        let path = format!("/org/audit/log/tile/{none}");
        ask(&path).await.problem(404, "not_found");
    }
    for none in ["", "/tile", "/tiles/0/000.p/1", "/checkpoint/x", "/key"] {
        let path = format!("/org/audit/log{none}");
        ask(&path).await.problem(404, "no_route");
    }
    // What was said before stays, whatever came since.
    for size in [1, 2, 7] {
        let path = format!("/org/audit/log/tile/0/000.p/{size}");
        assert_eq!(ask(&path).await.body.len(), size * HASH_BYTES);
    }
    let post = service.ask_as(ADMIN, "POST", "/org/audit/log/tile/0/000.p/1");
    let refused = post.send().await;
    refused.problem(405, "no_method");
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    for path in ["checkpoint", "key", "log/checkpoint", "log/tile/0/000.p/1"] {
        let path = format!("/org/audit/{path}?size=1");
        assert_eq!(ask(&path).await.field(400, "bad_query"), "size");
    }
    for (query, field) in [
        ("seq=0", "seq"),
        ("seq=100000", "seq"),
        ("seq=2&size=1", "seq"),
        ("seq=1&size=0", "seq"),
        ("seq=1&size=100000", "size"),
        ("from=100000", "from"),
        ("from=3&to=2", "from"),
        ("from=3&to=100000", "to"),
    ] {
        let path = format!("/org/audit/proof?{query}");
        assert_eq!(
            ask(&path).await.field(422, "out_of_range"),
            field,
            "{query}"
        );
    }
    let of_nothing = ask("/org/audit/proof?seq=1&size=0").await;
    let detail = of_nothing.problem(422, "out_of_range")["detail"].to_string();
    assert!(
        detail.contains("no record is in the empty tree"),
        "{detail}"
    );
    for query in [
        "",
        "?seq=1&from=1",
        "?size=1",
        "?to=1",
        "?seq=1&to=2",
        "?seq=x",
        "?seq=-1",
    ] {
        let path = format!("/org/audit/proof{query}");
        ask(&path).await.problem(400, "bad_query");
    }
}

async fn log_is_for_those_who_may_read_the_whole_trail_of_their_org(backend: Backend) {
    let service = Service::guarded(backend).await;
    let paths = [
        "/org/audit/checkpoint",
        "/org/audit/proof?seq=1",
        "/org/audit/log/checkpoint",
        "/org/audit/log/tile/0/000.p/1",
        "/org/audit/log/tile/entries/000.p/1",
    ];
    let without = json!({"name": "w", "permissions": ["workspaces:read", "org.tokens:read"]});
    let without = service.mint(ADMIN, without).await;
    let workspace = service.workspace(ADMIN).await;
    let bound = json!({"name": "b", "preset": "reader", "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    for path in paths {
        let refused = |token: &str| service.ask_as(token, "GET", path).send();
        refused(&without.secret)
            .await
            .problem(403, "missing_permission");
        refused(&bound.secret)
            .await
            .problem(403, "outside_workspaces");
    }
    let refused = service.ask_as(&without.secret, "GET", "/org/audit/key");
    refused.send().await.problem(403, "missing_permission");
    let reader = json!({"name": "r", "permissions": ["audit:read"]});
    let reader = service.mint(ADMIN, reader).await;
    for path in paths {
        assert_eq!(
            service
                .ask_as(&reader.secret, "GET", path)
                .send()
                .await
                .status,
            200
        );
    }

    service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let mint = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", "acme");
    let other = mint.json(&json!({"name": "k"})).send().await.ok(201);
    let other = text(&other["auth_token"]);
    let (own, theirs) = (
        Outsider::of(&service, ADMIN).await,
        Outsider::of(&service, &other).await,
    );
    assert_ne!(own.keys[0].name(), theirs.keys[0].name());
    assert_ne!(own.keys[0].id(), theirs.keys[0].id());
    let (own_note, their_note) = (note(&service, ADMIN).await, note(&service, &other).await);
    assert!(own.try_open(&their_note).is_none() && theirs.try_open(&own_note).is_none());
    let theirs_now = service.audit(&other, "").await.len();
    assert_eq!(
        u64::try_from(theirs_now),
        Ok(theirs.open(&their_note).size() + 1)
    );
    let entries = "/org/audit/log/tile/entries/000.p/1";
    let entries = service.ask_as(&other, "GET", entries).send().await;
    let first = records(&entries.body).next().expect("one").expect("whole");
    let first: Value = serde_json::from_slice(first).expect("JSON");
    assert_eq!(
        format!("claviger/{}", text(&first["org"])),
        theirs.keys[0].name()
    );
    let beyond = "/org/audit/log/tile/0/000.p/100";
    service
        .ask_as(&other, "GET", beyond)
        .send()
        .await
        .problem(404, "not_found");
}
