//! Values as they are written: on the command line, in the environment, in `claviger.toml`.

use std::{collections::BTreeMap, path::Path};

use zeroize::Zeroizing;

use super::{ConfigError, provider};

/// What the command line says; `None` where it is silent.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The configuration file.
    pub config: Option<String>,
    /// The address to listen on.
    pub listen: Option<String>,
    /// The directory of the database and the master key.
    pub data_dir: Option<String>,
    /// The database.
    pub database_url: Option<String>,
    /// The file with the master key.
    pub master_key_file: Option<String>,
    /// The file with the keys that sign the audit trail.
    pub ledger_key_file: Option<String>,
    /// Whether to go on with keys that have not signed the audit trail before: for one start, so it is
    /// no setting.
    pub accepts_ledger_key: bool,
    /// Who may use tier 0.
    pub bootstrap: Option<String>,
    /// When a request's record must be safe.
    pub audit: Option<String>,
    /// How log lines look.
    pub log_format: Option<String>,
    /// The address by which others reach this server.
    pub public_url: Option<String>,
    /// The address for operation routes.
    pub metrics_listen: Option<String>,
    /// Whether tier 3 is on, or until when.
    pub workspace_tokens: Option<String>,
    /// The proxies whose word on the caller's address is taken.
    pub trusted_proxies: Option<String>,
    /// Mints per key or person in a minute.
    pub mints_per_minute: Option<String>,
    /// After how long without a use a person's session ends.
    pub session_idle: Option<String>,
    /// How long a person's session lasts at most.
    pub session_max: Option<String>,
    /// The letters that a key begins with.
    pub brand: Option<String>,
    /// Whether reports of GitHub's secret scanning are taken, and where its keys come from.
    pub github_secret_scanning: Option<String>,
    /// Where checkpoints are kept outside the database.
    pub anchors: AnchorFlags,
    /// Whether to go on with a database that is behind what was anchored: for one start, so it is no
    /// setting.
    pub accepts_rollback: bool,
    /// Where records are sent.
    pub siem: SiemFlags,
    /// Where people sign in.
    pub provider: ProviderFlags,
}

/// What the command line says of anchors.
#[derive(Debug, Clone, Default)]
pub struct AnchorFlags {
    /// The file.
    pub file: Option<String>,
    /// The address that takes them.
    pub webhook: Option<String>,
    /// The witnesses, with commas between.
    pub witness: Option<String>,
    /// How often.
    pub every: Option<String>,
}

/// What the command line says of receivers of records.
#[derive(Debug, Clone, Default)]
pub struct SiemFlags {
    /// Receivers of syslog, with commas between.
    pub syslog: Option<String>,
    /// Receivers of OTLP logs, with commas between.
    pub otlp_logs: Option<String>,
    /// Which records.
    pub records: Option<String>,
    /// The authorities that receivers are believed by.
    pub ca_file: Option<String>,
    /// The file with headers for receivers of OTLP.
    pub otlp_headers_file: Option<String>,
    /// The enterprise number in structured data.
    pub enterprise: Option<String>,
}

/// What the command line says of the identity provider.
#[derive(Debug, Clone, Default)]
pub struct ProviderFlags {
    /// The issuer of an OIDC provider.
    pub oidc_issuer: Option<String>,
    /// Our id there.
    pub oidc_client_id: Option<String>,
    /// The claim that names the org.
    pub oidc_org_claim: Option<String>,
    /// The claim that names the roles.
    pub oidc_role_claim: Option<String>,
    /// The audience of access tokens.
    pub oidc_audience: Option<String>,
    /// What is asked for.
    pub oidc_scopes: Option<String>,
    /// The client of a `WorkOS` environment.
    pub workos_client_id: Option<String>,
    /// Where the API of `WorkOS` is.
    pub workos_api_url: Option<String>,
    /// What the issuer in tokens of `WorkOS` may be.
    pub workos_issuer: Option<String>,
    /// Which role each role of the provider comes to.
    pub roles: Option<String>,
    /// Which org each org of the provider comes to.
    pub orgs: Option<String>,
}

/// A setting in force.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name, as the flag without dashes.
    pub name: &'static str,
    /// Its value; secrets are masked.
    pub value: String,
    /// `flag`, `environment NAME`, a file, or `default`.
    pub source: String,
}

/// The settings by name: the flag, the environment variable, the default.
pub(super) const SETTINGS: &[(&str, &str, &str)] = &[
    ("listen", "CLAVIGER_LISTEN", "127.0.0.1:8080"),
    ("data-dir", "CLAVIGER_DATA_DIR", "./claviger-data"),
    ("database-url", "CLAVIGER_DATABASE_URL", ""),
    ("master-key-file", "CLAVIGER_MASTER_KEY_FILE", ""),
    ("ledger-key-file", "CLAVIGER_LEDGER_KEY_FILE", ""),
    ("bootstrap", "CLAVIGER_BOOTSTRAP", ""),
    ("audit", "CLAVIGER_AUDIT", "durable"),
    ("log-format", "CLAVIGER_LOG_FORMAT", "text"),
    ("public-url", "CLAVIGER_PUBLIC_URL", ""),
    ("metrics-listen", "CLAVIGER_METRICS_LISTEN", ""),
    ("workspace-tokens", "CLAVIGER_WORKSPACE_TOKENS", "on"),
    ("trusted-proxies", "CLAVIGER_TRUSTED_PROXIES", ""),
    ("mints-per-minute", "CLAVIGER_MINTS_PER_MINUTE", "600"),
    ("session-idle", "CLAVIGER_SESSION_IDLE", "2h"),
    ("session-max", "CLAVIGER_SESSION_MAX", "24h"),
    ("brand", "CLAVIGER_BRAND", "mole"),
    (
        "github-secret-scanning",
        "CLAVIGER_GITHUB_SECRET_SCANNING",
        "off",
    ),
    ("anchor-file", "CLAVIGER_ANCHOR_FILE", ""),
    ("anchor-webhook", "CLAVIGER_ANCHOR_WEBHOOK", ""),
    (
        "anchor-webhook-secret",
        "CLAVIGER_ANCHOR_WEBHOOK_SECRET",
        "",
    ),
    (
        "anchor-webhook-secret-file",
        "CLAVIGER_ANCHOR_WEBHOOK_SECRET_FILE",
        "",
    ),
    ("witness", "CLAVIGER_WITNESS", ""),
    ("anchor-every", "CLAVIGER_ANCHOR_EVERY", "1m"),
    ("syslog", "CLAVIGER_SYSLOG", ""),
    ("otlp-logs", "CLAVIGER_OTLP_LOGS", ""),
    ("siem-records", "CLAVIGER_SIEM_RECORDS", "all"),
    ("siem-ca-file", "CLAVIGER_SIEM_CA_FILE", ""),
    ("otlp-headers-file", "CLAVIGER_OTLP_HEADERS_FILE", ""),
    ("syslog-enterprise", "CLAVIGER_SYSLOG_ENTERPRISE", "32473"),
    ("oidc-issuer", "CLAVIGER_OIDC_ISSUER", ""),
    ("oidc-client-id", "CLAVIGER_OIDC_CLIENT_ID", ""),
    ("oidc-client-secret", "CLAVIGER_OIDC_CLIENT_SECRET", ""),
    (
        "oidc-client-secret-file",
        "CLAVIGER_OIDC_CLIENT_SECRET_FILE",
        "",
    ),
    ("oidc-org-claim", "CLAVIGER_OIDC_ORG_CLAIM", ""),
    ("oidc-role-claim", "CLAVIGER_OIDC_ROLE_CLAIM", ""),
    ("oidc-audience", "CLAVIGER_OIDC_AUDIENCE", ""),
    ("oidc-scopes", "CLAVIGER_OIDC_SCOPES", ""),
    ("workos-api-key", "WORKOS_API_KEY", ""),
    ("workos-api-key-file", "WORKOS_API_KEY_FILE", ""),
    ("workos-client-id", "WORKOS_CLIENT_ID", ""),
    ("workos-api-url", "WORKOS_API_URL", ""),
    ("workos-issuer", "WORKOS_ISSUER", ""),
    ("roles", "CLAVIGER_ROLES", ""),
    ("orgs", "CLAVIGER_ORGS", ""),
    ("admin-token", "ADMIN_TOKEN", ""),
    ("admin-token-file", "ADMIN_TOKEN_FILE", ""),
];

/// Every value with its source.
#[derive(Clone)]
pub(super) struct Raw {
    values: BTreeMap<&'static str, (Zeroizing<String>, String)>,
}

impl Raw {
    /// Collects the values.
    pub(super) fn collect(flags: &Flags) -> Result<Self, ConfigError> {
        let file = read_file(flags)?;
        let mut values = BTreeMap::new();
        for &(name, variable, default) in SETTINGS {
            let found = if let Some(value) = flag(flags, name) {
                (Zeroizing::new(value.clone()), "flag".to_owned())
            } else if let Some(value) = variable_value(variable) {
                (Zeroizing::new(value), format!("environment {variable}"))
            } else if let Some((value, path)) = file.get(name) {
                (Zeroizing::new(value.clone()), path.clone())
            } else {
                (Zeroizing::new(default.to_owned()), "default".to_owned())
            };
            values.insert(name, found);
        }
        Ok(Self { values })
    }

    /// The value of a setting; empty for none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.values
            .get(name)
            .map_or("", |(value, _)| value.as_str())
    }

    /// The value of a setting, if there is one.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// Where the value came from.
    pub(super) fn source(&self, name: &str) -> String {
        self.values
            .get(name)
            .map_or_else(String::new, |(_, source)| source.clone())
    }

    /// An error about a setting.
    pub(super) fn bad(&self, name: &'static str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Bad {
            name,
            source_name: self.source(name),
            reason: reason.into(),
        }
    }
}

fn flag<'a>(flags: &'a Flags, name: &str) -> Option<&'a String> {
    match name {
        "listen" => flags.listen.as_ref(),
        "data-dir" => flags.data_dir.as_ref(),
        "database-url" => flags.database_url.as_ref(),
        "master-key-file" => flags.master_key_file.as_ref(),
        "ledger-key-file" => flags.ledger_key_file.as_ref(),
        "bootstrap" => flags.bootstrap.as_ref(),
        "audit" => flags.audit.as_ref(),
        "log-format" => flags.log_format.as_ref(),
        "public-url" => flags.public_url.as_ref(),
        "metrics-listen" => flags.metrics_listen.as_ref(),
        "workspace-tokens" => flags.workspace_tokens.as_ref(),
        "trusted-proxies" => flags.trusted_proxies.as_ref(),
        "mints-per-minute" => flags.mints_per_minute.as_ref(),
        "session-idle" => flags.session_idle.as_ref(),
        "session-max" => flags.session_max.as_ref(),
        "brand" => flags.brand.as_ref(),
        "github-secret-scanning" => flags.github_secret_scanning.as_ref(),
        "anchor-file" => flags.anchors.file.as_ref(),
        "anchor-webhook" => flags.anchors.webhook.as_ref(),
        "witness" => flags.anchors.witness.as_ref(),
        "anchor-every" => flags.anchors.every.as_ref(),
        "syslog" => flags.siem.syslog.as_ref(),
        "otlp-logs" => flags.siem.otlp_logs.as_ref(),
        "siem-records" => flags.siem.records.as_ref(),
        "siem-ca-file" => flags.siem.ca_file.as_ref(),
        "otlp-headers-file" => flags.siem.otlp_headers_file.as_ref(),
        "syslog-enterprise" => flags.siem.enterprise.as_ref(),
        "oidc-issuer" => flags.provider.oidc_issuer.as_ref(),
        "oidc-client-id" => flags.provider.oidc_client_id.as_ref(),
        "oidc-org-claim" => flags.provider.oidc_org_claim.as_ref(),
        "oidc-role-claim" => flags.provider.oidc_role_claim.as_ref(),
        "oidc-audience" => flags.provider.oidc_audience.as_ref(),
        "oidc-scopes" => flags.provider.oidc_scopes.as_ref(),
        "workos-client-id" => flags.provider.workos_client_id.as_ref(),
        "workos-api-url" => flags.provider.workos_api_url.as_ref(),
        "workos-issuer" => flags.provider.workos_issuer.as_ref(),
        "roles" => flags.provider.roles.as_ref(),
        "orgs" => flags.provider.orgs.as_ref(),
        // A secret on a command line is in every process list: these have no flag.
        _ => None,
    }
}

/// Settings of `claviger.toml`: the one that is named, or the one in this directory if there is one.
fn read_file(flags: &Flags) -> Result<BTreeMap<String, (String, String)>, ConfigError> {
    let named = flags
        .config
        .clone()
        .or_else(|| variable_value("CLAVIGER_CONFIG"));
    let path = named.clone().unwrap_or_else(|| "claviger.toml".to_owned());
    if named.is_none() && !Path::new(&path).exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::File {
        path: path.clone(),
        source,
    })?;
    let fail = |reason: String| ConfigError::Toml {
        path: path.clone(),
        reason,
    };
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| fail(error.to_string()))?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        if !SETTINGS.iter().any(|(name, ..)| *name == key) {
            let names: Vec<_> = SETTINGS.iter().map(|(name, ..)| *name).collect();
            return Err(fail(format!(
                "unknown setting `{key}`; there are {}",
                names.join(", ")
            )));
        }
        if key == "admin-token" {
            return Err(fail(
                "write the path of a file as `admin-token-file`".to_owned(),
            ));
        }
        if provider::SECRETS.contains(&key.as_str()) {
            return Err(fail(format!("write the path of a file as `{key}-file`")));
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(true) => "on".to_owned(),
            toml::Value::Boolean(false) => "off".to_owned(),
            _ => return Err(fail(format!("`{key}` must be a string"))),
        };
        values.insert(key, (text, path.clone()));
    }
    Ok(values)
}

fn variable_value(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the client commands read from the environment.
pub struct ClientEnv {
    /// `CLAVIGER_URL`.
    pub url: Option<String>,
    /// `CLAVIGER_TOKEN`.
    pub token: Option<Zeroizing<String>>,
    /// `CLAVIGER_ORG`.
    pub org: Option<String>,
}

impl std::fmt::Debug for ClientEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientEnv")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Reads the environment for the client commands.
#[must_use]
pub fn client_env() -> ClientEnv {
    ClientEnv {
        url: variable_value("CLAVIGER_URL"),
        token: variable_value("CLAVIGER_TOKEN").map(Zeroizing::new),
        org: variable_value("CLAVIGER_ORG"),
    }
}
