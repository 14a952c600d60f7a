//! How far authority may be passed on: what the grants above a new key say about it.

use std::time::Duration;

use crate::{
    grant::{Delegation, RateLimit},
    id::KeyId,
    key::OrgKey,
    tier::Authority,
    time::Timestamp,
};

/// Which bound a mint would break, and what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// Too many generations below one of the keys above.
    #[error(
        "a key above (its `delegation.depth`) allows {0} generations below it, and this one would stand lower: let a key above you mint it"
    )]
    Depth(u32),
    /// It would live longer than one of the keys above allows, or for ever.
    #[error("a key above (its `delegation.lifetime`) allows those below it to live for {} at most: ask for no longer", crate::time::format_duration(*.0))]
    Lifetime(Duration),
}

/// Decides whether a principal may mint a key that lives for so long; `None` is for ever.
///
/// The nearest layer of the authority is the minter's own grant: the new key stands one generation
/// below it, two below the next, and so on.
///
/// # Errors
/// The first bound that would be broken, nearest first.
pub fn check(authority: &Authority, lifetime: Option<Duration>) -> Result<(), DelegationError> {
    for (above, grant) in (1_u32..).zip(authority.layers()) {
        if let Some(depth) = grant.delegation.depth
            && above > depth
        {
            return Err(DelegationError::Depth(depth));
        }
        if let Some(longest) = grant.delegation.lifetime
            && lifetime.is_none_or(|asked| asked > longest)
        {
            return Err(DelegationError::Lifetime(longest));
        }
    }
    Ok(())
}

/// The longest life that the keys above allow to a new one.
#[must_use]
pub fn lifetime_max(authority: &Authority) -> Option<Duration> {
    let layers = authority.layers().iter();
    layers.filter_map(|grant| grant.delegation.lifetime).min()
}

/// Whether a key can live on without the one that minted it: nothing of it gets wider, and whoever is
/// above it then passes all of it on.
///
/// # Errors
/// The field of the child that is wider.
pub fn can_live_on(
    child: &OrgKey,
    parent: &OrgKey,
    heir: Option<&OrgKey>,
) -> Result<(), &'static str> {
    let never = Timestamp::MAX;
    for above in std::iter::once(parent).chain(heir) {
        above
            .grant
            .covers(&child.grant)
            .map_err(|error| error.field)?;
        if child.expires_at.unwrap_or(never) > above.expires_at.unwrap_or(never) {
            return Err("expires_at");
        }
    }
    // These bound all below a key together, or count from it: without it they would be looser.
    let heir = heir.map(|heir| &heir.grant);
    let shared = parent.grant.rate_limit;
    if shared != RateLimit::default()
        && !heir.is_some_and(|heir| is_limited(&heir.rate_limit, &shared))
    {
        return Err("rate_limit");
    }
    let (own, bounds) = (&child.grant.delegation, &parent.grant.delegation);
    let inherited = |of: fn(&Delegation) -> Option<u32>| heir.and_then(|heir| of(&heir.delegation));
    if let Some(keys) = bounds.keys
        && inherited(|bounds| bounds.keys).is_none_or(|above| above > keys)
    {
        return Err("delegation");
    }
    if let Some(depth) = bounds.depth {
        let is_own = own.depth.is_some_and(|own| own < depth);
        let is_inherited = inherited(|bounds| bounds.depth).is_some_and(|above| above <= depth);
        if !is_own && !is_inherited {
            return Err("delegation");
        }
    }
    Ok(())
}

/// Whether one limit is no looser than another.
fn is_limited(one: &RateLimit, other: &RateLimit) -> bool {
    let windows = [
        (one.per_minute, other.per_minute),
        (one.per_day, other.per_day),
    ];
    let mut pairs = windows.into_iter();
    pairs.all(|(one, other)| other.is_none_or(|other| one.is_some_and(|one| one <= other)))
}

/// The keys above a new one, nearest first, that bound the number of living keys below them, with
/// the bound. `authority` has their grants in the same order.
#[must_use]
pub fn counts(above: &[KeyId], authority: &Authority) -> Vec<(KeyId, u32)> {
    let pairs = above.iter().zip(authority.layers());
    pairs
        .filter_map(|(key, grant)| Some((*key, grant.delegation.keys?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{DelegationError, check, lifetime_max};
    use crate::{
        grant::{Delegation, Grant},
        tier::Authority,
    };

    fn authority(layers: &[Delegation]) -> Authority {
        let grant = |delegation: &Delegation| {
            Arc::new(Grant {
                delegation: *delegation,
                ..Grant::admin()
            })
        };
        Authority::of(layers.iter().map(grant).collect())
    }

    fn depth(depth: u32) -> Delegation {
        Delegation {
            depth: Some(depth),
            ..Delegation::default()
        }
    }

    #[test]
    fn a_generation_counts_from_each_key_above() {
        let none = Delegation::default();
        assert_eq!(check(&authority(&[none, none]), None), Ok(()));
        assert_eq!(check(&authority(&[depth(1)]), None), Ok(()));
        let refused = Err(DelegationError::Depth(0));
        assert_eq!(check(&authority(&[depth(0)]), None), refused);
        // The parent allows more than the one above it.
        let refused = Err(DelegationError::Depth(1));
        assert_eq!(check(&authority(&[depth(5), depth(1)]), None), refused);
        assert_eq!(check(&authority(&[depth(5), depth(2)]), None), Ok(()));
    }

    #[test]
    fn the_shortest_life_above_counts() {
        let hours = |hours: u64| Delegation {
            lifetime: Some(Duration::from_secs(hours * 3600)),
            ..Delegation::default()
        };
        let above = authority(&[hours(5), hours(2)]);
        let hour = Duration::from_secs(3600);
        assert_eq!(lifetime_max(&above), Some(2 * hour));
        assert_eq!(check(&above, Some(2 * hour)), Ok(()));
        assert_eq!(
            check(&above, Some(3 * hour)),
            Err(DelegationError::Lifetime(2 * hour))
        );
        assert_eq!(
            check(&above, None),
            Err(DelegationError::Lifetime(5 * hour))
        );
    }
}
