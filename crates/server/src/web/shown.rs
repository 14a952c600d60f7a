//! A secret on the one page that shows it, with what it is good for.

use claviger_core::token::Secret;

/// A secret, a line for a file of variables, and a call that works as it stands.
///
/// It can be neither copied nor printed by accident.
pub(super) struct Shown {
    /// Whose it is.
    pub(super) label: String,
    pub(super) secret: String,
    pub(super) env_line: String,
    pub(super) curl: String,
}

impl Shown {
    /// The secret of what has this name, on the service at this address.
    pub(super) fn of(secret: &Secret, name: &str, url: &str) -> Self {
        let secret = secret.expose();
        Self {
            label: name.to_owned(),
            secret: secret.to_owned(),
            env_line: format!("CLAVIGER_TOKEN={secret}"),
            curl: format!("curl -sS {url}/org/whoami \\\n  -H 'Authorization: Bearer {secret}'"),
        }
    }
}
