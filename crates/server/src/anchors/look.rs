//! What `doctor` says of the places where checkpoints are anchored.

use std::io::ErrorKind;

use super::{file, web::Webhook, witness::Witness};
use crate::{
    config::{AnchorConfig, Config},
    doctor::{Finding, Level, finding},
};

/// Looks at every place. Nothing is anchored.
pub(crate) async fn doctor(config: &Config) -> Vec<Finding> {
    let anchors = &config.anchors;
    let mut findings = Vec::new();
    findings.extend(anchor_file(anchors));
    if let Some(webhook) = &anchors.webhook {
        let url = webhook.url.host_str().unwrap_or_default();
        let outcome = match Webhook::new(webhook) {
            Ok(webhook) => webhook.probe().await,
            Err(reason) => Err(reason),
        };
        findings.push(reached("anchor webhook", url, outcome));
    }
    for witness in &anchors.witnesses {
        let outcome = match Witness::new(witness) {
            Ok(witness) => witness.probe().await,
            Err(reason) => Err(reason),
        };
        findings.push(reached("witness", witness.key.name(), outcome));
    }
    if findings.is_empty() {
        let detail = "nowhere: a restored backup, or a table that was written anew, does not show; set --anchor-file to a file on another disk";
        findings.push(finding(Level::Good, "anchors", detail));
    }
    findings
}

fn anchor_file(anchors: &AnchorConfig) -> Option<Finding> {
    let path = anchors.file.as_ref()?;
    let what = "anchor file";
    let name = path.display();
    Some(match file::look(path) {
        Ok(contents) if contents.bad.is_empty() => {
            let lines = contents.lines;
            finding(Level::Good, what, format!("{name} has {lines} lines"))
        }
        Ok(contents) => {
            let (bad, first) = (contents.bad.len(), contents.bad.first());
            let first = first.map(|(line, why)| format!("line {line}: {why}"));
            let first = first.unwrap_or_default();
            let detail = format!("{name} has {bad} lines that count for nothing; {first}");
            finding(Level::Warning, what, detail)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => finding(
            Level::Good,
            what,
            format!("{name} is made on the first start"),
        ),
        Err(error) => finding(Level::Bad, what, format!("cannot use {name}: {error}")),
    })
}

fn reached(what: &str, name: &str, outcome: Result<(), String>) -> Finding {
    match outcome {
        Ok(()) => finding(Level::Good, what, format!("{name} answers")),
        Err(reason) => finding(Level::Warning, what, format!("{name}: {reason}")),
    }
}
