//! `claviger doctor`: what would keep the server from starting, and what makes it weaker.

use std::os::unix::fs::PermissionsExt as _;

use claviger_core::evidence::BootstrapPolicy;
use claviger_store::StoreError;

use crate::{
    admin_token::AdminToken,
    anchors,
    app::open_store,
    clock,
    config::{AuditMode, Config, ProviderKind},
    log_key,
    provider::{Provider, ProviderError},
    seal,
};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// Works, but could be better.
    Warning,
    /// Keeps the server from starting or from being safe.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub what: String,
    /// What was found, and what to do.
    pub detail: String,
}

pub(crate) fn finding(level: Level, what: &str, detail: impl Into<String>) -> Finding {
    Finding {
        level,
        what: what.to_owned(),
        detail: detail.into(),
    }
}

/// Looks at everything that a start would need. The database is opened as a start opens it, which
/// brings its schema up to date; one that a running server holds is left alone.
pub async fn doctor(config: &Config) -> Vec<Finding> {
    let mut findings = vec![admin_token(config), data_dir(config)];
    findings.extend([master_key(config), ledger_key(config)]);
    findings.push(database(config).await);
    findings.extend(anchors::doctor(config).await);
    findings.extend(identity_provider(config).await);
    findings.push(match config.bootstrap {
        BootstrapPolicy::Off => finding(Level::Good, "bootstrap", "off"),
        BootstrapPolicy::Loopback => {
            finding(Level::Good, "bootstrap", "open to programs on this machine until the first key")
        }
        BootstrapPolicy::Any => finding(
            Level::Warning,
            "bootstrap",
            "open to whoever reaches the port until the first key: mint it now, or use `--bootstrap off` with ADMIN_TOKEN",
        ),
    });
    findings.push(match config.audit {
        AuditMode::Relaxed => finding(
            Level::Warning,
            "audit",
            "relaxed: a crash can lose the records of the last milliseconds",
        ),
        AuditMode::Durable => finding(
            Level::Good,
            "audit",
            "durable: nothing that was answered is lost when the process dies",
        ),
        AuditMode::Synced => finding(
            Level::Good,
            "audit",
            "synced: nothing that was answered is lost in a power cut",
        ),
    });
    let is_plain = !config.listen.ip().is_loopback()
        && !config
            .public_url
            .as_ref()
            .is_some_and(|url| url.starts_with("https://"));
    if is_plain {
        findings.push(finding(
            Level::Warning,
            "transport",
            "keys travel in the clear to this address: put TLS in front and set --public-url https://…",
        ));
    }
    findings
}

fn admin_token(config: &Config) -> Finding {
    match AdminToken::new(config) {
        Err(error) => finding(Level::Bad, "ADMIN_TOKEN", error.to_string()),
        Ok(token) if token.is_set() => finding(
            Level::Warning,
            "ADMIN_TOKEN",
            "set: it opens everything; keep it for emergencies and unset it when there are keys",
        ),
        Ok(_) => finding(Level::Good, "ADMIN_TOKEN", "not set"),
    }
}

/// Whether the provider answers, and whether anybody who comes from there has a role.
async fn identity_provider(config: &Config) -> Vec<Finding> {
    let what = "identity provider";
    let Some(settings) = &config.provider else {
        return Vec::new();
    };
    let name = match &settings.kind {
        ProviderKind::Oidc(oidc) => &oidc.issuer_text,
        ProviderKind::Workos(workos) => workos.api_url.as_str(),
    };
    let outcome = match Provider::new(settings) {
        Ok(provider) => provider.probe(clock::now()).await.map(|()| provider),
        Err(error) => Err(error),
    };
    let first = match outcome {
        Ok(provider) => {
            let back = provider.redirect_uri();
            let detail = format!("{name} answers; it must allow the redirect to {back}");
            finding(Level::Good, what, detail)
        }
        Err(error) => {
            // Whoever is down comes back; what does not fit has to be changed.
            let level = match error {
                ProviderError::Unreachable { .. } => Level::Warning,
                ProviderError::Refused(_) | ProviderError::Unfit { .. } => Level::Bad,
            };
            finding(
                level,
                what,
                format!("{name}: {}", error.cause().unwrap_or_default()),
            )
        }
    };
    let has_roles = match &settings.kind {
        ProviderKind::Oidc(oidc) => oidc.role_claim.is_some(),
        ProviderKind::Workos(_) => true,
    };
    let mut findings = vec![first];
    if !has_roles && settings.roles.everybody().is_none() {
        let detail =
            "nobody who signs in has a role: set `oidc-role-claim`, or `roles` to `*=reader`";
        findings.push(finding(Level::Warning, "roles", detail));
    }
    findings
}

fn data_dir(config: &Config) -> Finding {
    let path = config.data_dir.display();
    match std::fs::metadata(&config.data_dir) {
        Ok(metadata) if !metadata.is_dir() => finding(
            Level::Bad,
            "data directory",
            format!("{path} is no directory"),
        ),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => finding(
            Level::Warning,
            "data directory",
            format!("{path} can be entered by others; run: chmod 700 {path}"),
        ),
        Ok(_) => finding(Level::Good, "data directory", format!("{path}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => finding(
            Level::Good,
            "data directory",
            format!("{path} is made on the first start"),
        ),
        Err(error) => finding(
            Level::Bad,
            "data directory",
            format!("cannot read {path}: {error}"),
        ),
    }
}

fn master_key(config: &Config) -> Finding {
    let path = &config.master_key_file;
    if !path.exists() && !config.is_master_key_given {
        return finding(
            Level::Good,
            "master key",
            format!("{} is made on the first start", path.display()),
        );
    }
    match seal::load_master_key(path, false) {
        Ok(_) => finding(Level::Good, "master key", path.display().to_string()),
        Err(error) => finding(Level::Bad, "master key", error.to_string()),
    }
}

fn ledger_key(config: &Config) -> Finding {
    let path = &config.ledger_key_file;
    if !path.exists() && !config.is_ledger_key_given {
        return finding(
            Level::Good,
            "ledger key",
            format!(
                "{} is made on the first start, if nothing was signed yet",
                path.display()
            ),
        );
    }
    match log_key::load(path, false) {
        Ok(_) => finding(Level::Good, "ledger key", path.display().to_string()),
        Err(error) => finding(Level::Bad, "ledger key", error.to_string()),
    }
}

async fn database(config: &Config) -> Finding {
    let what = crate::config::mask(&config.database_url);
    let is_new = config
        .database_url
        .strip_prefix("sqlite:")
        .is_some_and(|path| !std::path::Path::new(path).exists());
    if is_new {
        return finding(
            Level::Good,
            "database",
            format!("{what} is made on the first start"),
        );
    }
    match open_store(config).await {
        Ok(store) => {
            let outcome = store.probe().await;
            store.close().await;
            match outcome {
                Ok(()) => finding(
                    Level::Good,
                    "database",
                    format!("{what} answers and takes writes"),
                ),
                Err(error) => finding(Level::Bad, "database", error.to_string()),
            }
        }
        Err(crate::ServeError::Store(StoreError::InUse(_))) => finding(
            Level::Good,
            "database",
            format!("{what} is served by a running process"),
        ),
        Err(error) => finding(Level::Bad, "database", error.to_string()),
    }
}
