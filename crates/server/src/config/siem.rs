//! Where the records of the audit trails are sent as they come.

use std::path::PathBuf;

use claviger_core::digest::Digest;
use url::Url;

use super::{ConfigError, github::is_loopback, raw::Raw};

/// The most receivers: each is a task that reads every trail.
const SINKS_MAX: usize = 8;
/// The usual path of a receiver of OTLP logs.
const OTLP_PATH: &str = "/v1/logs";
/// The longest address, so that the database can keep it as a name.
const ADDRESS_CHARS_MAX: usize = 480;

/// Which records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiemRecords {
    /// Signals, and what became of anchors.
    Signals,
    /// Those, and what changed something, was refused or was done with more than a key.
    Changes,
    /// Every one.
    All,
}

/// Where a syslog receiver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    /// RFC 6587 with octet counting.
    Tcp(HostPort),
    /// RFC 5425.
    Tls(HostPort),
    /// RFC 5426.
    Udp(HostPort),
    /// A datagram socket of this machine.
    Unix(PathBuf),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl SyslogAddress {
    /// The address as an operator writes it, with its port.
    #[must_use]
    pub fn name(&self) -> String {
        let of = |scheme: &str, at: &HostPort| match at.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", at.host, at.port),
            false => format!("{scheme}://{}:{}", at.host, at.port),
        };
        match self {
            Self::Tcp(at) => of("tcp", at),
            Self::Tls(at) => of("tls", at),
            Self::Udp(at) => of("udp", at),
            Self::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

/// Where records go.
#[derive(Debug, Clone)]
pub struct SiemConfig {
    /// Receivers of syslog.
    pub syslog: Vec<SyslogAddress>,
    /// Receivers of OTLP logs over HTTP.
    pub otlp: Vec<Url>,
    /// Which records are sent.
    pub records: SiemRecords,
    /// The authorities that receivers are believed by, in PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Headers for receivers of OTLP, one a line.
    pub headers_file: Option<PathBuf>,
    /// The enterprise number in structured data.
    pub enterprise: u32,
}

impl SiemConfig {
    /// Whether there is a receiver that TLS is spoken with.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        let of_syslog = |one: &SyslogAddress| matches!(one, SyslogAddress::Tls(_));
        self.syslog.iter().any(of_syslog) || self.otlp.iter().any(|url| url.scheme() == "https")
    }
}

/// The name of a receiver of OTLP: its address without what may be a credential. Some providers have one in
/// the path, so a path that is not the usual one is told by a digest, and so is a query.
#[must_use]
pub fn otlp_name(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    if url.path() == OTLP_PATH && url.query().is_none() {
        return format!("{origin}{OTLP_PATH}");
    }
    let rest = url.as_str().get(origin.len()..).unwrap_or_default();
    let digest = Digest::of(rest.as_bytes());
    let digest: String = digest
        .as_bytes()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{origin}/…{digest}")
}

pub(super) fn check(raw: &Raw) -> Result<SiemConfig, ConfigError> {
    let syslog = each(raw, "syslog", syslog)?;
    let otlp = each(raw, "otlp-logs", otlp)?;
    unique(raw, "syslog", syslog.iter().map(SyslogAddress::name))?;
    unique(raw, "otlp-logs", otlp.iter().map(otlp_name))?;
    if syslog.len() + otlp.len() > SINKS_MAX {
        let reason = format!("there are at most {SINKS_MAX} receivers, `otlp-logs` included");
        return Err(raw.bad("syslog", reason));
    }
    let headers_file = raw.given("otlp-headers-file").map(PathBuf::from);
    if headers_file.is_some() && otlp.is_empty() {
        let reason = "counts only beside `otlp-logs`, which is not set";
        return Err(raw.bad("otlp-headers-file", reason));
    }
    let is_open = |url: &&Url| url.scheme() == "http" && !is_loopback(url);
    if headers_file.is_some() && otlp.iter().any(|url| is_open(&url)) {
        let reason = "holds credentials, which go to every `otlp-logs`: each must be https, or on this machine";
        return Err(raw.bad("otlp-headers-file", reason));
    }
    let config = SiemConfig {
        syslog,
        otlp,
        records: match raw.get("siem-records") {
            "signals" => SiemRecords::Signals,
            "changes" => SiemRecords::Changes,
            "all" => SiemRecords::All,
            _ => {
                let reason = "must be one of `signals`, `changes`, `all`";
                return Err(raw.bad("siem-records", reason));
            }
        },
        ca_file: raw.given("siem-ca-file").map(PathBuf::from),
        headers_file,
        enterprise: raw.get("syslog-enterprise").parse().map_err(|_none| {
            let reason = "must be a private enterprise number, such as `32473`";
            raw.bad("syslog-enterprise", reason)
        })?,
    };
    if config.ca_file.is_some() && !config.speaks_tls() {
        let reason = "counts only beside a receiver with `tls://` or `https://`, and there is none";
        return Err(raw.bad("siem-ca-file", reason));
    }
    Ok(config)
}

/// What is given with commas between.
fn each<T>(
    raw: &Raw,
    name: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    let given = raw.get(name).split(',').map(str::trim);
    let given = given.filter(|part| !part.is_empty());
    given
        .map(|part| {
            if part.chars().count() > ADDRESS_CHARS_MAX {
                return Err(format!(
                    "an address has at most {ADDRESS_CHARS_MAX} characters"
                ));
            }
            read(part)
        })
        .collect::<Result<_, _>>()
        .map_err(|reason| raw.bad(name, reason))
}

fn unique(
    raw: &Raw,
    name: &'static str,
    addresses: impl Iterator<Item = String>,
) -> Result<(), ConfigError> {
    let mut seen = std::collections::BTreeSet::new();
    for address in addresses {
        if !seen.insert(address.clone()) {
            return Err(raw.bad(name, format!("`{address}` is there twice")));
        }
    }
    Ok(())
}

fn syslog(text: &str) -> Result<SyslogAddress, String> {
    const FORMS: &str = "must be `tcp://host:601`, `tls://host:6514`, `udp://host:514` or `unix:///run/claviger/log`";
    if let Some(path) = text.strip_prefix("unix://") {
        return match path.starts_with('/') {
            true => Ok(SyslogAddress::Unix(path.into())),
            false => Err(format!("`{text}` {FORMS}")),
        };
    }
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
    is_bare(&url)?;
    let has_more = !matches!(url.path(), "" | "/") || url.query().is_some();
    let host = url.host_str().filter(|host| !host.is_empty() && !has_more);
    let host = host.ok_or_else(|| format!("`{text}` {FORMS}"))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let at = |usual: u16| HostPort {
        host,
        port: url.port().unwrap_or(usual),
    };
    match url.scheme() {
        "tcp" => Ok(SyslogAddress::Tcp(at(601))),
        "tls" => Ok(SyslogAddress::Tls(at(6514))),
        "udp" => Ok(SyslogAddress::Udp(at(514))),
        _ => Err(format!("`{text}` {FORMS}")),
    }
}

fn otlp(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("an address cannot be read: {error}"))?;
    is_bare(&url)?;
    if !matches!(url.scheme(), "http" | "https") || url.path() == "/" {
        return Err(format!(
            "`{}` must be an address with its path, such as `http://127.0.0.1:4318/v1/logs`",
            otlp_name(&url)
        ));
    }
    Ok(url)
}

fn is_bare(url: &Url) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("an address must not hold a user name, a password or a fragment".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{otlp, otlp_name, syslog};

    #[test]
    fn addresses_are_read_with_their_usual_ports() {
        for (text, name) in [
            ("tcp://logs.example", "tcp://logs.example:601"),
            ("tls://logs.example", "tls://logs.example:6514"),
            ("udp://127.0.0.1/", "udp://127.0.0.1:514"),
            ("tcp://[::1]:5140", "tcp://[::1]:5140"),
            ("unix:///dev/log", "unix:///dev/log"),
        ] {
            let address = syslog(text).expect("an address");
            assert_eq!(address.name(), name);
        }
        let url = otlp("https://otel.example:4318/v1/logs?key=hush").expect("an address");
        let name = otlp_name(&url);
        assert!(name.starts_with("https://otel.example:4318/…"), "{name}");
        assert!(!name.contains("hush"), "{name}");
        for (text, name) in [
            ("http://[::1]:4318/v1/logs", "http://[::1]:4318/v1/logs"),
            (
                "https://otel.example/v1/logs",
                "https://otel.example/v1/logs",
            ),
        ] {
            assert_eq!(otlp_name(&otlp(text).expect("an address")), name);
        }
        let named = |path: &str| {
            let url = otlp(&format!("https://otel.example/in/{path}/v1/logs"));
            otlp_name(&url.expect("an address"))
        };
        assert!(!named("tkn").contains("tkn") && named("tkn") != named("other"));
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        for bad in [
            "logs.example:514",
            "http://logs.example",
            "tcp://",
            "tcp://u:p@logs.example",
            "tcp://logs.example/x",
            "tcp://logs.example:99999",
            "unix://dev/log",
            "",
        ] {
            assert!(syslog(bad).is_err(), "{bad}");
        }
        for bad in [
            "otel.example:4318",
            "http://otel.example:4318",
            "grpc://otel.example:4317/x",
            "http://u:p@otel.example/v1/logs",
        ] {
            assert!(otlp(bad).is_err(), "{bad}");
        }
    }
}
