//! Values as they are meant.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use claviger_core::{
    evidence::BootstrapPolicy,
    time::{Timestamp, parse_duration},
    token::Brand,
};

use ipnet::IpNet;

use super::{
    ConfigError,
    anchors::{self, AnchorConfig},
    github::{self, GithubKeySource},
    provider::{self, ProviderConfig},
    raw::{Flags, Raw, SETTINGS, Setting},
    siem::{self, SiemConfig},
};

/// When a request's audit record must be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// After the answer, within milliseconds.
    Relaxed,
    /// Before the answer: it survives the death of the process.
    Durable,
    /// Before the answer, and on the disk: it survives a power cut.
    Synced,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `org-token:mole_a1b2c3d4 POST /workspaces/ws_…/channels 200 12ms`
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration in force.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the database and the master key are.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`.
    pub database_url: String,
    /// The master key, and whether the operator named the file.
    pub master_key_file: PathBuf,
    /// Whether the operator named the master key file: then it is never made.
    pub is_master_key_given: bool,
    /// The keys that sign the audit trail.
    pub ledger_key_file: PathBuf,
    /// Whether the operator named that file: then it is never made.
    pub is_ledger_key_given: bool,
    /// Whether the operator accepts keys that have not signed the audit trail before.
    pub accepts_ledger_key: bool,
    /// Who may use tier 0 while it is open.
    pub bootstrap: BootstrapPolicy,
    /// When a record must be safe.
    pub audit: AuditMode,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The address by which others reach this server.
    pub public_url: Option<String>,
    /// Where operation routes listen, if not with the rest.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether tier 3 is on.
    pub workspace_tokens: bool,
    /// The date by which tier 3 ends, for the `Sunset` header.
    pub workspace_tokens_sunset: Timestamp,
    /// The proxies whose word on the caller's address is taken (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
    /// Mints per key or person in a minute.
    pub mints_per_minute: u32,
    /// After so long without a use a person's session ends.
    pub session_idle: Duration,
    /// A person's session lasts at most so long.
    pub session_max: Duration,
    /// The letters that a key begins with.
    pub brand: Brand,
    /// Where the public keys of GitHub's secret scanning come from; `None` if it is off.
    pub github_keys: Option<GithubKeySource>,
    /// Where checkpoints are kept outside the database.
    pub anchors: AnchorConfig,
    /// Whether the operator accepts a database that is behind what was anchored.
    pub accepts_rollback: bool,
    /// Where records are sent as they come.
    pub siem: SiemConfig,
    /// Where people sign in; `None`: with a link that this server makes.
    pub provider: Option<ProviderConfig>,
    /// `ADMIN_TOKEN` as it is given; checked by [`crate::admin_token`].
    pub(crate) admin_token: Option<zeroize::Zeroizing<String>>,
    /// `ADMIN_TOKEN_FILE`.
    pub(crate) admin_token_file: Option<PathBuf>,
    raw: Raw,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Collects and checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first setting that cannot be used.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let raw = Raw::collect(flags)?;
        let data_dir = PathBuf::from(raw.get("data-dir"));
        let listen = address(&raw, "listen")?;
        let metrics_listen = raw
            .given("metrics-listen")
            .map(|_| address(&raw, "metrics-listen"))
            .transpose()?;
        let (workspace_tokens, workspace_tokens_sunset) = workspace_tokens(&raw)?;
        let (master_key_file, ledger_key_file) = key_files(&raw, &data_dir);
        let config = Self {
            bootstrap: bootstrap(&raw, listen)?,
            listen,
            metrics_listen,
            database_url: database_url(&raw, &data_dir)?,
            master_key_file,
            is_master_key_given: raw.given("master-key-file").is_some(),
            ledger_key_file,
            is_ledger_key_given: raw.given("ledger-key-file").is_some(),
            accepts_ledger_key: flags.accepts_ledger_key,
            audit: choice(
                &raw,
                "audit",
                &[
                    ("relaxed", AuditMode::Relaxed),
                    ("durable", AuditMode::Durable),
                    ("synced", AuditMode::Synced),
                ],
            )?,
            log_format: choice(
                &raw,
                "log-format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )?,
            public_url: public_url(&raw)?,
            workspace_tokens,
            workspace_tokens_sunset,
            trusted_proxies: trusted_proxies(&raw)?,
            mints_per_minute: match raw.get("mints-per-minute").parse() {
                Ok(count) if count >= 1 => count,
                _ => return Err(raw.bad("mints-per-minute", "must be a whole number from 1")),
            },
            session_idle: span(&raw, "session-idle")?,
            session_max: span(&raw, "session-max")?,
            brand: raw
                .get("brand")
                .parse()
                .map_err(|error| raw.bad("brand", format!("{error}")))?,
            github_keys: github::parse(raw.get("github-secret-scanning"))
                .map_err(|reason| raw.bad("github-secret-scanning", reason))?,
            anchors: anchors::check(&raw)?,
            accepts_rollback: flags.accepts_rollback,
            siem: siem::check(&raw)?,
            provider: provider::check(&raw)?,
            admin_token: raw.given("admin-token").map(|text| text.to_owned().into()),
            admin_token_file: raw.given("admin-token-file").map(PathBuf::from),
            data_dir,
            raw,
        };
        config.check_brand()
    }

    /// The name of the cookie of the Canvas. With `__Host-` a browser takes it over https alone, and
    /// from no other host of the domain (RFC 6265bis, 4.1.3.2).
    #[must_use]
    pub fn cookie(&self) -> &'static str {
        if self.is_https() {
            "__Host-claviger"
        } else {
            "claviger_session"
        }
    }

    /// Whether people reach this server over https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        let url = self.public_url.as_deref();
        url.is_some_and(|url| url.starts_with("https://"))
    }

    fn check_brand(self) -> Result<Self, ConfigError> {
        if self.brand == Brand::WORKSPACE_TOKEN {
            return Err(self
                .raw
                .bad("brand", "`molw` is the brand of workspace tokens"));
        }
        Ok(self)
    }

    /// What is in force and where it came from; secrets are masked.
    #[must_use]
    pub fn report(&self) -> Vec<Setting> {
        let value = |name: &'static str| match name {
            "database-url" => mask_url(&self.database_url),
            "master-key-file" => self.master_key_file.display().to_string(),
            "ledger-key-file" => self.ledger_key_file.display().to_string(),
            "bootstrap" => match self.bootstrap {
                BootstrapPolicy::Loopback => "loopback".to_owned(),
                BootstrapPolicy::Any => "any".to_owned(),
                BootstrapPolicy::Off => "off".to_owned(),
            },
            "otlp-logs" => {
                let all: Vec<_> = self.siem.otlp.iter().map(siem::otlp_name).collect();
                Some(all.join(","))
                    .filter(|all| !all.is_empty())
                    .unwrap_or_else(|| "(not set)".to_owned())
            }
            secret if secret == "admin-token" || provider::SECRETS.contains(&secret) => {
                let is_set = self.raw.given(secret).is_some();
                if is_set { "(set)" } else { "(not set)" }.to_owned()
            }
            other => self.raw.given(other).unwrap_or("(not set)").to_owned(),
        };
        SETTINGS
            .iter()
            .map(|&(name, ..)| Setting {
                name,
                value: value(name),
                source: self.raw.source(name),
            })
            .collect()
    }
}

fn address(raw: &Raw, name: &'static str) -> Result<SocketAddr, ConfigError> {
    raw.get(name).parse().map_err(|_bad| {
        raw.bad(
            name,
            "must be an address and a port, such as `127.0.0.1:8080` or `[::1]:8080`",
        )
    })
}

fn choice<T: Copy>(raw: &Raw, name: &'static str, among: &[(&str, T)]) -> Result<T, ConfigError> {
    let found = among.iter().find(|(word, _)| *word == raw.get(name));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = among.iter().map(|(word, _)| format!("`{word}`")).collect();
        raw.bad(name, format!("must be one of {}", words.join(", ")))
    })
}

/// Where the master key is, and the keys of the ledger: beside it, unless the operator says otherwise.
fn key_files(raw: &Raw, data_dir: &std::path::Path) -> (PathBuf, PathBuf) {
    let given = |name| raw.given(name).map(PathBuf::from);
    let master = given("master-key-file").unwrap_or_else(|| data_dir.join("master.key"));
    let ledger = given("ledger-key-file").unwrap_or_else(|| master.with_file_name("ledger.key"));
    (master, ledger)
}

/// How long something may last: at least a minute, at most a year.
fn span(raw: &Raw, name: &'static str) -> Result<Duration, ConfigError> {
    const YEAR: Duration = Duration::from_secs(366 * 86_400);
    match parse_duration(raw.get(name)) {
        Ok(span) if (Duration::from_secs(60)..=YEAR).contains(&span) => Ok(span),
        Ok(_) | Err(_) => Err(raw.bad(name, "must be from `1m` to `366d`")),
    }
}

/// Tier 0 is off wherever others may reach the server, unless the operator says otherwise.
fn bootstrap(raw: &Raw, listen: SocketAddr) -> Result<BootstrapPolicy, ConfigError> {
    let is_shared =
        !listen.ip().is_loopback() || raw.given("public-url").is_some() || provider::is_meant(raw);
    if raw.given("bootstrap").is_none() {
        return Ok(if is_shared {
            BootstrapPolicy::Off
        } else {
            BootstrapPolicy::Loopback
        });
    }
    let policy = choice(
        raw,
        "bootstrap",
        &[
            ("loopback", BootstrapPolicy::Loopback),
            ("any", BootstrapPolicy::Any),
            ("off", BootstrapPolicy::Off),
        ],
    )?;
    // `loopback` beside a public address would be open to whatever stands in front of us.
    Ok(if policy == BootstrapPolicy::Loopback && is_shared {
        BootstrapPolicy::Off
    } else {
        policy
    })
}

fn database_url(raw: &Raw, data_dir: &std::path::Path) -> Result<String, ConfigError> {
    match raw.given("database-url") {
        None => Ok(format!("sqlite:{}", data_dir.join("claviger.db").display())),
        Some(url)
            if ["sqlite:", "postgres://", "postgresql://"]
                .iter()
                .any(|s| url.starts_with(s)) =>
        {
            Ok(url.to_owned())
        }
        Some(_) => Err(raw.bad("database-url", "must begin with `sqlite:` or `postgres://`")),
    }
}

/// Address ranges with commas between.
fn trusted_proxies(raw: &Raw) -> Result<Vec<IpNet>, ConfigError> {
    let Some(text) = raw.given("trusted-proxies") else {
        return Ok(Vec::new());
    };
    let nets = text.split(',').map(|part| {
        let part = part.trim();
        let alone = || part.parse::<std::net::IpAddr>().map(IpNet::from);
        part.parse::<IpNet>()
            .or_else(|_net| alone())
            .map_err(|_neither| {
                raw.bad(
                    "trusted-proxies",
                    format!("`{part}` is no address range, such as 10.0.0.0/8"),
                )
            })
    });
    nets.collect()
}

fn public_url(raw: &Raw) -> Result<Option<String>, ConfigError> {
    let Some(text) = raw.given("public-url") else {
        return Ok(None);
    };
    let fail = || {
        raw.bad(
            "public-url",
            "must be an address such as `https://keys.example.com`",
        )
    };
    let uri: http::Uri = text.parse().map_err(|_bad| fail())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_web || uri.host().is_none() || uri.path() != "/" || uri.query().is_some() {
        return Err(fail());
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

/// `on`, `off`, or the date by which the tier ends.
fn workspace_tokens(raw: &Raw) -> Result<(bool, Timestamp), ConfigError> {
    let announced = "2027-11-30T00:00:00Z".parse().unwrap_or(Timestamp::MAX);
    match raw.get("workspace-tokens") {
        "on" => Ok((true, announced)),
        "off" => Ok((false, announced)),
        text => match text.parse() {
            Ok(date) => Ok((true, date)),
            Err(_) => Err(raw.bad(
                "workspace-tokens",
                "must be `on`, `off`, or the time of their end such as `2027-06-30T00:00:00Z`",
            )),
        },
    }
}

/// A database address without its password.
#[must_use]
pub(crate) fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split_once(':').map_or(login, |(user, _)| user);
            format!("{scheme}://{user}@{place}")
        }
        None => url.to_owned(),
    }
}
