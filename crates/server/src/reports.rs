//! What bounds and proves the reports of found secrets.

use crate::{config::GithubKeySource, github::GithubKeys, stranger_limiter::StrangerLimiter};

/// Calls to `POST /org/tokens/found` in a minute, for each address without a credential.
const FOUND_PER_MINUTE: u32 = 60;
/// Calls in GitHub's name in a minute, for each address: it has few, and may have much to say.
const GITHUB_PER_MINUTE: u32 = 600;

/// The state behind the routes that take reports.
#[derive(Debug)]
pub(crate) struct Reports {
    /// The limit of strangers.
    pub(crate) strangers: StrangerLimiter,
    /// The limit of what comes in GitHub's name.
    pub(crate) github_callers: StrangerLimiter,
    /// GitHub's keys; `None` if its reports are not taken.
    pub(crate) github: Option<GithubKeys>,
}

impl Reports {
    /// With GitHub's reports if their keys have a source.
    pub(crate) fn new(github: Option<&GithubKeySource>) -> Self {
        Self {
            strangers: StrangerLimiter::new(FOUND_PER_MINUTE),
            github_callers: StrangerLimiter::new(GITHUB_PER_MINUTE),
            github: github.cloned().map(GithubKeys::new),
        }
    }
}
