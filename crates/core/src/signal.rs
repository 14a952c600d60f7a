//! Signals: what a key does for the first time, or should not do at all.
//!
//! What a key has done before are its [`Habits`]: a bounded set of networks and endpoints. Which
//! networks and endpoints are learnt without a word, when refusals are a burst, and how many signals
//! an hour may bring is decided here, and all of it without a clock.

use std::{cmp::Reverse, collections::VecDeque, fmt, net::IpAddr, str::FromStr, time::Duration};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::{id::KeyId, time::Timestamp};

mod words;

pub use words::{type_of, words};

/// For how long after its first use the endpoints that a key calls are learnt without a signal.
pub const LEARNING: Duration = Duration::from_hours(24);
/// The most networks that are kept of a key.
pub const NETWORKS_MAX: usize = 256;
/// The most endpoints that are kept of a key.
pub const ENDPOINTS_MAX: usize = 512;
/// So many refusals of one key are a burst,
pub const BURST_REFUSALS: usize = 20;
/// if they lie no further apart than this.
pub const BURST_WITHIN: Duration = Duration::from_secs(60);
/// For how long the same is not said again of a key: a burst, or the use of a secret that has ended.
pub const QUIET: Duration = Duration::from_secs(600);
/// The most signals of one key that an hour records. Those beyond it are counted.
pub const SIGNALS_PER_HOUR_MAX: u32 = 12;

/// The prefix of a network, in bits: what one customer of a provider mostly has.
const IPV4_BITS: u8 = 24;
const IPV6_BITS: u8 = 48;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalType {
    /// The first use of a key from a network.
    NewNetwork,
    /// The first call of a key to an endpoint.
    NewEndpoint,
    /// Many refusals of a key in a short time.
    RefusalBurst,
    /// A use of a secret that was revoked or replaced, or has expired.
    RevokedSecretUsed,
    /// The trail was verified, and is not as it was signed.
    VerificationFailed,
    /// A checkpoint of the trail is outside the database.
    LedgerAnchored,
}

impl SignalType {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::NewNetwork,
        Self::NewEndpoint,
        Self::RefusalBurst,
        Self::RevokedSecretUsed,
        Self::VerificationFailed,
        Self::LedgerAnchored,
    ];

    /// The word in records, policies and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewNetwork => "new_network",
            Self::NewEndpoint => "new_endpoint",
            Self::RefusalBurst => "refusal_burst",
            Self::RevokedSecretUsed => "revoked_secret_used",
            Self::VerificationFailed => "verification_failed",
            Self::LedgerAnchored => "ledger_anchored",
        }
    }

    /// Whether it is about a key, so that a policy can suspend the key for it.
    #[must_use]
    pub const fn is_of_key(self) -> bool {
        match self {
            Self::NewNetwork | Self::NewEndpoint | Self::RefusalBurst | Self::RevokedSecretUsed => {
                true
            }
            Self::VerificationFailed | Self::LedgerAnchored => false,
        }
    }

    /// The words of those that are about a key.
    #[must_use]
    pub fn words_of_keys() -> Vec<&'static str> {
        let of_keys = Self::ALL.iter().filter(|one| one.is_of_key());
        of_keys.map(|one| one.as_str()).collect()
    }
}

/// A word that is no [`SignalType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no type of signal")]
pub struct NoSignalType;

impl FromStr for SignalType {
    type Err = NoSignalType;

    fn from_str(text: &str) -> Result<Self, NoSignalType> {
        let mut all = Self::ALL.iter();
        let found = all.find(|one| one.as_str() == text);
        found.copied().ok_or(NoSignalType)
    }
}

/// A network: addresses that count as one place. IPv4 by its first 24 bits, IPv6 by its first 48;
/// an IPv4 address that is written in IPv6 is an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let net = match address.to_canonical() {
            IpAddr::V4(one) => Ipv4Net::new(one, IPV4_BITS).map(IpNet::V4),
            IpAddr::V6(one) => Ipv6Net::new(one, IPV6_BITS).map(IpNet::V6),
        };
        // The lengths fit their families, so the address alone is never needed.
        Self(net.map_or_else(|_too_long| IpNet::from(address), |net| net.trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a key was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting<'a> {
    /// A call from this network.
    Network(Network),
    /// A call to this endpoint.
    Endpoint {
        /// The method.
        method: &'a str,
        /// The pattern of the route.
        route: &'a str,
    },
}

/// What a sighting means to what is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// It was known, and was seen today already. Nothing changes.
    Known,
    /// It was known, and was not seen today yet.
    SeenAgain,
    /// It is known from here on, and is worth no word.
    Learnt,
    /// It is known from here on, and is worth a signal.
    News,
}

/// The day of a key: each key begins its day at another instant, so that not all of them are written
/// at midnight.
#[must_use]
pub fn day_of(key: KeyId, at: Timestamp) -> i64 {
    let shift = i64::try_from(key.low() % DAY_MS.unsigned_abs()).unwrap_or(0);
    at.millis().saturating_add(shift).div_euclid(DAY_MS)
}

/// Something that a key does: what, first seen in milliseconds since 1970, and the last day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Habit(String, i64, i64);

/// What a key has done before, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// The first use, in milliseconds since 1970.
    first: i64,
    networks: Vec<Habit>,
    endpoints: Vec<Habit>,
}

impl Habits {
    /// Those of a key that is used for the first time.
    #[must_use]
    pub const fn begin(at: Timestamp) -> Self {
        Self {
            first: at.millis(),
            networks: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// The text that is kept.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Habits::to_json`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Takes in what the key was seen to do, and says what that means. The first network is learnt
    /// without a word, and so are the endpoints of the first [`LEARNING`].
    ///
    /// Where there is no room, what was not seen for the longest time gives way, and of what was seen
    /// on the same day the newcomer: whoever rotates addresses pushes out no more than their own.
    pub fn meet(&mut self, seen: Sighting<'_>, (key, at): (KeyId, Timestamp)) -> Meeting {
        let learning_ends = Timestamp::from_millis(self.first).plus(LEARNING);
        let (list, most, what, is_silent) = match seen {
            Sighting::Network(network) => {
                let is_first = self.networks.is_empty();
                let what = network.to_string();
                (&mut self.networks, NETWORKS_MAX, what, is_first)
            }
            Sighting::Endpoint { method, route } => {
                let what = format!("{method} {route}");
                let is_early = at < learning_ends;
                (&mut self.endpoints, ENDPOINTS_MAX, what, is_early)
            }
        };
        let day = day_of(key, at);
        if let Some(known) = list.iter_mut().find(|known| known.0 == what) {
            if known.2 >= day {
                return Meeting::Known;
            }
            known.2 = day;
            return Meeting::SeenAgain;
        }
        if list.len() >= most {
            let places = list.iter().enumerate();
            let least = places.min_by_key(|(_, known)| (known.2, Reverse(known.1)));
            if let Some((place, _)) = least {
                list.remove(place);
            }
        }
        list.push(Habit(what, at.millis(), day));
        if is_silent {
            Meeting::Learnt
        } else {
            Meeting::News
        }
    }
}

/// The refusals of one key, as far as they matter.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    /// The last ones, at most [`BURST_REFUSALS`], oldest first.
    last: VecDeque<Timestamp>,
    told_at: Option<Timestamp>,
}

impl Refusals {
    /// Notes one. Gives over what time the last [`BURST_REFUSALS`] came, if they are a burst that is
    /// worth a signal.
    pub fn note(&mut self, at: Timestamp) -> Option<Duration> {
        if self.last.len() >= BURST_REFUSALS {
            self.last.pop_front();
        }
        self.last.push_back(at);
        let within = at.since(*self.last.front()?);
        let is_burst = self.last.len() >= BURST_REFUSALS && within <= BURST_WITHIN;
        let is_told = self.told_at.is_some_and(|told| at < told.plus(QUIET));
        if !is_burst || is_told {
            return None;
        }
        self.told_at = Some(at);
        Some(within)
    }

    /// Whether nothing of it matters any more.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        let is_old = |at: Option<Timestamp>, span| at.is_none_or(|at| at.plus(span) < now);
        is_old(self.last.back().copied(), BURST_WITHIN) && is_old(self.told_at, QUIET)
    }
}

/// Uses of a secret that has ended: the first is told, and then what came in each [`QUIET`].
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadUses {
    told_at: Option<Timestamp>,
    untold: u64,
}

impl DeadUses {
    /// Notes one. Gives how many a signal stands for, if one is due.
    pub fn note(&mut self, at: Timestamp) -> Option<u64> {
        self.untold = self.untold.saturating_add(1);
        if self.told_at.is_some_and(|told| at < told.plus(QUIET)) {
            return None;
        }
        self.told_at = Some(at);
        Some(std::mem::take(&mut self.untold))
    }

    /// Whether nothing of it matters any more.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.told_at.is_none_or(|told| told.plus(QUIET) < now)
    }
}

/// How many signals of a key this hour has brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    hour: i64,
    given: u32,
    withheld: u64,
}

impl Allowance {
    /// Asks for one more. Gives how many were withheld since the last that was not, or `None` if this
    /// one is withheld too.
    pub fn take(&mut self, at: Timestamp) -> Option<u64> {
        let hour = at.millis().div_euclid(HOUR_MS);
        if hour > self.hour {
            (self.hour, self.given) = (hour, 0);
        }
        if self.given >= SIGNALS_PER_HOUR_MAX {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.given += 1;
        Some(std::mem::take(&mut self.withheld))
    }

    /// Whether it is of an hour before this one. A count that nobody was told goes a day later.
    #[must_use]
    pub const fn is_over(&self, now: Timestamp) -> bool {
        let hours = now.millis().div_euclid(HOUR_MS) - self.hour;
        hours > 24 || hours > 0 && self.withheld == 0
    }
}

#[cfg(test)]
mod tests;
