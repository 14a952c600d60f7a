//! `/integrations/github/secret-scanning`: the partner protocol of GitHub's secret scanning.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_core::{action::ReportFound, digest::Digest, text::parse_name};
use claviger_wire::github as wire;
use http::StatusCode;

use super::found::SOURCE_CHARS_MAX;
use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    github::Signature,
    ops::found::{self, Find, Report, Reported},
};

/// The most matches in one report.
const MATCHES_MAX: usize = 1000;

/// `POST /integrations/github/secret-scanning`.
///
/// # Errors
/// 404 unless it is turned on, 403 for what GitHub did not sign, 400 or 422 for a body that cannot be
/// used, 429, and as [`found::report`].
pub async fn report(mut call: Call<ReportFound>) -> Result<Reply, Failure> {
    let app = std::sync::Arc::clone(&call.app);
    let Some(keys) = &app.reports.github else {
        return Err(Failure::NoRoute);
    };
    let client = call.trace.client;
    app.reports.github_callers.check(client, clock::now())?;
    let proven = async {
        let signature = Signature::of(&call.headers)?;
        let body = call.bytes().await?;
        keys.verify(&signature, &body).await?;
        Ok(body)
    };
    let body = match proven.await {
        Ok(body) => body,
        Err(failure) => {
            app.metrics.note_github_report("refused");
            tracing::warn!(%client, reason = %failure, "a report in GitHub's name was refused");
            return Err(failure);
        }
    };
    app.metrics.note_github_report("verified");
    let matches = parse(&body)?;
    tracing::info!(
        count = matches.len(),
        "a report of GitHub's secret scanning"
    );
    take(call, matches).await
}

fn parse(body: &[u8]) -> Result<Vec<wire::GithubMatch>, Failure> {
    let wire::GithubMatches(matches) = serde_json::from_slice(body).map_err(|error| {
        // Not its words: they may quote a secret.
        Failure::Malformed {
            code: if error.is_data() {
                "bad_field"
            } else {
                "bad_json"
            },
            field: None,
            reason: format!(
                "the body is no list of matches with `token` and `type`: line {}, column {}",
                error.line(),
                error.column()
            ),
        }
    })?;
    if matches.len() > MATCHES_MAX {
        let reason = format!("has more than {MATCHES_MAX} matches");
        return Err(Failure::out_of_range("body", reason));
    }
    Ok(matches)
}

/// Ends what was found, and says of each match whether it was ours.
async fn take(call: Call<ReportFound>, matches: Vec<wire::GithubMatch>) -> Result<Reply, Failure> {
    let finds = matches.iter().map(|found| Find {
        text: found.token.clone(),
        source: source(found),
    });
    let report = Report {
        finds: finds.collect(),
        finder: Some("GitHub"),
        is_dry: false,
    };
    let reported = found::report(&call.app, &call.permit, report, &call.trace).await?;
    let Reported { outcomes, receipt } = reported;
    let verdicts = matches.iter().zip(&outcomes).map(|(found, outcome)| {
        let is_ours = outcome.status.is_ours();
        wire::GithubVerdict {
            token_hash: STANDARD.encode(Digest::of(found.token.as_bytes()).as_bytes()),
            token_type: found.kind.clone(),
            label: if is_ours {
                "true_positive"
            } else {
                "false_positive"
            }
            .to_owned(),
        }
    });
    let answer = wire::GithubVerdicts(verdicts.collect());
    let reply = Reply::json(StatusCode::OK, &answer);
    Ok(match receipt {
        Some(receipt) => reply.written(receipt),
        None => reply,
    })
}

/// Where it was found, cut to what is kept; nothing rather than a text that cannot be shown.
fn source(found: &wire::GithubMatch) -> Option<String> {
    let url: String = found
        .url
        .as_deref()?
        .chars()
        .take(SOURCE_CHARS_MAX)
        .collect();
    parse_name(&url, SOURCE_CHARS_MAX).ok()
}
