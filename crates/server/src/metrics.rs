//! What the service counts, in the text format of Prometheus.

use std::time::Duration;

use claviger_core::{id::Key, key::KeyStatus};
use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{clock, index::Index};

/// A request as it is counted: every label has few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The pattern of the route.
    pub route: &'static str,
    /// How the caller proved itself.
    pub tier: &'static str,
    /// The status.
    pub status: u16,
}

/// Why requests are refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The stable code.
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabels {
    signal: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: &'static str,
}

/// What is counted of receivers of records.
#[derive(Default)]
struct SiemMetrics {
    sent: Family<SinkLabels, Counter>,
    dropped: Family<SinkLabels, Counter>,
    behind: Family<SinkLabels, Gauge>,
}

impl SiemMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "siem_sent",
            "Records sent to receivers of syslog or OTLP, also those sent again",
            self.sent.clone(),
        );
        registry.register(
            "siem_dropped",
            "Records that a receiver did not want, that could not be read, or that were dropped before they were sent",
            self.dropped.clone(),
        );
        registry.register(
            "siem_behind",
            "Records that receivers are not known to have taken",
            self.behind.clone(),
        );
    }
}

/// Counters of the service.
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<RequestLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    keys: Family<StatusLabels, Gauge>,
    found: Family<StatusLabels, Counter>,
    github_reports: Family<OutcomeLabels, Counter>,
    signals: Family<SignalLabels, Counter>,
    signals_withheld: Counter,
    siem: SiemMetrics,
    verification: Histogram,
    commit: Histogram,
    records: Counter,
    /// Records that were lost because the store did not answer (`relaxed` mode).
    pub audit_lost: Counter,
    /// Lines that were dropped because nobody reads standard output.
    pub lines_dropped: Counter,
    /// Requests that are not in the counts of what keys were used for: there was no room.
    pub usage_lost: Counter,
    /// Blocks of the audit trails that were indexed.
    pub blocks_indexed: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("claviger");
        let metrics = Self {
            requests: Family::default(),
            refusals: Family::default(),
            keys: Family::default(),
            found: Family::default(),
            github_reports: Family::default(),
            signals: Family::default(),
            signals_withheld: Counter::default(),
            siem: SiemMetrics::default(),
            verification: Histogram::new(exponential_buckets(1e-7, 4.0, 10)),
            commit: Histogram::new(exponential_buckets(5e-5, 2.0, 16)),
            records: Counter::default(),
            audit_lost: Counter::default(),
            lines_dropped: Counter::default(),
            usage_lost: Counter::default(),
            blocks_indexed: Counter::default(),
            registry: RwLock::new(Registry::default()),
        };
        registry.register(
            "requests",
            "Requests by route, tier and status",
            metrics.requests.clone(),
        );
        registry.register(
            "refusals",
            "Refused requests by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "keys",
            "Org API keys in memory by status",
            metrics.keys.clone(),
        );
        metrics.register_more(&mut registry);
        registry.register_with_unit(
            "verification",
            "From the header to the principal",
            Unit::Seconds,
            metrics.verification.clone(),
        );
        registry.register_with_unit(
            "audit_commit",
            "One commit of audit records",
            Unit::Seconds,
            metrics.commit.clone(),
        );
        for (name, help, counter) in [
            (
                "audit_records",
                "Audit records committed in batches",
                &metrics.records,
            ),
            ("audit_lost", "Audit records lost", &metrics.audit_lost),
            (
                "lines_dropped",
                "Audit lines not written",
                &metrics.lines_dropped,
            ),
            (
                "usage_lost",
                "Requests not counted as uses of their keys",
                &metrics.usage_lost,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        *metrics.registry.write() = registry;
        metrics
    }
}

impl Metrics {
    fn register_more(&self, registry: &mut Registry) {
        self.siem.register(registry);
        registry.register(
            "found_secrets",
            "Secrets reported as found, by what became of them",
            self.found.clone(),
        );
        registry.register(
            "audit_blocks_indexed",
            "Blocks of 4096 audit records indexed",
            self.blocks_indexed.clone(),
        );
        registry.register(
            "github_reports",
            "Reports in the name of GitHub, by whether it signed them",
            self.github_reports.clone(),
        );
        registry.register(
            "signals",
            "Signals about keys by type, recorded or not",
            self.signals.clone(),
        );
        registry.register(
            "signals_withheld",
            "Signals about keys that were counted and not recorded",
            self.signals_withheld.clone(),
        );
    }

    /// Counts records that were sent by `syslog` or `otlp`.
    pub fn note_siem_sent(&self, sink: &'static str, count: u64) {
        let labels = SinkLabels { sink };
        self.siem.sent.get_or_create(&labels).inc_by(count);
    }

    /// Counts records that were passed over.
    pub fn note_siem_dropped(&self, sink: &'static str, count: u64) {
        let labels = SinkLabels { sink };
        self.siem.dropped.get_or_create(&labels).inc_by(count);
    }

    /// Notes by how much the records changed that receivers lack.
    pub fn note_siem_behind(&self, sink: &'static str, change: i64) {
        let labels = SinkLabels { sink };
        self.siem.behind.get_or_create(&labels).inc_by(change);
    }

    /// Counts a request.
    pub fn note_request(&self, labels: &RequestLabels) {
        self.requests.get_or_create(labels).inc();
    }

    /// Counts a refusal.
    pub fn note_refusal(&self, code: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { code }).inc();
    }

    /// Counts a secret that was reported as found.
    pub fn note_found(&self, status: &'static str) {
        self.found.get_or_create(&StatusLabels { status }).inc();
    }

    /// Counts a report in the name of GitHub: `verified` or `refused`.
    pub fn note_github_report(&self, outcome: &'static str) {
        let labels = OutcomeLabels { outcome };
        self.github_reports.get_or_create(&labels).inc();
    }

    /// Counts a signal about a key.
    pub fn note_signal(&self, signal: &'static str) {
        self.signals.get_or_create(&SignalLabels { signal }).inc();
    }

    /// Counts a signal that is not recorded: its key had too many in this hour.
    pub fn note_signal_withheld(&self) {
        self.signals_withheld.inc();
    }

    /// Notes how long a verification took.
    pub fn note_verification(&self, took: Duration) {
        self.verification.observe(took.as_secs_f64());
    }

    /// Notes a commit of audit records.
    pub fn note_commit(&self, took: Duration, count: usize) {
        self.commit.observe(took.as_secs_f64());
        self.records
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// The whole page. Keys are counted now, so that nothing has to be counted on the way.
    #[must_use]
    pub fn page(&self, keys: &Index<Key>) -> String {
        let now = clock::now();
        let mut counts = [0_i64; KeyStatus::ALL.len()];
        keys.for_each(|key| {
            if key.is_replaced {
                return;
            }
            let status = key.status(now);
            let at = KeyStatus::ALL.iter().position(|other| *other == status);
            if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        });
        for (status, count) in KeyStatus::ALL.iter().zip(counts) {
            self.keys
                .get_or_create(&StatusLabels {
                    status: status.as_str(),
                })
                .set(count);
        }
        let mut page = String::new();
        // Writing to a string cannot fail.
        encode(&mut page, &self.registry.read()).unwrap_or_default();
        page
    }
}
