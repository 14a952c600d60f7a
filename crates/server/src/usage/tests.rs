//! What is counted in memory is neither lost nor without bounds.

use claviger_core::{id::KeyId, time::Timestamp};
use claviger_store::AddressUse;

use super::{CELLS_PER_KEY_MAX, CellKey, Counts, Usage};
use crate::metrics::Metrics;

const NOW: Timestamp = Timestamp::from_millis(3_600_000);

fn cell(key: u128) -> CellKey {
    CellKey {
        key: KeyId::from_u128(key),
        hour: NOW,
        method: "GET",
        route: "/workspaces/{id}/secrets",
        workspace: None,
    }
}

fn seen() -> AddressUse {
    AddressUse {
        address: "192.0.2.1".parse().expect("an address"),
        first_at: NOW,
        last_at: NOW,
        calls: 1,
    }
}

const ONE: Counts = Counts {
    calls: 1,
    refusals: 0,
    own: 0,
};

#[test]
fn what_could_not_be_written_is_written_the_next_time() {
    let (usage, metrics) = (Usage::default(), Metrics::default());
    for key in [1, 2, 1] {
        usage.add(cell(key), ONE, Some(seen()), &metrics);
    }
    let first = usage.take(NOW);
    usage.add(cell(1), ONE, Some(seen()), &metrics);
    usage.put_back(&first, &metrics);
    let second = usage.take(NOW);
    let calls = |key| {
        let of_key = second
            .cells
            .iter()
            .filter(|c| c.key == KeyId::from_u128(key));
        of_key.map(|cell| cell.calls).sum::<u64>()
    };
    assert_eq!((calls(1), calls(2)), (3, 1));
    let calls: u64 = second.addresses.iter().map(|(_, seen)| seen.calls).sum();
    assert_eq!(calls, 4);
    assert_eq!(usage.take(NOW), claviger_store::UsageBatch::default());
    assert_eq!(usage.waiting.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn whoever_names_any_number_of_workspaces_fills_no_memory() {
    let (usage, metrics) = (Usage::default(), Metrics::default());
    for workspace in 0..u128::from(CELLS_PER_KEY_MAX) + 500 {
        let at = CellKey {
            workspace: Some(claviger_core::id::WorkspaceId::from_u128(workspace)),
            ..cell(1)
        };
        usage.add(at, ONE, None, &metrics);
        // Also not when it is written in between.
        if workspace % 100 == 0 {
            assert!(!usage.take(NOW).cells.is_empty());
        }
    }
    let last = usage.take(NOW);
    assert_eq!(last.cells.len(), 1, "all in one");
    assert_eq!(last.cells.first().and_then(|cell| cell.workspace), None);
    let next = CellKey {
        hour: Timestamp::from_millis(7_200_000),
        workspace: Some(claviger_core::id::WorkspaceId::from_u128(1)),
        ..cell(1)
    };
    usage.add(next, ONE, None, &metrics);
    let next = usage.take(NOW).cells;
    assert!(
        next.iter().all(|cell| cell.workspace.is_some()),
        "a new hour"
    );
}

#[test]
fn beyond_all_bounds_a_metric_says_what_is_lost() {
    let (usage, metrics) = (Usage::default(), Metrics::default());
    for key in 0..u128::try_from(super::CELLS_MAX).expect("small") + 7 {
        usage.add(cell(key), ONE, None, &metrics);
    }
    assert_eq!(metrics.usage_lost.get(), 7);
    usage.add(cell(1), ONE, None, &metrics);
    assert_eq!(
        metrics.usage_lost.get(),
        7,
        "there is room for what is known"
    );
    assert_eq!(usage.take(NOW).cells.len(), super::CELLS_MAX);
}
