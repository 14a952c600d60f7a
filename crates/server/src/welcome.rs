//! What `serve` says when it is ready: where it is, which tier is open, and the next command.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    sync::Arc,
};

use crate::{app::App, config::mask, ops::sign_ins};

/// Prints it on standard error: standard output is for audit lines.
pub(crate) async fn print(app: &Arc<App>, address: SocketAddr) {
    let err = std::io::stderr();
    let is_terminal = err.is_terminal();
    let (bold, plain) = if is_terminal {
        ("\u{1b}[1m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    let base = app.config.public_url.clone().unwrap_or_else(|| {
        let host = if address.ip().is_unspecified() {
            "127.0.0.1".to_owned()
        } else {
            address.ip().to_string()
        };
        let host = if address.is_ipv6() && host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        format!("http://{host}:{}", address.port())
    });
    let mint = |auth: &str| {
        format!(
            "  curl -sX POST {base}/org/tokens{auth} -H 'Content-Type: application/json' -d '{{\"name\": \"my-first-key\"}}'"
        )
    };
    let admin = match &app.config.admin_token_file {
        Some(file) => format!("$(cat {})", file.display()),
        None => "$ADMIN_TOKEN".to_owned(),
    };
    let state = if app.admin_token.is_set() {
        format!(
            "ADMIN_TOKEN (tier 2b) is set. Mint a key with it:\n\n{}\n",
            mint(&format!(" -H \"Authorization: Bearer {admin}\""))
        )
    } else if app.bootstrap.is_open() {
        format!(
            "Tier 0 is open: no key exists yet, and a program on this machine needs no credential.\nMint the first key, which closes tier 0 for good:\n\n{bold}{}{plain}\n\nThen use it:\n\n  curl -s {base}/org/whoami -H 'Authorization: Bearer mole_…'\n",
            mint("")
        )
    } else if app.has_keys() {
        "Org API keys (tier 2a) are accepted: Authorization: Bearer mole_…\n".to_owned()
    } else {
        "No tier is open: there is no key, tier 0 is closed, and ADMIN_TOKEN is not set.\nStart again with ADMIN_TOKEN to mint a key; make one with: openssl rand -hex 32\n".to_owned()
    };
    let canvas = canvas(app, &base, is_terminal).await;
    let text = format!(
        "\n{bold}Claviger {}{plain} listens on {bold}{base}{plain}\n\n  canvas    {base}/canvas\n  database  {}\n  audit     {}\n  reference {base}/docs\n\n{canvas}{state}\n",
        env!("CARGO_PKG_VERSION"),
        mask(&app.config.database_url),
        match app.config.audit {
            crate::config::AuditMode::Relaxed =>
                "relaxed: answered first, recorded within milliseconds",
            crate::config::AuditMode::Durable => "durable: recorded before the answer",
            crate::config::AuditMode::Synced => "synced: on the disk before the answer",
        },
    );
    // A closed standard error must not stop the server.
    err.lock().write_all(text.as_bytes()).unwrap_or_default();
}

/// How to get into the Canvas. A link is for the eyes of whoever started the server, so a log gets
/// none.
async fn canvas(app: &Arc<App>, base: &str, is_terminal: bool) -> String {
    if app.has_provider() {
        return String::new();
    }
    if !is_terminal {
        return "Sign in to the Canvas with a one-time link: claviger login-link\n\n".to_owned();
    }
    match sign_ins::console_link(app).await {
        Ok(link) => format!(
            "Sign in to the Canvas, once, within ten minutes:\n\n  {base}/canvas/link#{}\n\n",
            *link.token
        ),
        Err(error) => {
            tracing::warn!(%error, "cannot make a sign-in link; try: claviger login-link");
            String::new()
        }
    }
}
