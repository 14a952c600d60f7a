//! Times for people: how long ago, with the exact time for whoever points at it.
//!
//! The server writes the words; `time.js` writes the same ones again as time passes.

use std::fmt;

use askama::filters::HtmlSafe;
use claviger_core::time::Timestamp;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// From this distance on, a date says more than a number of days.
const DATES_FROM: u64 = 45 * DAY;

/// A time as seen from the moment of the page: prints `<time>` with `3 min ago` or `in 5 days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    at: Timestamp,
    now: Timestamp,
}

/// A time in full: prints `<time>` with `20 Nov 2026, 10:11:02 UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact(pub Timestamp);

impl When {
    /// `at` as seen from `now`.
    #[must_use]
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }

    /// The same time in full.
    #[must_use]
    pub fn exact(self) -> Exact {
        Exact(self.at)
    }

    /// The words without the element, for a sentence or an attribute.
    #[must_use]
    pub fn words(self) -> String {
        let (ago, ahead) = (self.now.since(self.at), self.at.since(self.now));
        let span = u64::try_from(ago.max(ahead).as_millis()).unwrap_or(u64::MAX);
        let is_past = ahead.is_zero();
        // What is past is whole; what is to come is rounded, or a key for 7 days would have 6 at once.
        let rounding = |unit: u64| if is_past { 0 } else { unit / 2 };
        let count = |unit: u64| (span + rounding(unit)) / unit;
        let (count, unit) = match span {
            0..MINUTE if is_past => return "just now".to_owned(),
            0..MINUTE => return "in a moment".to_owned(),
            DATES_FROM.. => return date(self.at),
            _ if count(MINUTE) < 60 => (count(MINUTE), "min"),
            _ if count(HOUR) < 24 => (count(HOUR), "hour"),
            _ => (count(DAY), "day"),
        };
        let plural = if count == 1 || unit == "min" { "" } else { "s" };
        if is_past {
            format!("{count} {unit}{plural} ago")
        } else {
            format!("in {count} {unit}{plural}")
        }
    }
}

impl HtmlSafe for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, full) = (machine(self.at), full(self.at));
        let words = self.words();
        write!(
            f,
            "<time datetime=\"{machine}\" title=\"{full}\">{words}</time>"
        )
    }
}

impl HtmlSafe for Exact {}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, full) = (machine(self.0), full(self.0));
        write!(
            f,
            "<time class=\"exact\" datetime=\"{machine}\">{full}</time>"
        )
    }
}

/// RFC 3339 to the second.
fn machine(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// `20 Nov 2026, 10:11:02 UTC`.
fn full(at: Timestamp) -> String {
    match time_of_day(at) {
        Some(time) => format!("{}, {time} UTC", date(at)),
        None => at.to_string(),
    }
}

fn time_of_day(at: Timestamp) -> Option<String> {
    at.to_http_date()
        .split_whitespace()
        .nth(4)
        .map(str::to_owned)
}

/// `14:05`, in UTC.
#[must_use]
pub fn clock_time(at: Timestamp) -> String {
    let time = time_of_day(at).unwrap_or_default();
    time.chars().take(5).collect()
}

/// `20 Nov 2026`.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let text = at.to_http_date();
    let mut words = text.split_whitespace().skip(1);
    match (words.next(), words.next(), words.next()) {
        (Some(day), Some(month), Some(year)) => {
            format!("{} {month} {year}", day.trim_start_matches('0'))
        }
        _ => at.to_string(),
    }
}

/// A time as a field for times shows it, in UTC: `2026-11-20T10:11:02`.
#[must_use]
pub fn in_field(at: Timestamp) -> String {
    let text = at.to_string();
    text.chars().take("2026-11-20T10:11:02".len()).collect()
}

/// What a field for times sends, in UTC, as RFC 3339.
#[must_use]
pub fn from_field(text: &str) -> String {
    match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

/// `1,204,377`.
#[must_use]
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn words_fit_the_distance() {
        let now: Timestamp = "2026-11-20T10:11:02Z".parse().unwrap();
        let seconds = Duration::from_secs;
        let ago = |span: u64| When::new(now.minus(seconds(span)), now).words();
        let ahead = |span: u64| When::new(now.plus(seconds(span)), now).words();
        assert_eq!(ago(0), "just now");
        assert_eq!(ago(59), "just now");
        assert_eq!(ago(60), "1 min ago");
        assert_eq!(ago(3599), "59 min ago");
        assert_eq!(ago(3600), "1 hour ago");
        assert_eq!(ago(2 * 86_400), "2 days ago");
        assert_eq!(ago(45 * 86_400), "6 Oct 2026");
        assert_eq!(ahead(30), "in a moment");
        assert_eq!(ahead(7200), "in 2 hours");
        assert_eq!(ahead(86_400), "in 1 day");
        assert_eq!(ahead(7 * 86_400 - 1), "in 7 days");
        assert_eq!(ahead(6 * 86_400 + 40_000), "in 6 days");
        assert_eq!(ahead(86_399), "in 1 day");
        assert_eq!(ahead(3599), "in 1 hour");
        assert_eq!(ahead(95), "in 2 min");
        assert_eq!(ago(7 * 86_400 - 1), "6 days ago");
    }

    #[test]
    fn element_has_the_exact_time() {
        let at: Timestamp = "2026-11-02T08:09:10Z".parse().unwrap();
        let now = at.plus(Duration::from_secs(120));
        assert_eq!(
            When::new(at, now).to_string(),
            "<time datetime=\"2026-11-02T08:09:10Z\" title=\"2 Nov 2026, 08:09:10 UTC\">2 min ago</time>"
        );
        assert_eq!(
            Exact(at).to_string(),
            "<time class=\"exact\" datetime=\"2026-11-02T08:09:10Z\">2 Nov 2026, 08:09:10 UTC</time>"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_204_377, "1,204,377"),
        ];
        for (count, words) in cases {
            assert_eq!(thousands(count), words);
        }
    }
}
