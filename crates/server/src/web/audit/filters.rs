//! The filters of the explorer, as its address says them.

use claviger_core::{
    action::ReadAudit,
    id::KeyId,
    key::KeyStatus,
    ledger::entry::Kind,
    time::{Timestamp, parse_duration},
};
use claviger_store::{KeyFilter, Page as Part};
use url::form_urlencoded::Serializer;

use super::PATH;
use crate::{
    failure::Failure,
    gate::{Call, Query},
    web::{
        parts::{Chip, Choice},
        time::{from_field, in_field},
    },
};

/// How many keys are looked at for one that is named by something else than its id.
const KEYS_LOOKED_AT: u32 = 2;

/// A file that the API gives.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) href: String,
    pub(super) file: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
}

/// What the trail is filtered by. An empty text is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters {
    /// A text in the path or in a name.
    pub(super) q: String,
    pub(super) actor: String,
    /// The id of a key.
    pub(super) token: String,
    /// The id of a key at the head of a line.
    pub(super) under: String,
    /// The id of a key to which something was done.
    pub(super) about: String,
    pub(super) workspace: String,
    pub(super) route: String,
    pub(super) method: String,
    /// The word of a kind of record.
    pub(super) kind: String,
    pub(super) status: String,
    /// So long ago at most: `24h`. Only where there is no `since`.
    pub(super) last: String,
    pub(super) since: String,
    pub(super) until: String,
}

impl Filters {
    pub(super) fn read(query: &Query) -> Self {
        let text = |name| query.get(name).unwrap_or_default().trim().to_owned();
        let since = text("since");
        Self {
            q: text("q"),
            actor: text("actor"),
            token: text("token"),
            under: text("under"),
            about: text("about"),
            workspace: text("workspace"),
            route: text("route"),
            method: text("method"),
            kind: text("kind"),
            status: text("status"),
            last: if since.is_empty() {
                text("last")
            } else {
                String::new()
            },
            since,
            until: text("until"),
        }
    }

    fn pairs(&self) -> [(&'static str, &str); 13] {
        [
            ("q", &self.q),
            ("actor", &self.actor),
            ("token", &self.token),
            ("under", &self.under),
            ("about", &self.about),
            ("workspace", &self.workspace),
            ("route", &self.route),
            ("method", &self.method),
            ("kind", &self.kind),
            ("status", &self.status),
            ("last", &self.last),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    /// The query in the words of the API.
    ///
    /// # Errors
    /// 400 for a span that cannot be read.
    pub(super) fn asked(&self, query: Query, now: Timestamp) -> Result<Query, Failure> {
        let mut asked = query;
        for (name, text) in [("since", &self.since), ("until", &self.until)] {
            if !text.is_empty() {
                asked = asked.with(name, from_field(text));
            }
        }
        if let Some(since) = self.beginning(now)? {
            asked = asked.with("since", since.to_string());
        }
        Ok(asked)
    }

    /// Where a span begins.
    fn beginning(&self, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        if self.last.is_empty() {
            return Ok(None);
        }
        let span = parse_duration(&self.last).map_err(|error| Failure::Malformed {
            code: "bad_query",
            field: Some("last".to_owned()),
            reason: format!("the time is {error}"),
        })?;
        Ok(Some(now.minus(span)))
    }

    /// The address of the page with them, from a cursor on.
    pub(super) fn href(&self, cursor: Option<u64>) -> String {
        let pairs = self.pairs().into_iter();
        let pairs = pairs.map(|(name, value)| (name, value.to_owned()));
        let cursor = cursor.map(|cursor| ("cursor", cursor.to_string()));
        address(PATH, pairs.chain(cursor))
    }

    /// The address of the same records in the API.
    fn of_api(&self, path: &str, now: Timestamp, more: Option<(&'static str, String)>) -> String {
        let beginning = self.beginning(now).ok().flatten();
        let pairs = self.pairs().into_iter().filter_map(|(name, value)| {
            let value = match name {
                "last" => return None,
                "since" | "until" if !value.is_empty() => from_field(value),
                _ => value.to_owned(),
            };
            Some((name, value))
        });
        let since = beginning.map(|at| ("since", at.to_string()));
        address(path, pairs.chain(since).chain(more))
    }

    /// The same records in every format.
    pub(super) fn exports(&self, now: Timestamp) -> Vec<Download> {
        let formats = [
            (
                "jsonl",
                "audit.jsonl",
                "JSON Lines",
                "The exact records: these can be verified",
            ),
            ("csv", "audit.csv", "CSV", "For spreadsheets"),
            (
                "ocsf",
                "audit.ocsf.jsonl",
                "OCSF",
                "API Activity, for a SIEM",
            ),
            (
                "cloudevents",
                "audit.cloudevents.jsonl",
                "CloudEvents",
                "For event pipelines",
            ),
        ];
        let download = |(format, file, label, hint): (&str, _, _, _)| {
            let format = Some(("format", format.to_owned()));
            Download {
                href: self.of_api("/org/audit/export", now, format),
                file,
                label,
                hint,
            }
        };
        formats.into_iter().map(download).collect()
    }

    /// Where records after this one come from, as they are written.
    pub(super) fn stream(&self, after: u64, now: Timestamp) -> String {
        let after = Some(("after", after.to_string()));
        self.of_api("/org/audit/stream", now, after)
    }

    /// Whether anything is left out.
    pub(super) fn is_narrow(&self) -> bool {
        self.pairs().iter().any(|(_, value)| !value.is_empty())
    }

    /// Whether one of the filters that are folded away is in force.
    pub(super) fn has_more(&self) -> bool {
        let more = [
            &self.under,
            &self.about,
            &self.workspace,
            &self.route,
            &self.since,
            &self.until,
        ];
        more.iter().any(|value| !value.is_empty())
    }

    /// Where the prefix or the name of a key stands instead of its id: the address with the id.
    ///
    /// # Errors
    /// 503.
    pub(super) async fn with_key_found(
        &mut self,
        call: &Call<ReadAudit>,
    ) -> Result<Option<String>, Failure> {
        if self.token.is_empty() || self.token.parse::<KeyId>().is_ok() {
            return Ok(None);
        }
        let filter = KeyFilter {
            statuses: KeyStatus::ALL.to_vec(),
            now: crate::clock::now(),
            text: Some(self.token.clone()),
            created_by: None,
            workspace: None,
            expires_before: None,
        };
        let part = Part {
            after: None,
            limit: KEYS_LOOKED_AT,
        };
        let place = call.app.scan_place().await?;
        let found = call.app.store.list_keys(call.org(), filter, part).await?;
        drop(place);
        // Of several that fit none is meant for sure.
        let [key] = &*found else { return Ok(None) };
        self.token = key.id.to_string();
        Ok(Some(self.href(None)))
    }

    pub(super) fn chips(&self) -> Vec<Chip> {
        let statuses = [
            ("", "All"),
            ("2xx", "Answered"),
            ("4xx", "Refused"),
            ("5xx", "Failed"),
        ];
        let chip = |(status, label): (&str, &str)| Chip {
            label: label.to_owned(),
            href: Self {
                status: status.to_owned(),
                ..self.clone()
            }
            .href(None),
            count: None,
            is_active: self.status == status,
        };
        statuses.into_iter().map(chip).collect()
    }

    pub(super) fn methods(&self) -> Vec<Choice> {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
        let mut choices = vec![Choice::new("", "Any method", &self.method)];
        choices.extend(methods.map(|method| Choice::new(method, method, &self.method)));
        choices
    }

    pub(super) fn kinds(&self) -> Vec<Choice> {
        let kinds = [
            (Kind::Signal, "Signals"),
            (Kind::Notice, "Notices"),
            (Kind::Request, "Requests"),
            (Kind::Refusals, "Refusals that were counted"),
            (Kind::BreakGlass, "ADMIN_TOKEN"),
            (Kind::Bootstrap, "The first start"),
            (Kind::Cascade, "Done along with others"),
            (Kind::Operation, "Operator and policy"),
            (Kind::StreamEnd, "Ends of streams"),
            (Kind::Anchor, "Anchors"),
            (Kind::Retention, "What was dropped"),
        ];
        let mut choices = vec![Choice::new("", "Any kind", &self.kind)];
        choices.extend(kinds.map(|(kind, label)| Choice::new(kind.as_str(), label, &self.kind)));
        choices
    }

    pub(super) fn spans(&self) -> Vec<Choice> {
        let spans = [
            ("", "Any time"),
            ("15m", "Last 15 minutes"),
            ("1h", "Last hour"),
            ("24h", "Last 24 hours"),
            ("7d", "Last 7 days"),
            ("30d", "Last 30 days"),
        ];
        let known = spans.iter().any(|(span, _)| *span == self.last);
        let odd =
            (!known).then(|| Choice::new(&*self.last, format!("Last {}", self.last), &self.last));
        let spans = spans.map(|(span, label)| Choice::new(span, label, &self.last));
        spans.into_iter().chain(odd).collect()
    }

    /// A time as a field for times takes it.
    pub(super) fn typed(text: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(at) => in_field(at),
            Err(_) => text.to_owned(),
        }
    }
}

fn address(path: &str, pairs: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, &value);
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_the_page_is_that_of_the_same_records_in_the_api() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let filters = Filters {
            actor: "org-token:mole_a1b2c3d4".to_owned(),
            last: "24h".to_owned(),
            until: "2026-11-20T09:30".to_owned(),
            ..Filters::default()
        };
        assert_eq!(
            filters.href(Some(7)),
            "/canvas/audit?actor=org-token%3Amole_a1b2c3d4&last=24h&until=2026-11-20T09%3A30&cursor=7"
        );
        assert_eq!(
            filters.exports(now)[1].href,
            "/org/audit/export?actor=org-token%3Amole_a1b2c3d4&until=2026-11-20T09%3A30%3A00Z&since=2026-11-19T10%3A00%3A00.000Z&format=csv"
        );
        assert_eq!(Filters::default().href(None), "/canvas/audit");
        assert!(filters.is_narrow() && filters.has_more());
        assert!(!Filters::default().is_narrow());
    }

    #[test]
    fn times_are_taken_as_fields_send_them() {
        assert_eq!(from_field("2026-11-20T09:30"), "2026-11-20T09:30:00Z");
        assert_eq!(from_field("2026-11-20T09:30:15"), "2026-11-20T09:30:15Z");
        assert_eq!(from_field("2026-11-20T09:30:15Z"), "2026-11-20T09:30:15Z");
        assert_eq!(
            Filters::typed("2026-11-20T09:30:15.000Z"),
            "2026-11-20T09:30:15"
        );
    }
}
