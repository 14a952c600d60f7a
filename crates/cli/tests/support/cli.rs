//! The client commands of the real binary, as one caller.

use serde_json::Value;

use crate::{
    bed::Bed,
    run::{Ended, run},
    server::Server,
};

/// Speaks to a server as whoever holds the token; without one as nobody.
#[derive(Clone, Debug)]
pub(crate) struct Cli<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl<'a> Cli<'a> {
    pub(crate) fn new(bed: &'a Bed, server: &Server, token: &str) -> Self {
        Self {
            bed,
            url: server.url.clone(),
            token: token.to_owned(),
        }
    }

    /// The same server, another caller.
    pub(crate) fn with(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Runs a command with this on its standard input, however it ends.
    pub(crate) fn run(&self, words: &[&str], input: &str) -> Ended {
        let mut command = self.bed.claviger(words);
        command.env("CLAVIGER_URL", &self.url);
        if !self.token.is_empty() {
            command.env("CLAVIGER_TOKEN", &self.token);
        }
        run(command, input)
    }

    /// Runs a command that must end well; gives its standard output.
    pub(crate) fn text(&self, words: &[&str], input: &str) -> String {
        let ended = self.run(words, input);
        assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.err);
        ended.out
    }

    /// The same with `--json`: one document.
    pub(crate) fn json(&self, words: &[&str], input: &str) -> Value {
        let text = self.text(&[words, &["--json"]].concat(), input);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// Mints a key in a pipe, where standard output is the secret and nothing else.
    pub(crate) fn mint(&self, name: &str) -> String {
        let ended = self.run(&["keys", "mint", name], "");
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let secret = ended.out.strip_suffix('\n').expect("a line");
        assert!(is_secret(secret), "{}", ended.out);
        assert!(!ended.err.contains(secret), "{}", ended.err);
        let warning = "copy this token now; it will not be shown again";
        assert!(ended.err.contains(warning), "{}", ended.err);
        secret.to_owned()
    }
}

/// Whether the text has the shape of an org key's secret.
pub(crate) fn is_secret(text: &str) -> bool {
    let body = text.strip_prefix("mole_").unwrap_or_default();
    text.len() == 54 && body.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The public name of a secret.
pub(crate) fn prefix(secret: &str) -> &str {
    secret.get(..13).unwrap_or_default()
}
