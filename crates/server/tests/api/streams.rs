//! The trail as it grows: nothing missed, nothing twice, and nothing for those who may not see it.

use std::time::Duration;

use claviger_core::{
    id::{Id, OrgId},
    ledger::{batch::Batch, entry::Draft},
    tier::Actor,
    time::Timestamp,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    ask::Ask,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    stream_tells_each_record_once_and_goes_on_where_it_was_left,
    stream_tells_what_fits_and_no_more,
    stream_of_a_key_tells_what_the_key_does,
    stream_ends_when_its_credential_does,
    bound_caller_sees_its_workspace_as_long_as_it_is_bound_to_it,
    streams_are_bounded_and_places_come_back,
    stream_is_recorded_when_it_opens_and_when_it_ends,
    stop_of_the_service_ends_streams,
    reader_that_does_not_read_is_dropped_and_told_why,
    export_breaks_off_when_its_credential_ends,
    bad_queries_of_streams_are_refused,
);

/// How long something may take that happens at once.
const SOON: Duration = Duration::from_secs(30);

/// What arrives on a stream.
struct Events {
    response: reqwest::Response,
    text: String,
}

/// One event.
#[derive(Debug)]
struct Event {
    id: Option<u64>,
    name: Option<String>,
    data: Value,
}

impl Events {
    async fn open(ask: Ask) -> Self {
        let response = ask.0.send().await.expect("the server answers");
        assert_eq!(response.status().as_u16(), 200);
        let media_type = response.headers().get("content-type");
        assert_eq!(
            media_type.map(|value| value.as_bytes()),
            Some(&b"text/event-stream"[..])
        );
        let text = String::new();
        Self { response, text }
    }

    /// The id of the request.
    fn request_id(&self) -> String {
        let id = self.response.headers().get("x-request-id").expect("an id");
        id.to_str().expect("a text").to_owned()
    }

    /// The next event that says something; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let part = tokio::time::timeout(SOON, self.response.chunk()).await;
            let part = part.expect("something arrives").expect("it goes on");
            self.text
                .push_str(std::str::from_utf8(&part?).expect("text"));
        }
    }

    /// The next record, with its number for an id.
    async fn record(&mut self) -> Value {
        let event = self.next().await.expect("it goes on");
        assert_eq!(event.name, None, "{event:?}");
        assert_eq!(event.data["seq"].as_u64(), event.id);
        event.data
    }

    /// The next record that is not of this stream's own request.
    async fn path(&mut self) -> String {
        text(&self.record().await["path"])
    }

    /// The code with which the stream ends, past whatever comes before.
    async fn end(&mut self) -> String {
        loop {
            let event = self.next().await.expect("it says why it ends");
            if event.name.as_deref() == Some("end") {
                assert!(self.next().await.is_none(), "nothing comes after");
                return text(&event.data["code"]);
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Some(Event {
        id: field("id").map(|id| id.parse().expect("a number")),
        name: field("event").map(str::to_owned),
        data: serde_json::from_str(field("data")?).expect("JSON"),
    })
}

async fn size(service: &Service) -> u64 {
    let newest = service.get(ADMIN, "/org/audit?limit=1").await;
    // That look is a record too.
    newest["events"][0]["seq"].as_u64().expect("a number") + 1
}

async fn stream_tells_each_record_once_and_goes_on_where_it_was_left(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let before = size(&service).await;
    let mut events = Events::open(service.ask_as(ADMIN, "GET", "/org/audit/stream")).await;
    for _ in 0..3 {
        service.get(&key.secret, "/org/whoami").await;
    }
    let body = json!({"name": "w"});
    service.make(&key.secret, "/workspaces", body).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(events.record().await);
    }
    let expected: Vec<_> = (before + 1..=before + 5).collect();
    let numbers = |records: &[Value]| -> Vec<u64> {
        let numbers = records.iter().map(|record| record["seq"].as_u64());
        numbers.map(|number| number.expect("a number")).collect()
    };
    assert_eq!(numbers(&seen), expected, "its own opening and the four");
    drop(events);
    service.get(&key.secret, "/org/whoami").await;
    let left = service
        .ask_as(ADMIN, "GET", "/org/audit/stream?after=1")
        .header("last-event-id", &expected[1].to_string());
    let mut events = Events::open(left).await;
    let mut again = Vec::new();
    while again.len() < 4 {
        again.push(events.record().await);
    }
    assert_eq!(again[..3], seen[2..], "the header counts more");
    assert_eq!(again[3]["seq"].as_u64(), Some(before + 6));
    let listed = service.audit(ADMIN, "").await;
    let kept = listed.iter().find(|record| record["seq"] == seen[2]["seq"]);
    assert_eq!(kept, Some(&seen[2]), "as it is listed");
    let all = "/org/audit/stream?since=2000-01-01T00:00:00Z";
    let mut events = Events::open(service.ask_as(ADMIN, "GET", all)).await;
    assert_eq!(events.record().await["seq"], 1, "from the beginning");
}

async fn stream_tells_what_fits_and_no_more(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [one, other] = [
        service.mint(ADMIN, json!({"name": "one"})).await,
        service.mint(ADMIN, json!({"name": "other"})).await,
    ];
    let path = format!("/org/audit/stream?token={}&status=2xx", one.id);
    let mut events = Events::open(service.ask_as(ADMIN, "GET", &path)).await;
    for (key, path) in [
        (&other, "/org/whoami"),
        (&one, "/org/nowhere"),
        (&one, "/org/whoami"),
    ] {
        service.ask_as(&key.secret, "GET", path).send().await;
    }
    service.get(&one.secret, "/workspaces").await;
    assert_eq!(events.path().await, "/org/whoami");
    assert_eq!(events.path().await, "/workspaces");
}

async fn stream_of_a_key_tells_what_the_key_does(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let path = format!("{}/activity/stream", key.path());
    let mut events = Events::open(service.ask_as(ADMIN, "GET", &path)).await;
    service.get(ADMIN, "/org/whoami").await;
    service.get(&key.secret, "/workspaces").await;
    assert_eq!(events.path().await, "/workspaces");
    let bound = json!({"name": "b", "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    let refused = service.ask_as(&bound.secret, "GET", &path).send().await;
    refused.problem(403, "outside_workspaces");
    let missing = "/org/tokens/tok_01J00000000000000000000000/activity/stream";
    let missing = service.ask_as(ADMIN, "GET", missing).send().await;
    missing.problem(404, "not_found");
    let named = format!("{path}?token={}", key.id);
    let named = service.ask_as(ADMIN, "GET", &named).send().await;
    assert_eq!(named.field(400, "bad_query"), "token");
}

async fn stream_ends_when_its_credential_does(backend: Backend) {
    let service = Service::guarded(backend).await;
    let open = async |body: Value| -> (Minted, Events) {
        let key = service.mint(ADMIN, body).await;
        let mut events = service.ask_as(&key.secret, "GET", "/org/audit/stream");
        events = events.header("accept", "text/event-stream");
        (key, Events::open(events).await)
    };
    let post = async |path: &str, body: Value| {
        let ask = service.ask_as(ADMIN, "POST", path);
        ask.json(&body).send().await.ok(200);
    };
    let auditor = || json!({"name": "a", "permissions": ["audit:read"]});

    let (key, mut events) = open(auditor()).await;
    let revoked = service.ask_as(ADMIN, "DELETE", &key.path()).send().await;
    revoked.ok(200);
    assert_eq!(events.end().await, "token_revoked");
    let (key, mut events) = open(auditor()).await;
    post(&format!("{}/suspend", key.path()), json!({})).await;
    assert_eq!(events.end().await, "token_suspended");
    let (key, mut events) = open(auditor()).await;
    post(&format!("{}/rotate", key.path()), json!({"overlap": "0"})).await;
    assert_eq!(events.end().await, "token_rotated_out");
    let (key, mut events) = open(auditor()).await;
    let narrower = json!({"ip_allow": ["192.0.2.0/24"]});
    let ask = service.ask_as(ADMIN, "PATCH", &key.path());
    ask.json(&narrower).send().await.ok(200);
    assert_eq!(events.end().await, "changed_meanwhile");
    let ending = json!({"name": "a", "permissions": ["audit:read"], "expires_in": "2s"});
    let (_, mut events) = open(ending).await;
    assert_eq!(events.end().await, "token_expired");
    // What stands above it counts too.
    let parent = service.mint(ADMIN, json!({"name": "p"})).await;
    let child = service.mint(&parent.secret, auditor()).await;
    let ask = service.ask_as(&child.secret, "GET", "/org/audit/stream");
    let mut events = Events::open(ask).await;
    post(&format!("{}/suspend", parent.path()), json!({})).await;
    assert_eq!(events.end().await, "minter_inactive");
}

async fn bound_caller_sees_its_workspace_as_long_as_it_is_bound_to_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "w", "labels": {"team": "a"}});
    let made = service.make(ADMIN, "/workspaces", body).await;
    let (own, other) = (text(&made["id"]), service.workspace(ADMIN).await);
    let key = json!({"name": "k", "preset": "reader", "workspaces": {"labels": {"team": "a"}}});
    let key = service.mint(ADMIN, key).await;
    let ask = |query: &str| {
        let path = format!("/org/audit/stream{query}");
        service.ask_as(&key.secret, "GET", &path)
    };
    let refused = ask("").send().await;
    refused.problem(403, "outside_workspaces");
    let refused = ask(&format!("?workspace={other}")).send().await;
    refused.problem(403, "outside_workspaces");
    let mut events = Events::open(ask(&format!("?workspace={own}"))).await;
    for workspace in [&other, &own] {
        let path = format!("/workspaces/{workspace}/secrets");
        service.get(ADMIN, &path).await;
    }
    assert_eq!(events.path().await, format!("/workspaces/{own}/secrets"));
    let path = format!("/workspaces/{own}");
    let relabelled = service.ask_as(ADMIN, "PATCH", &path);
    let labels = json!({"labels": {"team": "b"}});
    relabelled.json(&labels).send().await.ok(200);
    assert_eq!(events.end().await, "outside_workspaces");
}

async fn streams_are_bounded_and_places_come_back(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "permissions": ["audit:read"]});
    let key = service.mint(ADMIN, key).await;
    let ask = |service: &Service| service.ask_as(&key.secret, "GET", "/org/audit/stream");
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Events::open(ask(&service)).await);
    }
    let refused = ask(&service).send().await;
    refused.problem(429, "too_many_streams");
    assert!(refused.header("retry-after").is_some());
    // Others have places of their own.
    drop(Events::open(service.ask_as(ADMIN, "GET", "/org/audit/stream")).await);
    let ended = open.pop().expect("one of them").request_id();
    let query = format!("&token={}", key.id);
    let is_recorded = |answer: &crate::ask::Answer| answer.text().contains(&ended);
    let path = format!("/org/audit?limit=200{query}&route=/org/audit/stream");
    let look = |service: &Service| service.ask_as(ADMIN, "GET", &path);
    service
        .until(look, |answer| {
            is_recorded(answer) && answer.text().contains("stream_end")
        })
        .await;
    open.push(Events::open(ask(&service)).await);
}

async fn stream_is_recorded_when_it_opens_and_when_it_ends(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "permissions": ["audit:read"]});
    let key = service.mint(ADMIN, key).await;
    let ask = service.ask_as(&key.secret, "GET", "/org/audit/stream");
    let mut events = Events::open(ask).await;
    let own = events.record().await;
    let id = events.request_id();
    assert_eq!((&own["id"], &own["kind"]), (&json!(id), &json!("request")));
    drop(events);
    let path = format!("/org/audit?token={}", key.id);
    let look = |service: &Service| service.ask_as(ADMIN, "GET", &path);
    let is_there = |answer: &crate::ask::Answer| answer.text().contains("stream_end");
    let answer = service.until(look, is_there).await.json();
    let records = answer["events"].as_array().expect("events");
    assert_eq!(records.len(), 2, "one when it opens and one when it ends");
    let end = &records[0];
    assert_eq!(
        (&end["code"], &end["actor"]),
        (&json!("client_gone"), &json!(key.actor()))
    );
    assert_eq!(end["route"], "/org/audit/stream");
    let said = &end["change"]["stream"];
    assert_eq!((&said["opened"], &said["sent"]), (&json!(id), &json!(1)));
    assert_eq!(said["last_seq"], own["seq"]);
}

async fn stop_of_the_service_ends_streams(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let ask = service.ask_as(ADMIN, "GET", "/org/audit/stream");
    let mut events = Events::open(ask).await;
    events.record().await;
    service.stop().await;
    assert_eq!(events.end().await, "shutting_down");
    service.start().await.expect("it starts again");
    let records = service.audit(ADMIN, "&route=/org/audit/stream").await;
    assert_eq!(records[0]["code"], "shutting_down");
}

/// A trail of so many long records, from before the service was started.
async fn long_trail(service: &mut Service, records: u128) {
    service.stop().await;
    let options = claviger_store::OpenOptions {
        url: service.config().database_url,
        sync_audit: false,
        default_org: Id::from_u128(1),
        now: Timestamp::from_millis(1),
    };
    let store = claviger_store::open(options).await.expect("opened");
    let org: OrgId = store.deployment().await.expect("there").default_org;
    let long = "x".repeat(1000);
    let drafts = (0..records).map(|at| {
        let (id, at) = (Id::from_u128(at), Timestamp::from_millis(1000));
        let path = &long;
        let draft = Draft::of_operation(id, 0, at, org, &Actor::AdminToken);
        Draft { path, ..draft }.write()
    });
    let batch: Batch = drafts.collect();
    store.append(batch.into()).await.expect("written");
    store.close().await;
    service.start().await.expect("it starts");
}

async fn reader_that_does_not_read_is_dropped_and_told_why(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    // More than the buffers of a connection hold.
    long_trail(&mut service, 30_000).await;
    let mut stream = TcpStream::connect(service.address())
        .await
        .expect("connected");
    let head = format!(
        "GET /org/audit/stream?after=0 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ADMIN}\r\n\r\n",
        service.address()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let path = "/org/audit?route=/org/audit/stream";
    let look = |service: &Service| service.ask_as(ADMIN, "GET", path);
    let is_dropped = |answer: &crate::ask::Answer| answer.text().contains("\"too_slow\"");
    let started = std::time::Instant::now();
    while !is_dropped(&look(&service).send().await) {
        assert!(started.elapsed() < SOON, "it is dropped");
    }
    let mut bytes = Vec::new();
    let mut part = vec![0; 1024 * 1024];
    while !String::from_utf8_lossy(&bytes).contains("event: end") {
        let read = tokio::time::timeout(SOON, stream.read(&mut part)).await;
        let count = read.expect("it goes on").expect("it is there");
        assert!(count > 0, "it says why before it ends");
        // Only the end is of interest, and an event may come in two parts.
        bytes.drain(..bytes.len().saturating_sub(64));
        bytes.extend_from_slice(&part[..count]);
    }
    assert!(String::from_utf8_lossy(&bytes).contains("too_slow"));
}

async fn export_breaks_off_when_its_credential_ends(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    long_trail(&mut service, 30_000).await;
    let key = json!({"name": "k", "permissions": ["audit:read"]});
    let key = service.mint(ADMIN, key).await;
    let ask = service.ask_as(&key.secret, "GET", "/org/audit/export");
    let mut export = ask.0.send().await.expect("an answer");
    export.chunk().await.expect("it begins");
    let revoked = service.ask_as(ADMIN, "DELETE", &key.path()).send().await;
    revoked.ok(200);
    let broken = loop {
        match tokio::time::timeout(SOON, export.chunk())
            .await
            .expect("it goes on")
        {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "what is left of it is not sent");
}

async fn bad_queries_of_streams_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let ask = |query: &str| service.ask_as(ADMIN, "GET", &format!("/org/audit/stream{query}"));
    for (query, field) in [
        ("?after=x", "after"),
        ("?limit=1", "limit"),
        ("?cursor=1", "cursor"),
        ("?status=9xx", "status"),
        ("?token=nonsense", "token"),
    ] {
        assert_eq!(ask(query).send().await.field(400, "bad_query"), field);
    }
    let odd = ask("").header("last-event-id", "x").send().await;
    assert_eq!(odd.field(400, "bad_query"), "Last-Event-ID");
    let needless = json!({"name": "n", "permissions": ["org.tokens:read"]});
    let needless = service.mint(ADMIN, needless).await;
    let refused = service.ask_as(&needless.secret, "GET", "/org/audit/stream");
    refused.send().await.problem(403, "missing_permission");
}
