//! The audit trail under callers who mean it ill: floods, forgeries, and those who hang up.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    ask::{Answer, exchange, exchange_head},
    audit::records_of,
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    flood_of_one_refusal_becomes_a_count,
    strangers_are_counted_and_sampled,
    record_cannot_be_forged,
    mint_is_whole_when_the_caller_hangs_up,
    revocation_is_whole_when_the_caller_hangs_up,
    silent_connections_are_closed,
    parked_tier_0_request_dies_with_the_tier,
    parked_request_dies_with_its_credential,
    parked_request_dies_with_a_replaced_admin_token,
    parked_request_does_not_outlive_a_narrowing_or_a_rotation,
    secret_in_a_text_of_a_change_is_not_recorded,
    rename_does_not_undo_a_revocation,
    pasted_secret_is_not_recorded,
);

/// How many requests these records stand for.
fn total(records: &[Value]) -> u64 {
    records
        .iter()
        .map(|record| record["count"].as_u64().unwrap_or(1))
        .sum()
}

async fn flood_of_one_refusal_becomes_a_count(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    let other = service
        .mint(ADMIN, json!({"name": "o", "preset": "reader"}))
        .await;
    let flood = (0..200).map(|_| {
        let ask = service
            .ask_as(&key.secret, "POST", "/workspaces")
            .json(&json!({"name": "w"}));
        ask.send()
    });
    for answer in futures_util::future::join_all(flood).await {
        answer.problem(403, "missing_permission");
    }
    let ask = service
        .ask_as(&other.secret, "POST", "/workspaces")
        .json(&json!({"name": "w"}));
    ask.send().await.problem(403, "missing_permission");
    service.restart().await;
    let records = service
        .audit(ADMIN, &format!("&token={}&status=403", key.id))
        .await;
    assert_eq!(total(&records), 200);
    assert!(records.len() < 20, "{} records", records.len());
    let counted: Vec<_> = records
        .iter()
        .filter(|record| record["count"].is_u64())
        .collect();
    assert!(!counted.is_empty());
    for record in counted {
        assert_eq!(
            (&record["kind"], &record["code"]),
            (&json!("refusals"), &json!("missing_permission"))
        );
        assert_eq!(record["actor"], key.actor());
    }
    let others = service
        .audit(ADMIN, &format!("&token={}&status=403", other.id))
        .await;
    assert_eq!((others.len(), total(&others)), (1, 1));
}

async fn strangers_are_counted_and_sampled(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let flood = (0..200).map(|at| {
        let ask = service.ask("GET", &format!("/stranger/{at}"));
        let agent = format!("agent/{at}");
        ask.header("user-agent", &agent).send()
    });
    for answer in futures_util::future::join_all(flood).await {
        answer.problem(401, "no_credential");
    }
    service
        .ask_as("guess", "GET", "/org/whoami")
        .send()
        .await
        .problem(401, "unknown_token");
    service.restart().await;
    let records = service.audit(ADMIN, "&actor=anonymous").await;
    let of = |code: &str| -> Vec<Value> {
        records
            .iter()
            .filter(|record| record["code"] == code)
            .cloned()
            .collect()
    };
    assert_eq!(total(&of("no_credential")), 200);
    assert!(
        of("no_credential").len() < 20,
        "{}",
        of("no_credential").len()
    );
    assert_eq!(total(&of("unknown_token")), 1);
    for record in &records {
        assert_eq!(
            (&record["kind"], &record["tier"]),
            (&json!("refusals"), &json!("none"))
        );
        assert!(!record.to_string().contains("guess"));
    }
}

async fn record_cannot_be_forged(backend: Backend) {
    let service = Service::guarded(backend).await;
    let forged = "x\",\"actor\":\"admin-token\",\"y\":\"\\u0041\\";
    let long = "u".repeat(5000);
    for (path, agent) in [
        ("/org/whoami", forged),
        ("/org/whoami", long.as_str()),
        ("/org/whoami", "a\tb"),
        ("/a%0a%0dadmin-token%20GET", "plain"),
        ("/a%22,%22actor%22:%22admin-token", "plain"),
        (&format!("/{}", "p".repeat(5000)), "plain"),
    ] {
        // Each with a key of its own, so that no two are counted as one refusal.
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let token = format!("Authorization: Bearer {}", key.secret);
        let header = format!("User-Agent: {agent}");
        let line = format!("GET {path}");
        let answer = exchange_head(&service, &line, &["Host: localhost", &token, &header]).await;
        let records = records_of(&service, &answer).await;
        assert_eq!(records.len(), 1, "{line:.80} {header:.80}");
        let record = &records[0];
        assert_eq!(record["actor"], key.actor());
        let kept = record["user_agent"].as_str().expect("an agent");
        assert!(kept.len() <= 256 && agent.starts_with(kept), "{kept}");
        assert!(
            record["path"]
                .as_str()
                .is_some_and(|path| path.len() <= 1024)
        );
    }
    let token = format!("Authorization: Bearer {ADMIN}");
    let agent = b"User-Agent: \xff\xfe\xe2\x80\xae".to_vec();
    let mut request =
        format!("GET /org/whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n")
            .into_bytes();
    request.extend(agent);
    request.extend(b"\r\n\r\n");
    exchange(&service, request).await.ok(200);
    let export = service
        .ask_as(ADMIN, "GET", "/org/audit/export")
        .send()
        .await
        .text();
    for line in export.lines() {
        let record: Value = serde_json::from_str(line).expect("each line is one record");
        assert_eq!(line.matches("\"actor\":").count(), 1, "{record}");
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

/// How many keys of this state the memory of the server holds.
async fn in_memory(service: &Service, status: &str) -> usize {
    let page = service.ask("GET", "/metrics").send().await.text();
    let name = format!("claviger_keys{{status=\"{status}\"}} ");
    let count = page.lines().find_map(|line| line.strip_prefix(&name));
    count.and_then(|text| text.parse().ok()).expect("a number")
}

async fn in_store(service: &Service, status: &str) -> usize {
    let path = format!("/org/tokens?limit=200&status={status}");
    let list = service.get(ADMIN, &path).await;
    list["tokens"].as_array().map_or(0, Vec::len)
}

async fn mint_is_whole_when_the_caller_hangs_up(backend: Backend) {
    let service = Service::guarded(backend).await;
    let by = service.mint(ADMIN, json!({"name": "minter"})).await;
    let body = r#"{"name":"orphan"}"#;
    let head = |length: usize| {
        format!(
            "POST /org/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n",
            by.secret
        )
    };
    for at in 0..20 {
        // Every fifth body breaks off.
        let length = body.len() + usize::from(at % 5 == 0);
        let mut stream = TcpStream::connect(service.address())
            .await
            .expect("it listens");
        stream
            .write_all(head(length).as_bytes())
            .await
            .expect("it reads");
        // The server asks for the body once the operation is under way.
        let mut part = [0; 128];
        let count = stream.read(&mut part).await.expect("an answer");
        assert!(part[..count].starts_with(b"HTTP/1.1 100 "));
        stream.write_all(body.as_bytes()).await.expect("it reads");
        drop(stream);
    }
    let path = format!("/org/audit?method=POST&limit=200&token={}", by.id);
    let records = |service: &Service| service.ask_as(ADMIN, "GET", &path);
    let total_of = |answer: &Answer| total(answer.json()["events"].as_array().expect("events"));
    let answer = service
        .until(records, |answer| total_of(answer) >= 20)
        .await
        .json();
    let records = answer["events"].as_array().expect("events");
    let minted = records
        .iter()
        .filter(|record| record["change"].is_object())
        .count();
    assert!(
        records
            .iter()
            .all(|record| { record["change"].is_object() == (record["status"] == 201) })
    );
    assert_eq!(total(records), 20);
    assert_eq!(in_store(&service, "active").await, minted + 1);
    assert_eq!(in_memory(&service, "active").await, minted + 1);
}

async fn revocation_is_whole_when_the_caller_hangs_up(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mut keys = Vec::new();
    for at in 0..20 {
        let key = service.mint(ADMIN, json!({"name": format!("k{at}")})).await;
        let head = format!(
            "DELETE {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
            key.path()
        );
        let mut stream = TcpStream::connect(service.address())
            .await
            .expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        drop(stream);
        keys.push(key);
    }
    // A request that was never begun has changed nothing; one that was has changed both.
    for key in &keys {
        let kept = service.get(ADMIN, &key.path()).await;
        let is_revoked = kept["status"] == "revoked";
        let whoami = |service: &Service| service.ask_as(&key.secret, "GET", "/org/whoami");
        let answer = service
            .until(whoami, |answer| !is_revoked || answer.status != 200)
            .await;
        assert!(matches!(answer.code().as_str(), "" | "token_revoked"));
        let again = service
            .ask_as(ADMIN, "DELETE", &key.path())
            .send()
            .await
            .ok(200);
        assert!(!is_revoked || again["revoked_at"] == kept["revoked_at"]);
        whoami(&service).send().await.problem(401, "token_revoked");
    }
    assert_eq!(in_memory(&service, "revoked").await, 20);
    let records = service.audit(ADMIN, "&method=DELETE").await;
    let changes = records.iter().filter(|record| record["change"].is_object());
    assert_eq!(changes.count(), 20);
}

async fn silent_connections_are_closed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mut streams = Vec::new();
    for start in ["", "PRI * HT", "GET / HTTP/1.1\r\nHo"] {
        let mut stream = TcpStream::connect(service.address())
            .await
            .expect("it listens");
        stream.write_all(start.as_bytes()).await.expect("it reads");
        streams.push(stream);
    }
    for mut stream in streams {
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        // The server's own limit is 10 s.
        let end = tokio::time::timeout(std::time::Duration::from_secs(20), end).await;
        assert!(end.is_ok(), "the connection stays open");
    }
}

/// A change whose head was accepted and whose body is still awaited.
struct Parked {
    stream: TcpStream,
    workspace: String,
}

impl Parked {
    const BODY: &str = r#"{"key": "PLANTED", "value": "x"}"#;

    /// Waits until the server asks for the body: then it has let the head in.
    async fn new(service: &Service, workspace: &str, credential: Option<&str>) -> Self {
        let stream = TcpStream::connect(service.address()).await;
        let mut stream = stream.expect("it listens");
        let bearer = credential.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "PUT /workspaces/{workspace}/secrets HTTP/1.1\r\nHost: localhost\r\n{}\
             Content-Type: application/json\r\nExpect: 100-continue\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            bearer.unwrap_or_default(),
            Self::BODY.len()
        );
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut part = [0; 128];
        let count = stream.read(&mut part).await.expect("an answer");
        assert!(part[..count].starts_with(b"HTTP/1.1 100 "));
        let workspace = workspace.to_owned();
        Self { stream, workspace }
    }

    /// Sends the body, and expects that it comes too late.
    async fn expect_refusal(self, service: &Service, reader: &str) {
        self.expect_answer(service, reader, "401").await;
    }

    async fn expect_answer(mut self, service: &Service, reader: &str, status: &str) {
        let sent = self.stream.write_all(Self::BODY.as_bytes()).await;
        sent.expect("it reads");
        let mut answer = String::new();
        let read = self.stream.read_to_string(&mut answer).await;
        read.expect("an answer");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let path = format!("/workspaces/{}/secrets", self.workspace);
        assert_eq!(service.get(reader, &path).await["secrets"], json!([]));
    }
}

async fn parked_tier_0_request_dies_with_the_tier(backend: Backend) {
    let service = Service::with(backend, |_| ()).await;
    let made = service.ask("POST", "/workspaces");
    let made = made.json(&json!({"name": "w"})).send().await.ok(201);
    let workspace = made["id"].as_str().expect("an id");
    let parked = Parked::new(&service, workspace, None).await;
    let first = service.bootstrap().await;
    parked.expect_refusal(&service, &first.secret).await;
}

async fn parked_request_dies_with_its_credential(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let maker = service.mint(ADMIN, json!({"name": "maker"})).await;
    let token = service.workspace_token(&maker.secret, &workspace).await;
    let by_key = Parked::new(&service, &workspace, Some(&maker.secret)).await;
    let by_token = Parked::new(&service, &workspace, Some(&token)).await;
    let end = service.ask_as(ADMIN, "DELETE", &maker.path());
    end.send().await.ok(200);
    by_key.expect_refusal(&service, ADMIN).await;
    by_token.expect_refusal(&service, ADMIN).await;
}

async fn parked_request_dies_with_a_replaced_admin_token(backend: Backend) {
    let service = Service::guarded(backend).await;
    let other = "another-admin-token-for-tests-0123456789";
    let workspace = service.workspace(ADMIN).await;
    let parked = Parked::new(&service, &workspace, Some(ADMIN)).await;
    std::fs::write(service.admin_token_file(), other).expect("the file");
    service.reload_admin_token();
    service
        .ask_as(ADMIN, "GET", "/org/whoami")
        .send()
        .await
        .problem(401, "unknown_token");
    parked.expect_refusal(&service, other).await;
}

async fn parked_request_does_not_outlive_a_narrowing_or_a_rotation(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for (method, tail, body) in [
        ("PATCH", "", json!({"preset": "editor"})),
        ("POST", "/rotate", json!({})),
    ] {
        let parked = Parked::new(&service, &workspace, Some(&key.secret)).await;
        let path = format!("{}{tail}", key.path());
        let ask = service.ask_as(ADMIN, method, &path).json(&body);
        ask.send().await.ok(200);
        parked.expect_answer(&service, ADMIN, "409").await;
    }
}

async fn secret_in_a_text_of_a_change_is_not_recorded(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let pasted = json!({"name": format!("was {}", key.secret)});
    let ask = service.ask_as(ADMIN, "PATCH", &key.path());
    ask.json(&pasted).send().await.ok(200);
    let records = service.audit(ADMIN, "&method=PATCH").await;
    assert_eq!(
        records[0]["change"]["changed"]["to"]["name"],
        format!("was {}********", key.prefix)
    );
}

async fn rename_does_not_undo_a_revocation(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..30 {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let renames = (0..4).map(|_| {
            let ask = service.ask_as(ADMIN, "PATCH", &key.path());
            ask.json(&json!({"name": "renamed"})).send()
        });
        let end = service.ask_as(ADMIN, "DELETE", &key.path()).send();
        let (renamed, ended) = tokio::join!(futures_util::future::join_all(renames), end);
        ended.ok(200);
        assert!(
            renamed
                .iter()
                .all(|answer| [200, 409].contains(&answer.status))
        );
        let ask = service.ask_as(&key.secret, "GET", "/org/whoami");
        ask.send().await.problem(401, "token_revoked");
    }
}

async fn pasted_secret_is_not_recorded(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let path = format!("/org/tokens/{}", key.secret);
    let ask = service.ask_as(ADMIN, "DELETE", &path);
    ask.send().await.problem(404, "not_found");
    let records = service.audit(ADMIN, "&status=404").await;
    assert_eq!(records.len(), 1);
    let prefix = &key.secret[..13];
    assert_eq!(records[0]["path"], format!("/org/tokens/{prefix}********"));
}
