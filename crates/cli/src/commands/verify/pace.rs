//! How far a verification is, and how fast it goes: for terminals only.

use std::time::{Duration, Instant};

use crate::output::Output;

/// How often it is shown.
const PAUSE: Duration = Duration::from_millis(200);

/// As many records are verified between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 4096;

/// Counts records.
pub(super) struct Pace<'a> {
    out: &'a Output,
    records: u64,
    began_at: Instant,
    shown_at: Instant,
}

impl<'a> Pace<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        let now = Instant::now();
        Self {
            out,
            records: 0,
            began_at: now,
            shown_at: now,
        }
    }

    /// One record more.
    pub(super) fn step(&mut self) {
        self.records += 1;
        if self.records.is_multiple_of(RECORDS_PER_LOOK) && self.shown_at.elapsed() >= PAUSE {
            self.shown_at = Instant::now();
            self.out.progress(&self.words());
        }
    }

    /// Says how many there were, and how fast.
    pub(super) fn end(&self) {
        if self.out.is_stderr_terminal() {
            self.out.progress("");
            self.out.note(&self.words());
        }
    }

    fn words(&self) -> String {
        let spent = self.began_at.elapsed();
        let rate = per_second(self.records, spent);
        format!(
            "{} records read, {rate} records/s in {:.1} s",
            self.records,
            spent.as_secs_f64()
        )
    }
}

fn per_second(records: u64, spent: Duration) -> u64 {
    let micros = spent.as_micros().max(1);
    let rate = u128::from(records) * 1_000_000 / micros;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::per_second;

    #[test]
    fn rates_are_per_second() {
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
        assert_eq!(per_second(0, Duration::ZERO), 0);
        assert_eq!(per_second(1, Duration::ZERO), 1_000_000);
    }
}
