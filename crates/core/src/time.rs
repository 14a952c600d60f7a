//! Points in time (milliseconds, UTC) and the short way to write a duration.

use std::{fmt, str::FromStr, time::Duration};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
///
/// Written as RFC 3339 in UTC with three decimals: `2026-01-31T08:00:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not a time or a duration, or is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339, or a year outside 1970 to 9999.
    #[error("not an RFC 3339 time such as `2026-01-31T08:00:00Z`")]
    Time,
    /// Not a whole number followed by `s`, `m`, `h` or `d`.
    #[error("not a duration such as `90s`, `15m`, `24h` or `30d`")]
    Duration,
}

/// The last millisecond of the year 9999, the last that RFC 3339 can write.
const MILLIS_MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The latest time that can be written.
    pub const MAX: Self = Self(MILLIS_MAX);

    /// A time from milliseconds since the epoch; clamped to the years 1970 to 9999.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self(0)
        } else if millis > MILLIS_MAX {
            Self(MILLIS_MAX)
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(MILLIS_MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This much earlier, at least the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(MILLIS_MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The date as HTTP writes it (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[must_use]
    pub fn to_http_date(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .unwrap_or_default()
    }
}

/// Two digits of a number below 100.
fn two(value: u64) -> [u8; 2] {
    let digit = |n: u64| b'0'.saturating_add(u8::try_from(n % 10).unwrap_or(0));
    [digit(value / 10), digit(value)]
}

impl Timestamp {
    /// The 24 bytes that [`fmt::Display`] writes.
    ///
    /// Days to a civil date by Howard Hinnant's algorithm
    /// (<https://howardhinnant.github.io/date_algorithms.html>); one allocation-free pass, for an
    /// audit record is written for every request.
    fn text(self) -> [u8; 24] {
        let total = u64::try_from(self.0).unwrap_or(0);
        let (days, millis) = (total / 86_400_000, total % 86_400_000);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_part = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_part + 2) / 5 + 1;
        let month = if month_part < 10 {
            month_part + 3
        } else {
            month_part - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);

        let mut text = *b"0000-00-00T00:00:00.000Z";
        let second = millis / 1000;
        let places = [
            (0, two(year / 100)),
            (2, two(year % 100)),
            (5, two(month)),
            (8, two(day)),
            (11, two(second / 3600)),
            (14, two(second / 60 % 60)),
            (17, two(second % 60)),
            (20, two(millis % 1000 / 10)),
        ];
        for (at, digits) in places {
            if let Some(slot) = text.get_mut(at..at + 2) {
                slot.copy_from_slice(&digits);
            }
        }
        if let (Some(slot), [_, last]) = (text.get_mut(22), two(millis % 10)) {
            *slot = last;
        }
        text
    }

    /// Adds what [`fmt::Display`] writes, without the machinery of formatting.
    pub fn push_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let Ok(at) = text.parse::<jiff::Timestamp>() else {
            return Err(TimeError::Time);
        };
        let millis = at.as_millisecond();
        if (0..=MILLIS_MAX).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(TimeError::Time)
        }
    }
}

/// Reads a duration written as a whole number and one unit: `90s`, `15m`, `24h`, `30d`.
///
/// # Errors
/// [`TimeError::Duration`] for anything else, and for more than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    const HUNDRED_YEARS: u64 = 100 * 366 * 86_400;
    let error = Err(TimeError::Duration);
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, unit)) => (text.get(..at).unwrap_or_default(), unit),
        None => return error,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return error;
    }
    let seconds_per_unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return error,
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(seconds_per_unit))
    {
        Some(seconds) if seconds <= HUNDRED_YEARS => Ok(Duration::from_secs(seconds)),
        _ => error,
    }
}

/// Writes a duration of whole seconds with the largest unit that divides it.
#[must_use]
pub fn format_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(size) {
            return format!("{}{unit}", seconds / size);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::proptest;

    use super::{MILLIS_MAX, Timestamp, format_duration, parse_duration};

    proptest! {
        #[test]
        fn parse_inverts_print(millis in 0..=MILLIS_MAX) {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse(), Ok(at));
        }

        #[test]
        fn duration_parse_inverts_print(seconds in 0_u64..3_000_000_000) {
            let span = Duration::from_secs(seconds);
            assert_eq!(parse_duration(&format_duration(span)), Ok(span));
        }
    }

    #[test]
    fn durations_that_are_not_are_refused() {
        for text in [
            "",
            "s",
            "10",
            "1w",
            "-1s",
            "1.5h",
            "+1s",
            "1 d",
            "99999999999999999999s",
            "٣s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn http_dates_are_those_of_the_rfc() {
        let at: Timestamp = "1994-11-06T08:49:37Z".parse().expect("a time");
        assert_eq!(at.to_http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
