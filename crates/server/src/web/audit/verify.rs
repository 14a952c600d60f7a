//! The verification of the trail, for whoever looks at it in a browser.

use askama::Template;
use claviger_core::action::ReadAudit;
use http::StatusCode;

use super::PATH;
use crate::{
    failure::Failure,
    gate::{Call, Reply},
    ops::verify::{self, Found, Told, Verdict},
    problem,
    web::{
        html,
        layout::{Nav, Page},
        page,
    },
};

/// As many findings are shown.
const SHOWN_MAX: usize = 100;

/// What a verification is worth, and what it came to.
#[derive(Debug, Template)]
#[template(path = "canvas/audit/verify.html")]
struct VerifyPage {
    page: Page,
    /// The verdict in sentences; empty before there is one.
    said: String,
    tone: &'static str,
    findings: Vec<Found>,
    /// How many findings are not shown.
    more: u64,
}

/// `GET /canvas/audit/verify`, and with `run` the page with the verdict. Where there are scripts, they ask
/// the API and show how far it is.
pub(super) async fn verify(call: Call<ReadAudit>) -> Result<Reply, Failure> {
    let query = call.query(&["run"])?;
    let mut page = VerifyPage {
        page: page::of(&call, "Verify", Nav::Audit).below("Audit", PATH),
        said: String::new(),
        tone: "good",
        findings: Vec::new(),
        more: 0,
    };
    if query.get("run").is_some() {
        carry_out(&call, &mut page).await?;
    }
    Ok(html::html(StatusCode::OK, &page))
}

/// Waits for the verdict. Who leaves the page ends it.
async fn carry_out(call: &Call<ReadAudit>, page: &mut VerifyPage) -> Result<(), Failure> {
    let mut told = verify::start(&call.app, &call.permit, &call.trace)?;
    while let Some(told) = told.recv().await {
        match told {
            Told::Progress { .. } => {}
            Told::Found(found) if page.findings.len() < SHOWN_MAX => page.findings.push(found),
            Told::Found(_) => {}
            Told::Ended(verdict) => page.end(&verdict),
            Told::Failed(failure) => {
                page.tone = "bad";
                page.said = format!(
                    "It did not come to its end: {}.",
                    problem::answer(&failure).detail
                );
            }
        }
    }
    Ok(())
}

impl VerifyPage {
    fn end(&mut self, verdict: &Verdict) {
        let shown = u64::try_from(self.findings.len()).unwrap_or(u64::MAX);
        self.more = verdict.findings.saturating_sub(shown);
        self.tone = if verdict.is_sound() { "good" } else { "bad" };
        self.said = verdict.words();
    }
}
