//! `claviger doctor`.

use claviger_server::{Finding, Level, config::Config};
use serde::Serialize;

use super::block_on;
use crate::{
    args::{Global, ServeFlags},
    client::Client,
    error::{Exit, Failure},
    output::{Cell, Output, Table, Tone},
};

/// All that `doctor` says.
#[derive(Serialize)]
struct Report {
    settings: Vec<Setting>,
    findings: Vec<Judgement>,
}

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    value: String,
    source: String,
}

#[derive(Serialize)]
struct Judgement {
    level: &'static str,
    what: String,
    detail: String,
}

const GOOD: &str = "good";
const WARNING: &str = "warning";
const BAD: &str = "bad";

impl From<Finding> for Judgement {
    fn from(finding: Finding) -> Self {
        let level = match finding.level {
            Level::Good => GOOD,
            Level::Warning => WARNING,
            Level::Bad => BAD,
        };
        Self {
            level,
            what: finding.what,
            detail: finding.detail,
        }
    }
}

/// Prints settings and findings; [`Exit::Failed`] if something is bad.
pub(super) fn run(flags: &ServeFlags, global: &Global, out: &Output) -> Result<Exit, Failure> {
    let report = block_on(tokio::runtime::Builder::new_multi_thread(), async {
        let (settings, mut findings) = local(flags).await;
        findings.extend(remote(global, out).await);
        Ok(Report { settings, findings })
    })?;
    if out.is_json() {
        out.json(&report)?;
    } else {
        print(&report, out)?;
    }
    let is_bad = report.findings.iter().any(|finding| finding.level == BAD);
    Ok(if is_bad { Exit::Failed } else { Exit::Done })
}

/// What `serve` would find here.
async fn local(flags: &ServeFlags) -> (Vec<Setting>, Vec<Judgement>) {
    let config = match Config::load(&flags.flags()) {
        Ok(config) => config,
        Err(error) => {
            return (
                vec![],
                vec![judgement(BAD, "configuration", error.to_string())],
            );
        }
    };
    let settings = config.report().into_iter().map(|setting| Setting {
        name: setting.name,
        value: setting.value,
        source: setting.source,
    });
    let settings = settings.collect();
    let findings = claviger_server::doctor(&config).await;
    (
        settings,
        findings.into_iter().map(Judgement::from).collect(),
    )
}

/// What the client commands would meet. That no server runs is worth a word, but nothing is wrong.
async fn remote(global: &Global, out: &Output) -> Vec<Judgement> {
    let client = match Client::new(global, out) {
        Ok(client) => client,
        Err(failure) => return vec![judgement(BAD, "client", failure.to_string())],
    };
    let found = match client.ready().await {
        Ok(warnings) => {
            let ready = judgement(GOOD, "server", format!("{} is ready", client.url()));
            let warnings = warnings.into_iter();
            let warnings = warnings.map(|warning| judgement(WARNING, "server", warning));
            return std::iter::once(ready).chain(warnings).collect();
        }
        Err(Failure::NoConnection { url, .. }) => {
            judgement(WARNING, "server", format!("no server answers at {url}"))
        }
        Err(failure) => judgement(BAD, "server", format!("not ready: {failure}")),
    };
    vec![found]
}

fn judgement(level: &'static str, what: &str, detail: String) -> Judgement {
    Judgement {
        level,
        what: what.to_owned(),
        detail,
    }
}

fn print(report: &Report, out: &Output) -> Result<(), Failure> {
    let mut settings = Table::new(&["SETTING", "VALUE", "SOURCE"]);
    for setting in &report.settings {
        settings.row([
            setting.name.into(),
            setting.value.as_str().into(),
            setting.source.as_str().into(),
        ]);
    }
    out.table(&settings)?;
    if out.is_terminal() {
        out.line("")?;
    }
    let mut findings = Table::new(&["LEVEL", "WHAT", "DETAIL"]);
    for finding in &report.findings {
        let tone = match finding.level {
            GOOD => Tone::Good,
            WARNING => Tone::Warning,
            _ => Tone::Bad,
        };
        findings.row([
            Cell::toned(finding.level, tone),
            finding.what.as_str().into(),
            finding.detail.as_str().into(),
        ]);
    }
    out.table(&findings)
}
