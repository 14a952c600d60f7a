//! Asks the server how the found secrets stand, and lets it end them.
//!
//! This is the one way in which a secret leaves the machine: to the server that made it, in a body.

use std::collections::HashMap;

use claviger_core::digest::Digest;
use claviger_wire::found::{FoundReport, FoundToken, FoundTokens};
use zeroize::Zeroizing;

use super::report::{Finding, Report};
use crate::{
    args::{Global, scan::ScanArgs},
    client::Client,
    commands::block_on,
    error::Failure,
    input,
    output::Output,
};

/// How many secrets the server takes at a time.
const BATCH: usize = 100;
/// How many characters the server takes of where they were found.
const SOURCE_CHARS_MAX: usize = 500;

/// The secrets that were found, each once. They are wiped when they are dropped.
#[derive(Default)]
pub(super) struct Secrets {
    texts: Vec<Zeroizing<String>>,
    places: HashMap<[u8; 32], usize>,
}

impl Secrets {
    /// Keeps a secret; gives its place.
    pub(super) fn keep(&mut self, secret: &[u8]) -> Option<usize> {
        let text = str::from_utf8(secret).ok()?;
        let place = self.places.entry(*Digest::of(secret).as_bytes());
        Some(*place.or_insert_with(|| {
            self.texts.push(Zeroizing::new(text.to_owned()));
            self.texts.len() - 1
        }))
    }
}

/// What is to be asked, and of whom.
pub(super) struct Inquiry<'a> {
    client: Client,
    is_to_revoke: bool,
    is_yes: bool,
    out: &'a Output,
}

impl<'a> Inquiry<'a> {
    /// `None` if nothing is to be asked.
    ///
    /// # Errors
    /// What would keep it from being asked later, when the scan has taken its time.
    pub(super) fn new(
        args: &ScanArgs,
        global: &Global,
        out: &'a Output,
    ) -> Result<Option<Self>, Failure> {
        if !(args.check || args.revoke) {
            return Ok(None);
        }
        if args.revoke && !args.yes && !input::is_terminal() {
            let reason = "--revoke asks before it does so, and nobody can be asked here: add --yes";
            return Err(Failure::Usage(reason.to_owned()));
        }
        let client = Client::new(global, out)?;
        if !client.is_private() && !args.insecure_http {
            return Err(Failure::Usage(format!(
                "{} is plain http: others on the way could read the secrets; use https, or add \
                 --insecure-http if the way is yours",
                client.url()
            )));
        }
        Ok(Some(Self {
            client,
            is_to_revoke: args.revoke,
            is_yes: args.yes,
            out,
        }))
    }

    /// Asks, shows, ends what is to be ended. Whatever happens, the findings are shown.
    pub(super) fn conclude(&self, report: &mut Report, secrets: &Secrets) -> Result<(), Failure> {
        let all: Vec<usize> = (0..secrets.texts.len()).collect();
        let mut asked = self.report(report, secrets, &all, true).map(drop);
        let doomed = doomed(report);
        let mut is_shown = false;
        if asked.is_ok() && self.is_to_revoke && !doomed.is_empty() {
            if !self.is_yes && !self.out.is_json() {
                // Whoever is asked must see about what.
                report.show(self.out)?;
                is_shown = true;
            }
            asked = self.revoke(report, secrets, &doomed);
        }
        if !is_shown {
            report.show(self.out)?;
        }
        asked?;
        report.verdict(self.out)
    }

    fn revoke(
        &self,
        report: &mut Report,
        secrets: &Secrets,
        doomed: &[usize],
    ) -> Result<(), Failure> {
        let count = doomed.len();
        let keys = if count == 1 { "secret" } else { "secrets" };
        let question = format!(
            "Revoke the keys of {count} {keys}, with all that they minted, at {}?",
            self.client.url()
        );
        input::confirm(self.out, &question, self.is_yes)?;
        for token in self.report(report, secrets, doomed, false)? {
            self.out.note(&said(&token));
        }
        Ok(())
    }

    /// Sends the secrets at these places, and notes how they stand.
    fn report(
        &self,
        report: &mut Report,
        secrets: &Secrets,
        places: &[usize],
        is_dry: bool,
    ) -> Result<Vec<FoundToken>, Failure> {
        let mut client = if self.client.has_token() {
            self.client.clone()
        } else {
            self.client.without_credential()?
        };
        let mut told = Vec::new();
        for batch in places.chunks(BATCH) {
            let texts = batch.iter().filter_map(|at| secrets.texts.get(*at));
            let body = FoundReport {
                tokens: texts.map(|text| text.to_string()).collect(),
                source: source(report, batch).filter(|_| !is_dry),
                dry_run: Some(is_dry),
            };
            let answer = self.send(&mut client, &body).map_err(|failure| {
                let advice = failure
                    .advice()
                    .map_or(String::new(), |text| format!("; {text}"));
                let what = if is_dry { "checked" } else { "revoked" };
                Failure::Local(format!(
                    "the secrets that were found could not be {what}: {failure}{advice}"
                ))
            })?;
            for (place, token) in batch.iter().zip(answer.tokens) {
                note(report, *place, &token);
                told.push(token);
            }
        }
        Ok(told)
    }

    /// Sends one batch. A token that is not accepted is left out: none is needed, and it may be one
    /// of those that were found.
    fn send(&self, client: &mut Client, body: &FoundReport) -> Result<FoundTokens, Failure> {
        let ask = |client: &Client| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            block_on(runtime, client.report_found(body))
        };
        let mut answer = ask(client);
        if let Err(Failure::Refused(refusal)) = &answer
            && client.has_token()
            && matches!(refusal.status, 401 | 403)
        {
            let warning = format!("the token is not accepted ({refusal}): asking without it");
            self.out.warning(&warning);
            *client = client.without_credential()?;
            answer = ask(client);
        }
        let answer = answer?;
        if answer.tokens.len() != body.tokens.len() {
            return Err(Failure::Local(format!(
                "{} did not answer for each secret: is it Claviger, and of this version?",
                self.client.url()
            )));
        }
        Ok(answer)
    }
}

/// The places of the secrets that the server has not revoked yet.
fn doomed(report: &Report) -> Vec<usize> {
    let is_alive = |finding: &&Finding| {
        let status = finding.status.as_deref();
        matches!(
            status,
            Some("live" | "suspended" | "expired" | "not_yet_valid")
        )
    };
    let alive = report.findings.iter().filter(is_alive);
    let places: std::collections::BTreeSet<_> = alive.filter_map(|one| one.secret).collect();
    places.into_iter().collect()
}

/// Where these secrets were found, for the audit trail: the first file, and how many others.
fn source(report: &Report, places: &[usize]) -> Option<String> {
    let findings = report.findings.iter();
    let here = findings.filter(|one| one.secret.is_some_and(|at| places.contains(&at)));
    let mut files: Vec<&str> = here.map(|finding| finding.file.as_str()).collect();
    files.dedup();
    let first = files.first()?;
    let others = files.len() - 1;
    let text = match others {
        0 => format!("claviger scan: {first}"),
        1 => format!("claviger scan: {first} and another place"),
        _ => format!("claviger scan: {first} and {others} other places"),
    };
    // The server refuses what cannot be shown; a file may have any name.
    let shown = text.chars().map(|c| if c.is_control() { '?' } else { c });
    let shown: String = shown.take(SOURCE_CHARS_MAX).collect();
    claviger_core::text::parse_name(&shown, SOURCE_CHARS_MAX).ok()
}

fn note(report: &mut Report, place: usize, token: &FoundToken) {
    for finding in &mut report.findings {
        if finding.secret == Some(place) {
            finding.status = Some(token.status.clone());
            finding.token_id.clone_from(&token.token_id);
        }
    }
}

/// What became of a secret, in words.
fn said(token: &FoundToken) -> String {
    let prefix = token.prefix.as_deref().unwrap_or("-");
    let id = token.token_id.as_deref().unwrap_or("-");
    match (token.status.as_str(), token.descendants.unwrap_or(0)) {
        ("revoked", 0) => format!("revoked: {prefix} ({id})"),
        ("revoked", count) => format!("revoked: {prefix} ({id}), and what it minted: {count}"),
        ("ended", _) => {
            format!("ended: {prefix}, a replaced secret of {id}, which lives on with its new one")
        }
        (status, _) => format!("{status}: {prefix} ({id})"),
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[test]
    fn each_secret_is_kept_once() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.keep(b"one"), Some(0));
        assert_eq!(secrets.keep(b"two"), Some(1));
        assert_eq!(secrets.keep(b"one"), Some(0));
        assert_eq!(secrets.keep(b"\xff"), None);
        assert_eq!(secrets.texts.len(), 2);
    }
}
