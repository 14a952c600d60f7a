//! Each rule of signals, on the instants where it turns.

use serde_json::json;

use super::*;

fn key() -> KeyId {
    KeyId::from_u128(7)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn network(text: &str) -> Network {
    Network::of(text.parse().expect("an address"))
}

fn from(text: &str) -> Sighting<'static> {
    Sighting::Network(network(text))
}

const READ: Sighting<'static> = Sighting::Endpoint {
    method: "GET",
    route: "/workspaces/{id}",
};
const WRITE: Sighting<'static> = Sighting::Endpoint {
    method: "PATCH",
    route: "/workspaces/{id}",
};

#[test]
fn addresses_of_one_place_are_one_network() {
    for (address, expected) in [
        ("192.0.2.1", "192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.0/24"),
        ("192.0.3.0", "192.0.3.0/24"),
        ("::ffff:192.0.2.9", "192.0.2.0/24"),
        ("2001:db8:1:ffff::1", "2001:db8:1::/48"),
        ("2001:db8:2::", "2001:db8:2::/48"),
        ("::1", "::/48"),
    ] {
        assert_eq!(network(address).to_string(), expected, "{address}");
    }
}

#[test]
fn first_network_is_learnt_and_each_other_is_news_once() {
    let mut habits = Habits::begin(at(0));
    let seen = [
        (from("192.0.2.1"), Meeting::Learnt),
        (from("192.0.2.7"), Meeting::Known),
        (from("198.51.100.1"), Meeting::News),
        (from("198.51.100.2"), Meeting::Known),
        (from("::ffff:192.0.2.3"), Meeting::Known),
        (from("2001:db8::1"), Meeting::News),
    ];
    for (what, expected) in seen {
        assert_eq!(habits.meet(what, (key(), at(5))), expected, "{what:?}");
    }
    // What is written and read again knows the same.
    let mut read = Habits::from_json(&habits.to_json()).expect("habits");
    assert_eq!(read, habits);
    assert_eq!(
        read.meet(from("2001:db8::2"), (key(), at(6))),
        Meeting::Known
    );
    let next_day = at(DAY_MS);
    let again = |habits: &mut Habits| habits.meet(from("2001:db8::2"), (key(), next_day));
    assert_eq!(again(&mut read), Meeting::SeenAgain);
    assert_eq!(again(&mut read), Meeting::Known);
    assert_eq!(Habits::from_json("{}"), None);
}

#[test]
fn endpoints_of_the_first_day_are_learnt() {
    let mut habits = Habits::begin(at(0));
    let last = at(DAY_MS - 1);
    assert_eq!(habits.meet(READ, (key(), last)), Meeting::Learnt);
    assert_eq!(habits.meet(WRITE, (key(), at(DAY_MS))), Meeting::News);
    assert_ne!(habits.meet(READ, (key(), at(DAY_MS))), Meeting::News);
}

#[test]
fn a_flood_pushes_out_its_own_networks_alone() {
    let mut habits = Habits::begin(at(0));
    assert_eq!(
        habits.meet(from("192.0.2.1"), (key(), at(0))),
        Meeting::Learnt
    );
    for n in 0..1000_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n * 256));
        let seen = Sighting::Network(Network::of(address));
        assert_eq!(
            habits.meet(seen, (key(), at(1 + i64::from(n)))),
            Meeting::News
        );
    }
    assert_eq!(habits.networks.len(), NETWORKS_MAX);
    assert_eq!(
        habits.meet(from("192.0.2.1"), (key(), at(2000))),
        Meeting::Known
    );
    // What was not seen for a day gives way first.
    let later = at(DAY_MS * 2);
    habits.meet(from("192.0.2.1"), (key(), later));
    for n in 0..255_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from(0x0b00_0000 + n * 256));
        habits.meet(Sighting::Network(Network::of(address)), (key(), later));
    }
    assert_eq!(
        habits.meet(from("192.0.2.1"), (key(), later)),
        Meeting::Known
    );
    assert_eq!(habits.meet(from("10.0.0.1"), (key(), later)), Meeting::News);
    assert_eq!(habits.networks.len(), NETWORKS_MAX);
}

#[test]
fn twenty_refusals_in_a_minute_are_one_burst_in_ten_minutes() {
    let mut refusals = Refusals::default();
    // Nineteen, and one a minute and a millisecond after the first.
    assert!((0..19).all(|n| refusals.note(at(n)).is_none()));
    assert_eq!(refusals.note(at(60_001)), None);
    // Of the last twenty the first is the second of all.
    assert_eq!(
        refusals.note(at(60_001)),
        Some(Duration::from_millis(60_000))
    );
    let quiet = 60_001 + 599_999;
    assert!((0..40).all(|n| refusals.note(at(quiet - 40 + n)).is_none()));
    assert!(!refusals.is_over(at(quiet)));
    assert_eq!(
        refusals.note(at(quiet + 1)).map(|span| span.as_millis()),
        Some(20)
    );
    assert!(refusals.is_over(at(quiet + 2 + 600_000)));
}

#[test]
fn uses_of_a_dead_secret_are_told_and_then_counted() {
    let mut uses = DeadUses::default();
    assert!(uses.is_over(at(0)));
    assert_eq!(uses.note(at(0)), Some(1));
    assert!((1..100).all(|n| uses.note(at(n)).is_none()));
    assert!(!uses.is_over(at(600_000)));
    assert_eq!(uses.note(at(600_000)), Some(100));
}

#[test]
fn an_hour_has_its_most_signals_and_the_next_says_how_many_were_left_out() {
    let mut allowance = Allowance::default();
    let hour = 1_700_000_000_000_i64.rem_euclid(HOUR_MS);
    let begin = HOUR_MS - hour;
    for _ in 0..SIGNALS_PER_HOUR_MAX {
        assert_eq!(allowance.take(at(begin)), Some(0));
    }
    assert_eq!(allowance.take(at(begin)), None);
    assert_eq!(allowance.take(at(begin + HOUR_MS - 1)), None);
    assert!(!allowance.is_over(at(begin + HOUR_MS)));
    assert_eq!(allowance.take(at(begin + HOUR_MS)), Some(2));
    assert!(allowance.is_over(at(begin + HOUR_MS * 2)));
}

#[test]
fn every_type_is_read_back_and_has_words() {
    for kind in SignalType::ALL {
        assert_eq!(kind.as_str().parse(), Ok(*kind));
        let change = json!({"signal": {"type": kind.as_str()}});
        assert_eq!(type_of(&change), Some(*kind));
        assert!(words(&change).is_some_and(|words| !words.is_empty()));
    }
    assert_eq!("more".parse::<SignalType>(), Err(NoSignalType));
    let said = |signal| words(&json!({"signal": signal})).unwrap_or_default();
    assert_eq!(
        said(json!({"type": "new_network", "network": "192.0.2.0/24"})),
        "used from a new network: 192.0.2.0/24"
    );
    assert_eq!(
        said(json!({"type": "revoked_secret_used", "because": "rotated_out", "uses": 3})),
        "a secret that was replaced was used 3 times"
    );
    let anchored = json!({"anchored": {"size": 9}});
    assert_eq!(type_of(&anchored), Some(SignalType::LedgerAnchored));
    assert_eq!(words(&json!({"minted": {}})), None);
}
