//! `POST /integrations/github/secret-scanning`: reports that GitHub signs.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair as _,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    ask::{Answer, Ask},
    found::{key, unknown_secret, whoami},
    service::{ADMIN, Backend, Service, logged},
};

on_each_database!(
    signed_report_revokes_what_is_ours_and_says_what_is_not,
    report_that_github_did_not_sign_does_nothing,
    route_is_not_there_unless_it_is_turned_on,
    keys_are_fetched_seldom_and_found_again_after_a_change,
    keys_that_cannot_be_had_are_a_503_and_nothing_is_done,
    signed_bodies_that_cannot_be_used_are_refused,
);

const ROUTE: &str = "/integrations/github/secret-scanning";

/// A key pair as GitHub has one.
struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        Self::of(id, &ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    fn of(id: &'static str, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).expect("a key pair");
        Self { id, pair }
    }

    /// As the list of GitHub has it.
    fn row(&self) -> Value {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("a key");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        );
        json!({"key_identifier": self.id, "key": pem, "is_current": true})
    }

    fn sign(&self, body: &str) -> String {
        let signature = self.pair.sign(&SystemRandom::new(), body.as_bytes());
        STANDARD.encode(signature.expect("a signature"))
    }

    /// A report that is signed.
    async fn report(&self, service: &Service, matches: &Value) -> Answer {
        let body = matches.to_string();
        let signature = self.sign(&body);
        ask(service, self.id, &signature, &body).send().await
    }
}

fn list(signers: &[&Signer]) -> String {
    let rows: Vec<_> = signers.iter().map(|signer| signer.row()).collect();
    json!({"public_keys": rows, "more": 1}).to_string()
}

fn ask(service: &Service, id: &str, signature: &str, body: &str) -> Ask {
    let ask = service.ask("POST", ROUTE).body(body.to_owned());
    ask.header("github-public-key-identifier", id)
        .header("github-public-key-signature", signature)
}

/// A server that takes reports, with the keys from a file that is gone after the start.
async fn service(backend: Backend, keys: &str) -> (Service, tempfile::TempPath) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), keys).expect("written");
    let path = file.into_temp_path();
    let source = path.to_str().expect("UTF-8").to_owned();
    let service = Service::guarded_with(backend, |flags| {
        flags.github_secret_scanning = Some(source);
    });
    (service.await, path)
}

fn hash(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

async fn signed_report_revokes_what_is_ours_and_says_what_is_not(backend: Backend) {
    let signer = Signer::new("now");
    let other_kind = Signer::of("p384", &ECDSA_P384_SHA384_ASN1_SIGNING);
    let (service, _file) = service(backend, &list(&[&other_kind, &signer])).await;
    let leaked = key(&service, ADMIN, "leaked").await;
    let child = key(&service, &leaked.secret, "child").await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let unknown = unknown_secret();
    let url = "https://github.com/acme/site/blob/1/.env";
    let matches = json!([
        {"token": leaked.secret, "type": "claviger_key", "url": url, "source": "content", "new": [1]},
        {"token": unknown, "type": "claviger_key", "url": "", "source": "commit"},
        {"token": token, "type": "claviger_old"},
        {"token": "nonsense", "type": "claviger_key", "url": null},
    ]);
    let answer = signer.report(&service, &matches).await;
    let expected = json!([
        {"token_hash": hash(&leaked.secret), "token_type": "claviger_key", "label": "true_positive"},
        {"token_hash": hash(&unknown), "token_type": "claviger_key", "label": "false_positive"},
        {"token_hash": hash(&token), "token_type": "claviger_old", "label": "true_positive"},
        {"token_hash": hash("nonsense"), "token_type": "claviger_key", "label": "false_positive"},
    ]);
    assert_eq!(answer.ok(200), expected);
    for dead in [&leaked.secret, &child.secret] {
        whoami(&service, dead).await.problem(401, "token_revoked");
    }
    let secrets = format!("/workspaces/{workspace}/secrets");
    let refused = service.ask_as(&token, "GET", &secrets).send().await;
    refused.problem(401, "token_revoked");
    let row = service.get(ADMIN, &leaked.path()).await;
    let reason = format!("reported as found by GitHub: {url}");
    assert_eq!(row["revoked_reason"], reason);
    let events = service.audit(ADMIN, "&actor=anonymous").await;
    let record = events
        .iter()
        .find(|event| event["change"]["found"]["id"] == *leaked.id)
        .expect("a record");
    assert_eq!(record["route"], ROUTE);
    assert_eq!(record["change"]["found"]["source"], url);
    // GitHub repeats itself; the label stays.
    let again = signer.report(&service, &matches).await.ok(200);
    assert_eq!(again, expected);
    let metrics = service.ask("GET", "/metrics").send().await.text();
    for line in [
        "claviger_github_reports_total{outcome=\"verified\"} 2",
        "claviger_found_secrets_total{status=\"revoked\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}:\n{metrics}");
    }
    assert_eq!(signer.report(&service, &json!([])).await.ok(200), json!([]));
}

async fn report_that_github_did_not_sign_does_nothing(backend: Backend) {
    let (signer, stranger) = (Signer::new("now"), Signer::new("stranger"));
    let p384 = Signer::of("p384", &ECDSA_P384_SHA384_ASN1_SIGNING);
    let (service, _file) = service(backend, &list(&[&signer, &p384])).await;
    let leaked = key(&service, ADMIN, "leaked").await;
    let body = json!([{"token": leaked.secret, "type": "t", "url": "u"}]).to_string();
    let good = signer.sign(&body);
    let changed = format!("{body} ");
    let cut = &good[..good.len() - 8];
    let forged = stranger.sign(&body);
    let other_kind = p384.sign(&body);
    for (id, signature, body) in [
        ("now", &*good, &*changed),
        ("now", cut, &body),
        ("now", "", &body),
        ("now", "not base64", &body),
        ("now", &forged, &body),
        ("stranger", &forged, &body),
        ("p384", &other_kind, &body),
        ("", &good, &body),
    ] {
        let answer = ask(&service, id, signature, body).send().await;
        answer.problem(403, "bad_signature");
    }
    let plain = || service.ask("POST", ROUTE).body(body.clone());
    plain().send().await.problem(403, "bad_signature");
    let named = plain().header("github-public-key-identifier", "now");
    named.send().await.problem(403, "bad_signature");
    let twice = ask(&service, "now", &good, &body).header("github-public-key-signature", &good);
    twice.send().await.problem(403, "bad_signature");
    // A credential does not stand in for the signature, and a bad one is refused.
    plain()
        .bearer(ADMIN)
        .send()
        .await
        .problem(403, "bad_signature");
    let bad = ask(&service, "now", &good, &body).bearer("mole_x");
    bad.send().await.problem(401, "malformed_token");
    whoami(&service, &leaked.secret).await.ok(200);
    assert!(!logged("in GitHub's name was refused").is_empty());
    let metrics = service.ask("GET", "/metrics").send().await.text();
    assert!(
        metrics.contains("claviger_github_reports_total{outcome=\"refused\"} 12"),
        "{metrics}"
    );
    // The same bytes with the right signature are good.
    let answer = ask(&service, "now", &good, &body).send().await;
    assert_eq!(answer.ok(200)[0]["label"], "true_positive");
    whoami(&service, &leaked.secret)
        .await
        .problem(401, "token_revoked");
}

async fn route_is_not_there_unless_it_is_turned_on(backend: Backend) {
    let signer = Signer::new("now");
    let service = Service::guarded(backend).await;
    let leaked = key(&service, ADMIN, "leaked").await;
    let matches = json!([{"token": leaked.secret, "type": "t", "url": "u"}]);
    let answer = signer.report(&service, &matches).await;
    answer.problem(404, "no_route");
    whoami(&service, &leaked.secret).await.ok(200);
}

/// A list of keys behind HTTP, and how often it was asked for.
struct Keys {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Keys {
    async fn serve(list: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let answer = Arc::new(Mutex::new((200, list)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (said, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 4096];
                let _count = stream.read(&mut head).await.expect("a request");
                let (status, body) = said.lock().expect("no panic").clone();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                // Whoever has had enough closes before the end.
                stream.write_all((head + &body).as_bytes()).await.ok();
            }
        });
        Self { url, answer, asked }
    }

    async fn service(&self, backend: Backend) -> Service {
        let url = self.url.clone();
        Service::guarded_with(backend, |flags| flags.github_secret_scanning = Some(url)).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn keys_are_fetched_seldom_and_found_again_after_a_change(backend: Backend) {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = Keys::serve(list(&[&old])).await;
    let mut service = keys.service(backend).await;
    assert_eq!(keys.asked(), 0, "nobody is asked before there is a report");
    let none = json!([]);
    for _ in 0..3 {
        old.report(&service, &none).await.ok(200);
    }
    assert_eq!(keys.asked(), 1);
    // Unknown names do not make us a tool against GitHub: once a minute at most.
    *keys.answer.lock().expect("no panic") = (200, list(&[&old, &new]));
    for _ in 0..3 {
        new.report(&service, &none)
            .await
            .problem(403, "bad_signature");
    }
    assert_eq!(keys.asked(), 1, "the minute is not over");
    old.report(&service, &none).await.ok(200);
    service.restart().await;
    new.report(&service, &none).await.ok(200);
    assert_eq!(keys.asked(), 2);
}

async fn keys_that_cannot_be_had_are_a_503_and_nothing_is_done(backend: Backend) {
    let signer = Signer::new("now");
    let good = list(&[&signer]);
    let huge = format!("{}{}", " ".repeat(300 * 1024), good);
    let keys = Keys::serve(String::new()).await;
    for (status, list) in [
        (500, &*good),
        (302, &good),
        (200, "not JSON"),
        (200, "{\"public_keys\":[]}"),
        (200, &huge),
    ] {
        *keys.answer.lock().expect("no panic") = (status, list.to_owned());
        let service = keys.service(backend).await;
        let leaked = key(&service, ADMIN, "leaked").await;
        let matches = json!([{"token": leaked.secret, "type": "t", "url": "u"}]);
        let answer = signer.report(&service, &matches).await;
        answer.problem(503, "unready");
        assert_eq!(answer.header("retry-after"), Some("1"));
        whoami(&service, &leaked.secret).await.ok(200);
    }
    let (gone, file) = service(backend, &good).await;
    drop(file);
    signer
        .report(&gone, &json!([]))
        .await
        .problem(503, "unready");
}

async fn signed_bodies_that_cannot_be_used_are_refused(backend: Backend) {
    let signer = Signer::new("now");
    let (service, _file) = service(backend, &list(&[&signer])).await;
    let leaked = key(&service, ADMIN, "leaked").await;
    let good = json!({"token": leaked.secret, "type": "t", "url": "u"});
    let many: Vec<_> = (0..1001)
        .map(|_| json!({"token": "x", "type": "t"}))
        .collect();
    for (body, status, code) in [
        (json!({"token": leaked.secret}), 400, "bad_field"),
        (json!([good, {"token": leaked.secret}]), 400, "bad_field"),
        (json!([good, leaked.secret]), 400, "bad_field"),
        (json!(many), 422, "out_of_range"),
    ] {
        let answer = signer.report(&service, &body).await;
        answer.problem(status, code);
        assert!(
            !answer.text().contains(&*leaked.secret),
            "{}",
            answer.text()
        );
    }
    let signature = signer.sign("[");
    let cut = ask(&service, "now", &signature, "[").send().await;
    cut.problem(400, "bad_json");
    let large = " ".repeat(1024 * 1024 + 1);
    let large = ask(&service, "now", &signer.sign(&large), &large)
        .send()
        .await;
    large.problem(413, "body_too_large");
    whoami(&service, &leaked.secret).await.ok(200);
    let whole = json!(many[..1000]);
    assert_eq!(
        signer
            .report(&service, &whole)
            .await
            .ok(200)
            .as_array()
            .map(Vec::len),
        Some(1000)
    );
}
