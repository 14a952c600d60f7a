//! `/org/tokens/found`.

use claviger_core::{
    action::ReportFound, evidence::Brands, scan::redact, text::parse_name, tier::Tier,
};
use claviger_wire::found as wire;
use http::StatusCode;

use crate::{
    clock,
    failure::Failure,
    gate::{Call, Reply},
    ops::found::{self, Find, Outcome, Report},
};

/// The most secrets in one report.
const TOKENS_MAX: usize = 100;
/// The longest text that says where they were found, in characters.
pub(super) const SOURCE_CHARS_MAX: usize = 500;

/// `POST /org/tokens/found`.
///
/// # Errors
/// 400 or 422 for a body that cannot be used, 429 beyond the limit of strangers, and as
/// [`found::report`].
pub async fn report(mut call: Call<ReportFound>) -> Result<Reply, Failure> {
    if call.permit.principal().tier == Tier::Anonymous {
        let strangers = &call.app.reports.strangers;
        strangers.check(call.trace.client, clock::now())?;
    }
    let body = call.json::<wire::FoundReport>().await;
    let body = body.map_err(|failure| without_values(failure, &call.app.brands))?;
    if !(1..=TOKENS_MAX).contains(&body.tokens.len()) {
        let reason = format!("must have 1 to {TOKENS_MAX} secrets");
        return Err(Failure::out_of_range("tokens", reason));
    }
    let source = body.source.as_deref();
    let source = source.map(|text| parse_name(text, SOURCE_CHARS_MAX));
    let source = source
        .transpose()
        .map_err(|error| Failure::out_of_range("source", error))?;
    let is_dry = body.dry_run.unwrap_or(false);
    let find = |text| Find {
        text,
        source: source.clone(),
    };
    let report = Report {
        finds: body.tokens.into_iter().map(find).collect(),
        finder: None,
        is_dry,
    };
    let reported = found::report(&call.app, &call.permit, report, &call.trace).await?;
    let answer = wire::FoundTokens {
        tokens: reported.outcomes.iter().map(view).collect(),
        dry_run: is_dry,
    };
    let reply = Reply::json(StatusCode::OK, &answer);
    Ok(match reported.receipt {
        Some(receipt) => reply.written(receipt),
        None => reply,
    })
}

fn view(outcome: &Outcome) -> wire::FoundToken {
    wire::FoundToken {
        prefix: outcome.prefix.map(|prefix| prefix.to_string()),
        kind: outcome.kind.map(|kind| kind.as_str().to_owned()),
        status: outcome.status.as_str().to_owned(),
        token_id: outcome.id.clone(),
        revoked_at: outcome.revoked_at.map(|at| at.to_string()),
        descendants: outcome
            .descendants
            .map(|count| u64::try_from(count).unwrap_or(u64::MAX)),
    }
}

/// A reader quotes what it did not expect, and here that may be a secret.
fn without_values(failure: Failure, brands: &Brands) -> Failure {
    let brands = [brands.org_key, brands.workspace_token];
    match failure {
        Failure::Malformed {
            code,
            field,
            reason,
        } => {
            let expected = reason.split_once(", expected ");
            let expected = expected.filter(|(quoted, _)| quoted.starts_with("invalid "));
            Failure::Malformed {
                code,
                field: field.map(|field| redact(&brands, &field)),
                reason: match expected {
                    Some((_, expected)) => format!("must be {expected}"),
                    None => redact(&brands, &reason),
                },
            }
        }
        other => other,
    }
}
