//! The limit of calls without a credential: so many a minute for each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use claviger_core::{
    limit::{Limit, Verdict},
    time::Timestamp,
};
use parking_lot::Mutex;

use crate::failure::Failure;

/// How many addresses are told apart. Beyond it the others share one limit: a flood from everywhere
/// at once costs no more memory, and locks out nobody who came before it.
const ADDRESSES_MAX: usize = 10_000;
/// How often those whose minute is over are looked for.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// The window of the limit, in milliseconds: in the units of the table one call costs as much.
const WINDOW_MS: u64 = 60_000;
/// Whoever has an IPv6 address has at least so many bits of them.
const IPV6_HOST_BITS: u32 = 64;

/// Counts calls of strangers.
#[derive(Debug)]
pub(crate) struct StrangerLimiter {
    per_minute: u32,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    kept: HashMap<IpAddr, i128>,
    swept_at: Timestamp,
}

impl StrangerLimiter {
    /// A limit of so many calls a minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            table: Mutex::new(Table {
                kept: HashMap::new(),
                swept_at: Timestamp::from_millis(0),
            }),
        }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// [`Failure::TooManyCalls`].
    pub(crate) fn check(&self, client: IpAddr, now: Timestamp) -> Result<(), Failure> {
        let limit = Limit {
            burst: self.per_minute,
            window: Duration::from_millis(WINDOW_MS),
        };
        let mut table = self.table.lock();
        let place = table.place(client, self.per_minute, now);
        let last = table.kept.get(&place).copied().unwrap_or(0);
        match limit.check(last, now) {
            Verdict::Allowed { next, .. } => {
                table.kept.insert(place, next);
                Ok(())
            }
            Verdict::Refused { retry_after } => Err(Failure::TooManyCalls {
                per_minute: self.per_minute,
                retry_after,
            }),
        }
    }
}

impl StrangerLimiter {
    /// Takes a call back that was counted: whoever proved who it is is no stranger.
    pub(crate) fn forgive(&self, client: IpAddr, now: Timestamp) {
        let mut table = self.table.lock();
        let place = table.place(client, self.per_minute, now);
        if let Some(arrival) = table.kept.get_mut(&place) {
            *arrival = arrival.saturating_sub(i128::from(WINDOW_MS));
        }
    }
}

impl Table {
    /// Under which address the call is counted.
    fn place(&mut self, client: IpAddr, per_minute: u32, now: Timestamp) -> IpAddr {
        let place = neighbourhood(client);
        if self.kept.len() < ADDRESSES_MAX || self.kept.contains_key(&place) {
            return place;
        }
        if now.since(self.swept_at) >= SWEEP_PAUSE {
            let present = i128::from(now.millis()) * i128::from(per_minute);
            self.kept.retain(|_, arrival| *arrival > present);
            self.swept_at = now;
        }
        if self.kept.len() < ADDRESSES_MAX {
            place
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        }
    }
}

/// The address itself, or the network of which its owner has the whole.
fn neighbourhood(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> IPV6_HOST_BITS << IPV6_HOST_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use claviger_core::time::Timestamp;

    use super::{ADDRESSES_MAX, StrangerLimiter};

    fn passed(limiter: &StrangerLimiter, client: &str, now: i64) -> usize {
        let client: IpAddr = client.parse().expect("an address");
        let asked = (0..100).map(|_| limiter.check(client, Timestamp::from_millis(now)));
        asked.filter(Result::is_ok).count()
    }

    #[test]
    fn each_address_has_its_own_minute() {
        let limiter = StrangerLimiter::new(5);
        assert_eq!(passed(&limiter, "192.0.2.1", 1_000_000), 5);
        assert_eq!(passed(&limiter, "192.0.2.2", 1_000_000), 5);
        assert_eq!(passed(&limiter, "::ffff:192.0.2.2", 1_000_000), 0);
        assert_eq!(passed(&limiter, "192.0.2.1", 1_012_000), 1, "a fifth later");
    }

    #[test]
    fn addresses_of_one_network_are_one_caller() {
        let limiter = StrangerLimiter::new(5);
        assert_eq!(passed(&limiter, "2001:db8:1:1::1", 1_000_000), 5);
        assert_eq!(
            passed(&limiter, "2001:db8:1:1:ffff::9", 1_000_000),
            0,
            "the same network"
        );
        assert_eq!(passed(&limiter, "2001:db8:1:2::1", 1_000_000), 5);
    }

    #[test]
    fn flood_from_everywhere_is_bounded_and_locks_out_nobody_who_came_before() {
        let limiter = StrangerLimiter::new(5);
        let now = Timestamp::from_millis(1_000_000);
        for n in 0..u32::try_from(ADDRESSES_MAX).expect("small") {
            let client = IpAddr::V4(Ipv4Addr::from_bits(n));
            assert!(limiter.check(client, now).is_ok());
        }
        assert_eq!(passed(&limiter, "192.0.2.1", 1_000_000), 5, "shared");
        assert_eq!(passed(&limiter, "192.0.2.2", 1_000_000), 0, "shared");
        assert_eq!(passed(&limiter, "0.0.0.7", 1_000_000), 4, "its own");
        assert!(limiter.table.lock().kept.len() <= ADDRESSES_MAX + 1);
        assert_eq!(passed(&limiter, "192.0.2.2", 1_070_000), 5, "room again");
    }
}
