//! Records to a receiver of syslog: all of them, in order, whatever becomes of either side.

use std::{sync::Arc, time::Duration};

use claviger_testkit::{free_port, stand_in::CollectorStandIn};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    records_arrive_in_order_and_whole_from_the_start_of_a_receiver_on,
    receiver_that_was_away_gets_what_it_missed,
    restart_goes_on_where_it_was,
    receiver_that_does_not_read_holds_nobody_up,
    records_of_every_org_are_sent_and_of_those_that_are_gone,
    only_what_is_asked_for_is_sent,
    settings_that_cannot_be_used_keep_from_starting,
);

/// How long something may take that happens at once.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A receiver of syslog over TCP, with octet counting, that keeps what it got.
pub(crate) struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<String>>>,
    changed: watch::Sender<()>,
    changes: watch::Receiver<()>,
    /// Those who listen and read, while it is there.
    tasks: Option<JoinSet<()>>,
}

impl Receiver {
    /// One that is not there yet.
    pub(crate) fn away() -> Self {
        let (changed, changes) = watch::channel(());
        Self {
            port: free_port(),
            got: Arc::default(),
            changed,
            changes,
            tasks: None,
        }
    }

    /// One that listens.
    pub(crate) async fn start() -> Self {
        let mut receiver = Self::away();
        receiver.come().await;
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Listens, from now on.
    pub(crate) async fn come(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
        let listener = listener.expect("the port is free");
        let (got, changed) = (Arc::clone(&self.got), self.changed.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (got, changed) = (Arc::clone(&got), changed.clone());
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(message) = message(&mut stream).await {
                        got.lock().push(message);
                        changed.send_replace(());
                    }
                });
            }
        });
        self.tasks = Some(tasks);
    }

    /// Goes away, with every connection.
    async fn go(&mut self) {
        if let Some(mut tasks) = self.tasks.take() {
            tasks.shutdown().await;
        }
    }

    pub(crate) fn got(&self) -> Vec<String> {
        self.got.lock().clone()
    }

    /// Waits until it has got so many messages at least, or what else is awaited.
    pub(crate) async fn until(&mut self, is_awaited: impl Fn(&[String]) -> bool) {
        let awaited = async {
            while !is_awaited(&self.got.lock()) {
                self.changes.changed().await.expect("it is still there");
            }
        };
        let awaited = timeout(SOON, awaited).await;
        assert!(awaited.is_ok(), "it got {:#?}", self.got());
    }
}

/// A message after its length (RFC 6587, 3.4.1); `None` at the end.
async fn message(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        match stream.read_u8().await.ok()? {
            b' ' => break,
            digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
            other => panic!("{other} in a length"),
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(String::from_utf8(message).expect("UTF-8"))
}

/// The record in a message.
pub(crate) fn leaf(message: &str) -> &str {
    let at = message.find("] {\"v\":1,").expect("a record");
    &message[at + 2..]
}

/// The trail as it is exported, a record a line.
pub(crate) async fn trail(service: &Service) -> Vec<String> {
    let ask = service.ask_as(ADMIN, "GET", "/org/audit/export");
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(str::to_owned).collect()
}

pub(crate) async fn requests(service: &Service, count: usize) {
    for _ in 0..count {
        service.get(ADMIN, "/org/whoami").await;
    }
}

/// A service that sends to these.
async fn sending(backend: Backend, syslog: &[&str]) -> Service {
    let syslog = syslog.join(",");
    Service::guarded_with(backend, |flags| flags.siem.syslog = Some(syslog)).await
}

/// The records of messages, each the first time that it came.
fn once(messages: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let leaves = messages.iter().map(|message| leaf(message).to_owned());
    leaves.filter(|leaf| seen.insert(leaf.clone())).collect()
}

async fn records_arrive_in_order_and_whole_from_the_start_of_a_receiver_on(backend: Backend) {
    let mut receiver = Receiver::start().await;
    let mut service = Service::guarded(backend).await;
    requests(&service, 3).await;
    service.stop().await;
    service.flags().siem.syslog = Some(receiver.url());
    service.start().await.expect("it starts");
    let before = trail(&service).await.len();
    requests(&service, 300).await;
    let odd = service.ask_as(ADMIN, "GET", "/nowhere/a]%0A<13>1");
    odd.send().await;
    receiver.until(|got| once(got).len() >= 302).await;
    let whole = trail(&service).await;
    // What came before the receiver is not sent.
    assert_eq!(once(&receiver.got())[..302], whole[before..before + 302]);
    // What could not be sent before a stop comes after it.
    service.restart().await;
    let rest = trail(&service).await;
    let count = rest.len() - before;
    receiver.until(|got| once(got).len() >= count).await;
    let got = receiver.got();
    assert_eq!(once(&got)[..count], rest[before..], "all of it");
    let first = &got[0];
    assert!(first.starts_with("<109>1 20"), "{first}");
    for part in [
        " claviger ",
        " break_glass [claviger@32473 org=\"org_",
        " actor=\"admin-token\" method=\"GET\"",
        " status=\"200\" address=\"127.0.0.1\"]",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    for (seq, leaf) in (1..).zip(&rest).skip(before) {
        let seq = format!(" seq=\"{seq}\"");
        let is_numbered = |message: &String| message.ends_with(leaf) && message.contains(&seq);
        assert!(got.iter().any(is_numbered), "{leaf}");
    }
    assert!(
        !got.iter()
            .any(|message| message.chars().any(char::is_control))
    );
}

async fn receiver_that_was_away_gets_what_it_missed(backend: Backend) {
    let mut receiver = Receiver::away();
    let service = sending(backend, &[&receiver.url()]).await;
    requests(&service, 20).await;
    receiver.come().await;
    receiver.until(|got| once(got).len() >= 20).await;
    receiver.go().await;
    requests(&service, 20).await;
    receiver.come().await;
    let whole = trail(&service).await;
    receiver.until(|got| once(got).len() >= whole.len()).await;
    let got = once(&receiver.got());
    assert_eq!(got[..whole.len()], whole, "the first times are in order");
}

async fn restart_goes_on_where_it_was(backend: Backend) {
    let mut receiver = Receiver::start().await;
    let mut service = sending(backend, &[&receiver.url()]).await;
    requests(&service, 10).await;
    service.restart().await;
    requests(&service, 10).await;
    receiver.until(|got| once(got).len() >= 20).await;
    // Stopped while nobody is there: what is left is sent after the next start.
    receiver.go().await;
    requests(&service, 10).await;
    service.restart().await;
    receiver.come().await;
    let whole = trail(&service).await;
    receiver.until(|got| once(got).len() >= whole.len()).await;
    let got = once(&receiver.got());
    assert_eq!(got[..whole.len()], whole, "the first times are in order");
}

async fn receiver_that_does_not_read_holds_nobody_up(backend: Backend) {
    // It accepts nothing: the system takes a connection, and some bytes.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_url = format!("tcp://{}", silent.local_addr().expect("an address"));
    let collector = CollectorStandIn::start().await;
    let mut receiver = Receiver::start().await;
    let refused = Receiver::away();
    let mut service = Service::guarded_with(backend, |flags| {
        flags.siem.syslog = Some([silent_url, refused.url(), receiver.url()].join(","));
        flags.siem.otlp_logs = Some(collector.url());
    })
    .await;
    requests(&service, 100).await;
    receiver.until(|got| once(got).len() >= 100).await;
    let taken = timeout(SOON, collector.until(|state| state.taken.len() >= 100));
    taken.await.expect("it gets them too");
    let told = [
        "claviger_siem_behind{sink=\"syslog\"} ",
        "claviger_siem_sent_total{sink=\"otlp\"} 1",
    ];
    let is_told = |answer: &Answer| told.iter().all(|part| answer.text().contains(part));
    let ask = |service: &Service| service.ask("GET", "/metrics");
    service.until(ask, is_told).await;
    let stopped = timeout(Duration::from_secs(30), service.stop()).await;
    stopped.expect("a stop does not wait for them");
    drop(silent);
}

async fn records_of_every_org_are_sent_and_of_those_that_are_gone(backend: Backend) {
    let mut receiver = Receiver::away();
    let service = sending(backend, &[&receiver.url()]).await;
    let mut orgs = Vec::new();
    for name in ["acme", "globex"] {
        let made = service.make(ADMIN, "/admin/orgs", serde_json::json!({"name": name}));
        let org = crate::service::text(&made.await["id"]);
        for _ in 0..3 {
            let ask = service.ask_as(ADMIN, "GET", "/org/whoami");
            ask.header("x-org-id", &org).send().await.ok(200);
        }
        orgs.push(org);
    }
    let gone = &orgs[1];
    let path = format!("/admin/orgs/{gone}");
    service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    receiver.come().await;
    for org in &orgs {
        let own = format!(" org=\"{org}\"");
        receiver
            .until(|got| got.iter().filter(|one| one.contains(&own)).count() >= 3)
            .await;
    }
}

async fn only_what_is_asked_for_is_sent(backend: Backend) {
    let mut changes = Receiver::start().await;
    let mut service = Service::stopped(backend);
    service.set_admin_token(ADMIN);
    service.flags().siem.syslog = Some(changes.url());
    service.flags().siem.records = Some("signals".to_owned());
    service.start().await.expect("it starts");
    let key = service.mint(ADMIN, serde_json::json!({"name": "k"})).await;
    service.get(&key.secret, "/org/whoami").await;
    service.restart().await;
    assert_eq!(changes.got(), [""; 0]);
    service.stop().await;
    service.flags().siem.records = Some("changes".to_owned());
    service.start().await.expect("it starts");
    service.get(&key.secret, "/org/whoami").await;
    let denied = service.ask_as(&key.secret, "GET", "/nowhere").send().await;
    assert_eq!(denied.status, 404);
    let path = format!("/org/tokens/{}?reason=done", key.id);
    service
        .ask_as(&key.secret, "DELETE", &path)
        .send()
        .await
        .ok(200);
    changes.until(|got| once(got).len() >= 2).await;
    service.stop().await;
    let mut got = changes.got();
    // A record can come twice.
    let mut seen = std::collections::HashSet::new();
    got.retain(|message| seen.insert(leaf(message).to_owned()));
    assert_eq!(got.len(), 2, "{got:#?}");
    assert!(got[0].starts_with("<109>1 ") && got[0].contains(" path=\"/nowhere\""));
    assert!(got[1].starts_with("<110>1 ") && got[1].contains(" change=\"revoked\""));
}

async fn settings_that_cannot_be_used_keep_from_starting(backend: Backend) {
    let mut service = Service::stopped(backend);
    for (name, value, part) in [
        ("syslog", "http://logs.example", "tcp://host:601"),
        ("syslog", "tcp://a:1,tcp://a:1", "twice"),
        ("otlp-logs", "http://127.0.0.1:4318", "/v1/logs"),
        ("siem-records", "some", "`changes`"),
        ("siem-ca-file", "/nowhere/ca.pem", "`tls://`"),
        ("otlp-headers-file", "/nowhere/headers", "`otlp-logs`"),
        ("syslog-enterprise", "me", "`32473`"),
    ] {
        service.clear_settings();
        service.add_setting(name, value);
        service.set_admin_token(ADMIN);
        let error = service.start().await.expect_err("it does not start");
        let said = error.to_string();
        assert!(said.contains(part) && said.contains(name), "{said}");
    }
    service.clear_settings();
    service.add_setting("syslog", "tls://127.0.0.1:1");
    service.add_setting("siem-ca-file", "/nowhere/ca.pem");
    service.set_admin_token(ADMIN);
    let error = service.start().await.expect_err("it does not start");
    let said = error.to_string();
    assert!(said.contains("/nowhere/ca.pem"), "{said}");
}
