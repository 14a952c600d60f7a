//! A witness, written from the texts of C2SP tlog-witness, signed-note and tlog-cosignature and from RFC
//! 9162, 2.1.4.2, and from nothing that the server uses: so both have to have read them alike.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, Response, StatusCode, header},
    response::IntoResponse as _,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;

use super::{
    anchors::Behaviour,
    site::{Site, body},
};

/// The time in every signature, in seconds since 1970.
const SECONDS: u64 = 1_790_000_000;

/// What it knows.
#[derive(Debug, Default)]
pub struct WitnessState {
    /// What it does.
    pub behaviour: Behaviour,
    /// The public keys of each log.
    pub logs: HashMap<String, Vec<[u8; 32]>>,
    /// The last tree that it signed of each log: its size and its root.
    pub signed: HashMap<String, (u64, Vec<u8>)>,
    /// The old size of each request, and the status of its answer.
    pub asked: Vec<(u64, u16)>,
}

/// A site that ends when it is dropped.
#[derive(Debug)]
pub struct WitnessStandIn {
    site: Site,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    pair: Ed25519KeyPair,
    state: Mutex<WitnessState>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl WitnessStandIn {
    /// Starts one of this name.
    pub async fn start(name: &str) -> Self {
        let (listener, base) = Site::listener().await;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            pair: Ed25519KeyPair::generate().expect("a key"),
            state: Mutex::default(),
        });
        let routes = Router::new()
            .route("/log/add-checkpoint", post(add_checkpoint))
            .with_state(Arc::clone(&shared));
        Self {
            site: Site::start(listener, base, routes),
            shared,
        }
    }

    /// Its public key, as tools take it.
    #[must_use]
    pub fn vkey(&self) -> String {
        let key = [&[4], self.shared.pair.public_key().as_ref()].concat();
        let id = self.shared.id().map(|byte| format!("{byte:02x}")).concat();
        format!("{}+{id}+{}", self.shared.name, STANDARD.encode(key))
    }

    /// What a server is told of it: its address and its key.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("{}/log={}", self.site.base, self.vkey())
    }

    /// From now on it signs for the log of this key.
    pub fn trust(&self, vkey: &str) {
        let mut parts = vkey.splitn(3, '+');
        let (name, _id) = (parts.next().expect("a name"), parts.next());
        let key = STANDARD.decode(parts.next().expect("a key"));
        let key = key.expect("base64");
        let (kind, key) = key.split_first().expect("a type");
        assert_eq!(*kind, 1, "logs sign with Ed25519");
        let key = key.try_into().expect("32 bytes");
        self.with(|state| state.logs.entry(name.to_owned()).or_default().push(key));
    }

    /// Looks at, or changes, what it knows.
    pub fn with<T>(&self, work: impl FnOnce(&mut WitnessState) -> T) -> T {
        work(&mut self.shared.state.lock())
    }
}

impl Shared {
    fn id(&self) -> [u8; 4] {
        let key = self.pair.public_key();
        let named = [self.name.as_bytes(), b"\n\x04", key.as_ref()].concat();
        let hash = sha256(&named);
        let id = hash.first_chunk();
        *id.expect("32 bytes")
    }

    fn cosign(&self, text: &str) -> String {
        let message = format!("cosignature/v1\ntime {SECONDS}\n{text}");
        let signature = self.pair.sign(message.as_bytes());
        let bytes = [&self.id()[..], &SECONDS.to_be_bytes(), signature.as_ref()].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

async fn add_checkpoint(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Response<Body> {
    let body = String::from_utf8(body(request).await).expect("UTF-8");
    let behaviour = shared.state.lock().behaviour;
    let old = body
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("old "));
    let old = old.and_then(|old| old.parse().ok()).unwrap_or(u64::MAX);
    let answer = match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Status(status) => Answer::Status(status),
        Behaviour::Forged => Answer::Signed(shared.cosign("another text\n")),
        Behaviour::Good => judge(&shared, &body),
    };
    let (status, kind, text) = match answer {
        Answer::Status(status) => (status, "text/plain", String::new()),
        Answer::Size(size) => (409, "text/x.tlog.size", format!("{size}\n")),
        Answer::Signed(lines) => (200, "text/plain", lines),
    };
    shared.state.lock().asked.push((old, status));
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, kind)], text).into_response()
}

enum Answer {
    Status(u16),
    Size(u64),
    Signed(String),
}

/// In the order of the specification.
fn judge(shared: &Shared, body: &str) -> Answer {
    let Some((head, note)) = body.split_once("\n\n") else {
        return Answer::Status(400);
    };
    let mut head = head.lines();
    let old = head.next().and_then(|line| line.strip_prefix("old "));
    let Some(old) = old.and_then(|old| old.parse::<u64>().ok()) else {
        return Answer::Status(400);
    };
    let proof: Vec<Vec<u8>> = head
        .map(|line| STANDARD.decode(line).expect("base64"))
        .collect();
    let (text, signatures) = note.rsplit_once("\n\n").expect("a signed note");
    let text = format!("{text}\n");
    let mut lines = text.lines();
    let origin = lines.next().expect("an origin").to_owned();
    let size = lines.next().and_then(|line| line.parse::<u64>().ok());
    let size = size.expect("a size");
    let root = STANDARD.decode(lines.next().expect("a root"));
    let root = root.expect("base64");
    let mut state = shared.state.lock();
    let Some(keys) = state.logs.get(&origin) else {
        return Answer::Status(404);
    };
    let is_signed = signatures.lines().any(|line| {
        let mut words = line.split(' ');
        let (_dash, name) = (words.next(), words.next());
        let bytes = STANDARD.decode(words.next().unwrap_or_default());
        let bytes = bytes.unwrap_or_default();
        let signature = bytes.get(4..).unwrap_or_default();
        name == Some(origin.as_str())
            && keys.iter().any(|key| {
                let key = UnparsedPublicKey::new(&ED25519, key);
                key.verify(text.as_bytes(), signature).is_ok()
            })
    });
    if !is_signed {
        return Answer::Status(403);
    }
    if old > size {
        return Answer::Status(400);
    }
    let (known, known_root) = state.signed.get(&origin).cloned().unwrap_or_default();
    if known != old {
        return Answer::Size(known);
    }
    if old == 0 {
        if !proof.is_empty() {
            return Answer::Status(422);
        }
    } else if old == size {
        if root != known_root {
            return Answer::Size(known);
        }
        if !proof.is_empty() {
            return Answer::Status(422);
        }
    } else if !only_grew((old, &known_root), (size, &root), &proof) {
        return Answer::Status(422);
    }
    state.signed.insert(origin, (size, root));
    Answer::Signed(shared.cosign(&text))
}

/// RFC 9162, 2.1.4.2, step by step; the old tree is neither empty nor as large.
fn only_grew(
    (old, old_root): (u64, &[u8]),
    (new, new_root): (u64, &[u8]),
    proof: &[Vec<u8>],
) -> bool {
    let mut path = proof.to_vec();
    if old.is_power_of_two() {
        path.insert(0, old_root.to_vec());
    }
    let mut path = path.into_iter();
    let Some(first) = path.next() else {
        return false;
    };
    let (mut of_old, mut of_new) = (old - 1, new - 1);
    while of_old & 1 == 1 {
        (of_old, of_new) = (of_old >> 1, of_new >> 1);
    }
    let (mut reached_old, mut reached_new) = (first.clone(), first);
    for hash in path {
        if of_new == 0 {
            return false;
        }
        if of_old & 1 == 1 || of_old == of_new {
            reached_old = node(&hash, &reached_old);
            reached_new = node(&hash, &reached_new);
            while of_old & 1 == 0 && of_old != 0 {
                (of_old, of_new) = (of_old >> 1, of_new >> 1);
            }
        } else {
            reached_new = node(&reached_new, &hash);
        }
        (of_old, of_new) = (of_old >> 1, of_new >> 1);
    }
    reached_old == old_root && reached_new == new_root && of_new == 0
}

fn node(left: &[u8], right: &[u8]) -> Vec<u8> {
    sha256(&[b"\x01", left, right].concat()).to_vec()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("32 bytes")
}
