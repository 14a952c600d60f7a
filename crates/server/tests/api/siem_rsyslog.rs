//! Records to a real rsyslog, which reads them by RFC 5424 and writes what it has read: over TCP, over TLS,
//! in UDP, and over a socket of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use claviger_testkit::free_port;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    service::{ADMIN, Backend, Service, text},
    siem::{SOON, requests, trail},
};

on_each_database!(
    rsyslog_reads_what_was_written_whatever_it_comes_over,
    rsyslog_of_another_authority_gets_nothing,
);

/// How often it is looked for what rsyslog has written.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// rsyslog, until it is dropped.
struct Rsyslog {
    process: Child,
    directory: TempDir,
    ports: [u16; 3],
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A line that it has written.
#[derive(Debug)]
struct Line {
    input: String,
    /// Priority, host, name of the program, kind.
    head: [String; 4],
    time: String,
    data: Value,
    message: String,
}

impl Rsyslog {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ports = [free_port(), free_port(), free_port()];
        certify(directory.path());
        let path = directory.path().join("conf");
        fs::write(&path, configuration(directory.path(), ports)).expect("written");
        let mut command = Command::new("rsyslogd");
        // Debian has it where only root looks.
        let search =
            std::env::join_paths(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
        command.env("PATH", search.expect("a list"));
        command.arg("-n").arg("-f").arg(&path);
        command.arg("-i").arg(directory.path().join("pid"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn();
        let process =
            process.expect("rsyslogd can be run: apt-get install rsyslog rsyslog-openssl");
        let started = Self {
            process,
            directory,
            ports,
        };
        started.is_ready().await;
        started
    }

    /// Waits until it takes datagrams and connections.
    async fn is_ready(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let ready = timeout(SOON, async {
            loop {
                looks.tick().await;
                let probe = b"<13>1 - - - - - - probe";
                let there = ("127.0.0.1", self.ports[2]);
                // Refused until it listens.
                socket.send_to(probe, there).await.unwrap_or_default();
                let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.ports[1])).await;
                if stream.is_ok() && self.text().contains("probe") {
                    return;
                }
            }
        });
        ready.await.expect("rsyslogd starts");
    }

    fn text(&self) -> String {
        fs::read_to_string(self.directory.path().join("out")).unwrap_or_default()
    }

    /// Where it takes messages, by the names that it writes.
    fn places(&self) -> [(&'static str, String); 4] {
        let [tcp, tls, udp] = self.ports;
        let socket = self.directory.path().join("log");
        [
            ("tcp", format!("tcp://127.0.0.1:{tcp}")),
            ("tls", format!("tls://localhost:{tls}")),
            ("udp", format!("udp://127.0.0.1:{udp}")),
            ("imuxsock", format!("unix://{}", socket.display())),
        ]
    }

    fn ca_file(&self) -> String {
        let path = self.directory.path().join("ca.pem");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// What it has written of messages that came over this, each the first time.
    fn lines(&self, input: &str) -> Vec<Line> {
        let mut seen = std::collections::HashSet::new();
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(line);
        let own = lines.filter(|line| line.input == input);
        own.filter(|line| line.message != "probe" && seen.insert(line.message.clone()))
            .collect()
    }

    /// Waits until so many lines came over this.
    async fn until(&self, input: &str, count: usize) -> Vec<Line> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let awaited = timeout(SOON, async {
            loop {
                looks.tick().await;
                let lines = self.lines(input);
                if lines.len() >= count {
                    return lines;
                }
            }
        });
        let lines = awaited.await;
        lines.unwrap_or_else(|_| panic!("over {input} came {:#?}", self.lines(input)))
    }
}

fn line(text: &str) -> Line {
    let parts: Vec<&str> = text.splitn(8, '\t').collect();
    let [input, priority, time, host, program, kind, data, message] = parts[..] else {
        panic!("{text}")
    };
    Line {
        input: input.to_owned(),
        head: [priority, host, program, kind].map(str::to_owned),
        time: time.to_owned(),
        data: serde_json::from_str(data).unwrap_or_default(),
        message: message.trim_start().to_owned(),
    }
}

/// Makes an authority, and a certificate of it for this machine.
fn certify(directory: &Path) {
    let script = r#"
        key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        openssl req -x509 $key -days 2 -subj "/CN=Test CA" -keyout ca.key -out ca.pem &&
        openssl req $key -subj "/CN=localhost" -keyout server.key -out server.csr &&
        printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >ext &&
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
            -extfile ext -out server.pem"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(directory);
    let ended = shell.output().expect("`sh` can be run");
    let words = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "apt-get install openssl: {words}");
}

fn configuration(directory: &Path, [tcp, tls, udp]: [u16; 3]) -> String {
    let at = directory.display();
    format!(
        r#"
global(workDirectory="{at}" maxMessageSize="128k" net.enableDNS="off"
  defaultNetstreamDriverCAFile="{at}/ca.pem"
  defaultNetstreamDriverCertFile="{at}/server.pem" defaultNetstreamDriverKeyFile="{at}/server.key")
module(load="imtcp")
module(load="imudp")
module(load="imuxsock" sysSock.use="off")
module(load="mmpstrucdata")
template(name="line" type="list") {{
  property(name="inputname") constant(value="\t")
  property(name="pri") constant(value="\t")
  property(name="timereported" dateFormat="rfc3339") constant(value="\t")
  property(name="hostname") constant(value="\t")
  property(name="app-name") constant(value="\t")
  property(name="msgid") constant(value="\t")
  property(name="$!rfc5424-sd") constant(value="\t")
  property(name="msg") constant(value="\n")
}}
ruleset(name="all") {{
  action(type="mmpstrucdata")
  action(type="omfile" file="{at}/out" template="line")
}}
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="all" name="tcp")
input(type="imtcp" port="{tls}" ruleset="all" name="tls"
  streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all" name="udp")
input(type="imuxsock" socket="{at}/log" ruleset="all" useSpecialParser="off" parseHostname="on")
"#
    )
}

async fn rsyslog_reads_what_was_written_whatever_it_comes_over(backend: Backend) {
    let rsyslog = Rsyslog::start().await;
    let places = rsyslog.places();
    let mut service = Service::stopped(backend);
    service.set_admin_token(ADMIN);
    let urls: Vec<String> = places.iter().map(|(_, url)| url.clone()).collect();
    service.flags().siem.syslog = Some(urls.join(","));
    service.flags().siem.ca_file = Some(rsyslog.ca_file());
    service.start().await.expect("it starts");
    requests(&service, 10).await;
    let odd = service.ask_as(ADMIN, "GET", "/nowhere/a]b]%20'");
    odd.send().await;
    let key = service.mint(ADMIN, json!({"name": "agent"})).await;
    let whole = trail(&service).await;
    for (input, _) in &places {
        // Datagrams of UDP can be lost, and everything can come twice.
        let is_lossy = *input == "udp";
        let count = if is_lossy { 1 } else { whole.len() };
        let lines = rsyslog.until(input, count).await;
        let place = |line: &Line| whole.iter().position(|leaf| *leaf == line.message);
        let messages: Vec<_> = lines.iter().filter_map(place).collect();
        if !is_lossy {
            assert_eq!(messages, (0..whole.len()).collect::<Vec<_>>(), "{input}");
        }
        assert!(
            !messages.is_empty() && messages.is_sorted(),
            "{input}: {messages:?}"
        );
        for (line, place) in lines.iter().zip(messages) {
            let (seq, leaf) = (place + 1, &whole[place]);
            let leaf: Value = serde_json::from_str(leaf).expect("JSON");
            let data = &line.data["claviger@32473"];
            assert_eq!(data["seq"], json!(format!("{seq}")), "{line:?}");
            assert_eq!(
                data["status"],
                json!(leaf["status"].to_string()),
                "{line:?}"
            );
            for (name, member) in [
                ("org", "org"),
                ("id", "id"),
                ("actor", "actor"),
                ("method", "method"),
                ("path", "path"),
                ("address", "client"),
            ] {
                assert_eq!(data[name], leaf[member], "{input}: {line:?}");
            }
            let [priority, _, program, kind] = &line.head;
            assert_eq!((&**priority, &**program), ("109", "claviger"));
            assert_eq!(text(&leaf["kind"]), *kind);
            // Its own socket gives messages a time of its own.
            assert!(
                *input == "imuxsock" || text(&leaf["time"]) == line.time,
                "{line:?}"
            );
        }
        for (place, name, value) in [(10, "path", "/nowhere/a]b]%20'"), (11, "change", "minted")] {
            let line = lines.iter().find(|line| line.message == whole[place]);
            let data = line.map(|line| &line.data["claviger@32473"][name]);
            assert!(is_lossy || data.is_some(), "{input}");
            assert!(data.is_none_or(|data| data == value), "{input}: {data:?}");
        }
    }
    service.stop().await;
    assert!(!rsyslog.text().contains(&key.secret));
}

async fn rsyslog_of_another_authority_gets_nothing(backend: Backend) {
    let (rsyslog, other) = tokio::join!(Rsyslog::start(), Rsyslog::start());
    let mut service = Service::stopped(backend);
    service.set_admin_token(ADMIN);
    let [_, (_, tls), ..] = rsyslog.places();
    let [(_, tcp), ..] = rsyslog.places();
    service.flags().siem.syslog = Some(format!("{tls},{tcp}"));
    service.flags().siem.ca_file = Some(other.ca_file());
    service.start().await.expect("it starts");
    requests(&service, 5).await;
    rsyslog.until("tcp", 5).await;
    service.stop().await;
    assert!(rsyslog.lines("tls").is_empty());
    let said = crate::service::logged("invalid peer certificate");
    assert!(said.iter().any(|line| line.contains(&tls)), "{said:?}");
    // With the right authority it gets what it missed.
    service.flags().siem.ca_file = Some(rsyslog.ca_file());
    service.start().await.expect("it starts");
    rsyslog.until("tls", 5).await;
}
