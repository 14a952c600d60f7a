//! What is known in memory is bounded, and what is met again is not asked about.

use claviger_core::{
    id::KeyId,
    signal::{Network, SIGNALS_PER_HOUR_MAX},
    time::Timestamp,
};

use super::{ALLOWANCES_MAX, MET_MAX, Met, Seen, Sighting, Signals};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn calls(key: u128, route: &'static str) -> Sighting {
    Sighting {
        key: KeyId::from_u128(key),
        at: NOW,
        what: Seen::Calls("GET", route),
    }
}

fn from(key: u128, end: u8) -> Sighting {
    let address = std::net::IpAddr::from([192, 0, 2, end]);
    Sighting {
        what: Seen::From(Network::of(address), address),
        ..calls(key, "")
    }
}

#[test]
fn what_was_met_today_is_not_asked_about() {
    let signals = Signals::default();
    let seen = vec![calls(1, "/a"), from(1, 1), calls(2, "/a")];
    let unmet = signals.unmet(seen.clone());
    let keys: Vec<_> = unmet.iter().map(|(key, of)| (*key, of.len())).collect();
    let expected = [(KeyId::from_u128(1), 2), (KeyId::from_u128(2), 1)];
    assert_eq!(keys, expected);
    // Nothing is met before it is kept.
    assert_eq!(signals.unmet(seen.clone()).len(), 2);
    signals.remember(&seen);
    assert!(signals.unmet(seen).is_empty());
    // Another address of the same network is the same; another key or endpoint is not.
    assert!(signals.unmet(vec![from(1, 9)]).is_empty());
    let others = vec![from(2, 1), calls(1, "/b")];
    assert_eq!(signals.unmet(others).len(), 2);
    let tomorrow = Sighting {
        at: NOW.plus(std::time::Duration::from_hours(24)),
        ..calls(1, "/a")
    };
    assert_eq!(signals.unmet(vec![tomorrow]).len(), 1);
}

#[test]
fn what_is_met_again_is_kept_and_the_rest_goes() {
    let mut met = Met::default();
    let most = u64::try_from(MET_MAX).expect("a number");
    for mark in 0..most * 3 {
        met.add(mark);
        assert!(met.has(0));
    }
    assert!(met.young.len() <= MET_MAX && met.old.len() <= MET_MAX);
    assert!(!met.has(1) && met.has(most * 3 - 1));
}

#[test]
fn signals_are_bounded_for_each_key_and_for_all_together() {
    let signals = Signals::default();
    let one = KeyId::from_u128(1);
    let allowed = (0..100).filter(|_| signals.allow(one, NOW).is_some());
    assert_eq!(u32::try_from(allowed.count()), Ok(SIGNALS_PER_HOUR_MAX));
    let most = u128::try_from(ALLOWANCES_MAX).expect("a number");
    let keys = (2..most + 10).map(KeyId::from_u128);
    let allowed = keys.filter(|key| signals.allow(*key, NOW).is_some());
    assert_eq!(allowed.count(), ALLOWANCES_MAX - 1);
    signals.forget_old(NOW.plus(std::time::Duration::from_hours(1)));
    assert_eq!(
        signals.allowances.lock().len(),
        1,
        "what was withheld is told"
    );
    signals.forget_old(NOW.plus(std::time::Duration::from_hours(48)));
    assert!(signals.allowances.lock().is_empty());
}
