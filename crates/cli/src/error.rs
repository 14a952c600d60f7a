//! What can go wrong in a command, what to do about it, and the exit code that says so.

use std::{io, process::ExitCode};

use claviger_wire::problem::Problem;

/// How the program ends. `--help` and the man page list the same codes, from [`EXIT_HELP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// Something failed that has no code of its own.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// 401.
    Unauthenticated,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 503, or no connection.
    Unavailable,
    /// A scan found secrets. The numbers below are about the answers of a server.
    SecretsFound,
    /// A scan found secrets that are accepted.
    LiveSecretsFound,
    /// A verification did not prove all of an export.
    Unproved,
    /// What was to be verified cannot be read.
    Unreadable,
    /// The database is behind what was anchored.
    RolledBack,
}

/// The exit codes and the variables, for the end of `--help` and of the man page.
pub(crate) const EXIT_HELP: &str = "\
Environment:
  CLAVIGER_URL    the server that the client commands speak to
  CLAVIGER_TOKEN  the credential that they present; never an argument, which others could see
  CLAVIGER_ORG    the org that ADMIN_TOKEN acts on
  NO_COLOR        if set, no colour

Exit codes:
  0  done
  1  failed
  2  usage: the command line or the configuration is wrong
  3  unauthenticated (401)
  4  forbidden (403)
  5  not found (404)
  6  conflict (409)
  7  unavailable (502, 503, 504 or no connection)
  10  secrets found (scan)
  11  live secrets found (scan --check)
  12  not all is proved (audit verify)
  13  the export, a key or an anchor cannot be read (audit verify)
  14  the database is behind what was anchored of its audit trails (serve)";

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unauthenticated => 3,
            Self::Forbidden => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Unavailable => 7,
            Self::SecretsFound => 10,
            Self::LiveSecretsFound => 11,
            Self::Unproved => 12,
            Self::Unreadable => 13,
            Self::RolledBack => 14,
        }
    }

    /// The code for an HTTP status that is no success.
    const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            502..=504 => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line or the configuration is wrong: the whole sentence.
    #[error("{0}")]
    Usage(String),
    /// Something failed on this side: the whole sentence.
    #[error("{0}")]
    Local(String),
    /// What was asked for is not in the answer: the whole sentence.
    #[error("{0}")]
    Missing(String),
    /// The server refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No connection could be made.
    #[error("no connection to {url}: {cause}")]
    NoConnection {
        /// The server.
        url: String,
        /// Why not.
        cause: String,
    },
    /// The request may have been carried out, but its answer did not arrive.
    #[error("no whole answer from {url}: {cause}")]
    NoAnswer {
        /// The server.
        url: String,
        /// Why not.
        cause: String,
    },
    /// A scan found so many secrets, and has listed them.
    #[error("secrets found: {0}")]
    SecretsFound(usize),
    /// A scan found so many secrets, and the server says that it accepts none of them.
    #[error("secrets found: {0}, none of them live")]
    DeadSecretsFound(usize),
    /// A scan found so many secrets, and so many of them are accepted by the server.
    #[error("secrets found: {found}, and live ones among them: {live}")]
    LiveSecretsFound {
        /// Places.
        found: usize,
        /// Those of them with a secret that is live.
        live: usize,
    },
    /// A verification found so much, and has listed it.
    #[error("not all is proved; findings: {0}")]
    Unproved(u64),
    /// What was to be verified cannot be read: the whole sentence.
    #[error("{0}")]
    Unreadable(String),
    /// The database is behind what was anchored: the whole sentence.
    #[error("{0}")]
    RolledBack(String),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// Whoever read the output has gone away (`| head`): no reason to complain.
    #[error("nobody reads the output any more")]
    Closed,
}

impl From<io::Error> for Failure {
    /// For errors of writing to standard output.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Output(error)
        }
    }
}

/// An answer that is no success.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What the server said, if it was Claviger that answered.
    pub(crate) problem: Option<Problem>,
    /// Where a redirect points to.
    pub(crate) location: Option<String>,
    /// The server.
    pub(crate) url: String,
    /// Whether the request carried a credential.
    pub(crate) has_token: bool,
}

impl Refusal {
    fn sentence(&self) -> String {
        match (&self.problem, &self.location) {
            (Some(problem), _) => format!("{} ({})", problem.detail, problem.code),
            (None, Some(location)) => {
                format!(
                    "{} answered {} and points to {location}",
                    self.url, self.status
                )
            }
            (None, None) => {
                format!("{} answered {} without saying why", self.url, self.status)
            }
        }
    }

    /// Whether the org's policy, and not the token, is what stands in the way.
    fn is_about_policy(&self) -> bool {
        let code = self.problem.as_ref().map_or("", |problem| &problem.code);
        code.starts_with("policy_") || code == "beyond_policy"
    }

    fn advice(&self) -> Option<String> {
        let request = self
            .problem
            .as_ref()
            .map(|problem| problem.request_id.as_str());
        let minted = self
            .problem
            .as_ref()
            .and_then(|problem| problem.token_id.as_deref());
        let advice = match self.status {
            300..=399 => "redirects are not followed, because the token would travel along; \
                          give the final address with --url or CLAVIGER_URL"
                .to_owned(),
            401 if self.has_token => "the token was presented and not accepted; put a valid one \
                                      into CLAVIGER_TOKEN, or name a file with --token-file"
                .to_owned(),
            401 => "no token was presented; put one into CLAVIGER_TOKEN \
                    (export CLAVIGER_TOKEN=...), or name a file with --token-file"
                .to_owned(),
            403 if self.is_about_policy() => {
                "`claviger policy show` shows what the org asks of its \
                                             keys; `claviger requests ask` asks for more"
                    .to_owned()
            }
            403 => "`claviger whoami` shows what this token may do; ask for one that may do this"
                .to_owned(),
            404 => "check the id with the matching `list` command, and the org with \
                    `claviger whoami`; ADMIN_TOKEN picks its org with --org"
                .to_owned(),
            409 => {
                let id = minted?;
                format!(
                    "an earlier mint with this idempotency key made {id}; its secret is not shown \
                     again: if it is lost, `claviger keys revoke {id}` and mint another"
                )
            }
            429 => "wait a moment and try again".to_owned(),
            502..=504 => format!(
                "the server cannot answer just now; try again, and see {}/readyz",
                self.url.trim_end_matches('/')
            ),
            500.. => format!("the server's log has more under request id {}", request?),
            _ => return None,
        };
        Some(advice)
    }
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Local(_) | Self::Output(_) => Exit::Failed,
            Self::Missing(_) => Exit::NotFound,
            Self::Refused(refusal) => Exit::of_status(refusal.status),
            Self::NoConnection { .. } | Self::NoAnswer { .. } => Exit::Unavailable,
            Self::SecretsFound(_) | Self::DeadSecretsFound(_) => Exit::SecretsFound,
            Self::LiveSecretsFound { .. } => Exit::LiveSecretsFound,
            Self::Unproved(_) => Exit::Unproved,
            Self::Unreadable(_) => Exit::Unreadable,
            Self::RolledBack(_) => Exit::RolledBack,
            Self::Closed => Exit::Done,
        }
    }

    /// What to do next, where there is something to say.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.advice(),
            Self::NoConnection { .. } => Some(
                "is the server running, and is this its address? start it with `claviger serve`, \
                 or give another address with --url or CLAVIGER_URL"
                    .to_owned(),
            ),
            Self::NoAnswer { .. } => Some(
                "try again; after a change, look first whether it was carried out (to repeat a \
                 revocation is safe)"
                    .to_owned(),
            ),
            Self::SecretsFound(_) => Some(
                "to take them out is not enough, for others may have read them: replace and revoke \
                 each key; `claviger keys list --all --q PREFIX` tells whose it is"
                    .to_owned(),
            ),
            Self::DeadSecretsFound(_) => Some(
                "take them out, replace what was revoked, and see what it did: `claviger audit query \
                 --token ID`; --except PREFIX leaves out what stays in the history"
                    .to_owned(),
            ),
            Self::LiveSecretsFound { .. } => Some(
                "each opens something for whoever reads it: `claviger scan --revoke` ends them, or \
                 rotate each key without an overlap"
                    .to_owned(),
            ),
            Self::Unproved(_) => Some(
                "keep the export, its checkpoint and the anchors as they are: together they are the \
                 evidence"
                    .to_owned(),
            ),
            Self::Usage(_)
            | Self::Local(_)
            | Self::Missing(_)
            | Self::Unreadable(_)
            | Self::RolledBack(_)
            | Self::Output(_)
            | Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use claviger_wire::problem::Problem;

    use super::{EXIT_HELP, Exit, Failure, Refusal};

    fn refused(status: u16, has_problem: bool) -> Failure {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: "x".to_owned(),
            status,
            code: "missing_permission".to_owned(),
            detail: "key lacks permission `secrets:reveal`".to_owned(),
            field: None,
            token_id: Some("tok_1".to_owned()),
            request_id: "evt_1".to_owned(),
        };
        Failure::Refused(Box::new(Refusal {
            status,
            problem: has_problem.then_some(problem),
            location: None,
            url: "http://127.0.0.1:8080/".to_owned(),
            has_token: true,
        }))
    }

    #[test]
    fn statuses_have_their_exit_codes() {
        let expected = [
            (400, 1),
            (401, 3),
            (403, 4),
            (404, 5),
            (409, 6),
            (422, 1),
            (429, 1),
            (500, 1),
            (502, 7),
            (503, 7),
            (504, 7),
            (302, 1),
        ];
        for (status, code) in expected {
            assert_eq!(refused(status, true).exit().code(), code, "status {status}");
        }
    }

    #[test]
    fn other_failures_have_their_exit_codes() {
        let no_connection = Failure::NoConnection {
            url: "http://x".to_owned(),
            cause: "refused".to_owned(),
        };
        assert_eq!(no_connection.exit(), Exit::Unavailable);
        assert_eq!(Failure::Usage("x".to_owned()).exit(), Exit::Usage);
        assert_eq!(Failure::Local("x".to_owned()).exit(), Exit::Failed);
        assert_eq!(Failure::SecretsFound(1).exit().code(), 10);
        assert_eq!(Failure::DeadSecretsFound(1).exit().code(), 10);
        assert_eq!(Failure::Unproved(1).exit().code(), 12);
        assert_eq!(Failure::Unreadable("x".to_owned()).exit().code(), 13);
        assert_eq!(Failure::RolledBack("x".to_owned()).exit().code(), 14);
        let live = Failure::LiveSecretsFound { found: 2, live: 1 };
        assert_eq!(live.exit().code(), 11);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit(), Exit::Failed);
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.exit(), Exit::Done);
    }

    #[test]
    fn help_lists_every_exit_code() {
        let words = [
            (Exit::Done, "done"),
            (Exit::Failed, "failed"),
            (Exit::Usage, "usage"),
            (Exit::Unauthenticated, "unauthenticated (401)"),
            (Exit::Forbidden, "forbidden (403)"),
            (Exit::NotFound, "not found (404)"),
            (Exit::Conflict, "conflict (409)"),
            (Exit::Unavailable, "unavailable"),
            (Exit::SecretsFound, "secrets found (scan)"),
            (Exit::LiveSecretsFound, "live secrets found (scan --check)"),
            (Exit::Unproved, "not all is proved (audit verify)"),
            (
                Exit::Unreadable,
                "the export, a key or an anchor cannot be read",
            ),
            (Exit::RolledBack, "the database is behind what was anchored"),
        ];
        for (exit, word) in words {
            let line = format!("\n  {}  {word}", exit.code());
            assert!(EXIT_HELP.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_refusal_says_detail_and_code() {
        let said = refused(403, true).to_string();
        assert_eq!(
            said,
            "key lacks permission `secrets:reveal` (missing_permission)"
        );
        let said = refused(502, false).to_string();
        assert_eq!(
            said,
            "http://127.0.0.1:8080/ answered 502 without saying why"
        );
    }

    #[test]
    fn advice_is_given_where_there_is_some() {
        for status in [302, 401, 403, 404, 409, 429, 500, 503] {
            assert!(refused(status, true).advice().is_some(), "status {status}");
        }
        assert_eq!(refused(422, true).advice(), None);
        assert_eq!(refused(409, false).advice(), None);
    }
}
