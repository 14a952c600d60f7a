//! Requests for keys: somebody asks, somebody who holds the right approves, and the asker collects.

mod approver;
mod asker;
mod lifetime;

use std::{fmt, str::FromStr, time::Duration};

use crate::{
    grant::Grant,
    id::{KeyId, OrgId, RequestId},
    key::Metadata,
    tier::{Actor, Tier},
    time::Timestamp,
};

pub use approver::{Void, check_approver};
pub use asker::Asker;
pub use lifetime::Lifetime;

/// How long a request waits for a decision.
pub const PENDING_FOR: Duration = Duration::from_hours(7 * 24);
/// How long the key of an approved request can be collected.
pub const COLLECT_WITHIN: Duration = Duration::from_hours(24);
/// How long a request is kept, counted from when it was asked. Longer than any can be open.
pub const KEPT_FOR: Duration = Duration::from_hours(90 * 24);
/// The longest justification, in characters.
pub const JUSTIFICATION_CHARS_MAX: usize = 1000;
/// The longest note on a decision, in characters.
pub const NOTE_CHARS_MAX: usize = 1000;
/// The metadata entry by which a collected key names its request.
pub const METADATA_NAME: &str = "request";

/// How a request stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits for a decision.
    Pending,
    /// Waits to be collected.
    Approved,
    /// Refused.
    Denied,
    /// Neither decided nor collected in time.
    Expired,
    /// Taken back by its asker.
    Withdrawn,
    /// Its key was minted.
    Collected,
}

impl Status {
    /// Every status.
    pub const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Withdrawn,
        Self::Collected,
    ];

    /// The word in the API and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Collected => "collected",
        }
    }

    /// What to do when a step needs another status.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Pending => "its key can be collected when it has been approved",
            Self::Approved => "it was decided before, and waits for its asker to collect the key",
            Self::Denied => "it was decided before; ask again if that has changed",
            Self::Expired => "ask again",
            Self::Withdrawn => "its asker took it back; ask again if it is needed after all",
            Self::Collected => "its key was minted, and its secret shown once; ask for another",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text of a request that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct RequestTextError(&'static str);

impl FromStr for Status {
    type Err = RequestTextError;

    fn from_str(text: &str) -> Result<Self, RequestTextError> {
        let found = Self::ALL.iter().find(|status| status.as_str() == text);
        found
            .copied()
            .ok_or(RequestTextError("a status of a request"))
    }
}

/// The key that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it is to do.
    pub grant: Grant,
    /// How long it is to live.
    pub lifetime: Lifetime,
    /// Its free pairs.
    pub metadata: Metadata,
}

/// What was approved: never more than was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// What the key may do.
    pub grant: Grant,
    /// How long it lives.
    pub lifetime: Lifetime,
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The label at that time.
    pub by: Actor,
    /// The key, where it was one: the minter of what is collected.
    pub key: Option<KeyId>,
    /// How it had proved itself, as a policy on minters sees it.
    pub tier: Tier,
    /// When.
    pub at: Timestamp,
    /// What was said to it.
    pub note: Option<String>,
}

/// The key that came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    /// When it was minted.
    pub at: Timestamp,
    /// Its id.
    pub key: KeyId,
}

/// What is done to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Approve it, with what it comes to.
    Approve(Decision, Approved),
    /// Deny it.
    Deny(Decision),
    /// Take it back.
    Withdraw,
    /// Mint its key.
    Collect(Collection),
}

/// A request for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// Its id.
    pub id: RequestId,
    /// The org that it belongs to.
    pub org: OrgId,
    /// Who asked.
    pub asker: Asker,
    /// The label of the asker at that time.
    pub asked_by: Actor,
    /// When.
    pub asked_at: Timestamp,
    /// Why.
    pub justification: String,
    /// What is asked for.
    pub wanted: Wanted,
    /// The key whose rights are too few.
    pub for_key: Option<KeyId>,
    /// From when on it is expired, as long as it is open.
    pub expires_at: Timestamp,
    /// What was done to it last, apart from the passing of time; never [`Status::Expired`].
    pub stage: Status,
    /// The decision.
    pub decision: Option<Decision>,
    /// What was approved.
    pub approved: Option<Approved>,
    /// What came of it.
    pub collection: Option<Collection>,
}

impl KeyRequest {
    /// How it stands at this instant.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        match self.stage {
            Status::Pending | Status::Approved if now >= self.expires_at => Status::Expired,
            stage => stage,
        }
    }

    /// The request after a step.
    ///
    /// # Errors
    /// The status that does not allow the step.
    pub fn after(mut self, step: Step, now: Timestamp) -> Result<Self, Status> {
        let status = self.status(now);
        let is_allowed = match step {
            Step::Approve(..) => status == Status::Pending,
            // An approval can be taken back as long as nothing was collected.
            Step::Deny(_) | Step::Withdraw => {
                matches!(status, Status::Pending | Status::Approved)
            }
            Step::Collect(_) => status == Status::Approved,
        };
        if !is_allowed {
            return Err(status);
        }
        match step {
            Step::Approve(decision, approved) => {
                self.stage = Status::Approved;
                self.expires_at = decision.at.plus(COLLECT_WITHIN);
                self.decision = Some(decision);
                self.approved = Some(approved);
            }
            Step::Deny(decision) => {
                self.stage = Status::Denied;
                self.decision = Some(decision);
            }
            Step::Withdraw => self.stage = Status::Withdrawn,
            Step::Collect(collection) => {
                self.stage = Status::Collected;
                self.collection = Some(collection);
            }
        }
        Ok(self)
    }

    /// When the key ends if it is collected now: as was asked and as was approved, and with its
    /// minter at the latest.
    #[must_use]
    pub fn end_of_key(
        &self,
        approved: &Approved,
        minter_ends: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let asked = self.wanted.lifetime.end(now);
        let ends = [asked, approved.lifetime.end(now), minter_ends];
        ends.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        Approved, Asker, COLLECT_WITHIN, Collection, Decision, KEPT_FOR, KeyRequest, Lifetime,
        PENDING_FOR, Status, Step, Wanted,
    };
    use crate::{
        grant::Grant,
        id::{KeyId, OrgId, RequestId},
        tier::{Actor, Tier},
        time::Timestamp,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn request(lifetime: Lifetime) -> KeyRequest {
        KeyRequest {
            id: RequestId::from_u128(1),
            org: OrgId::from_u128(1),
            asker: Asker::Key(KeyId::from_u128(7)),
            asked_by: Actor::AdminToken,
            asked_at: NOW,
            justification: "why".to_owned(),
            wanted: Wanted {
                name: "k".to_owned(),
                grant: Grant::admin(),
                lifetime,
                metadata: [].into(),
            },
            for_key: None,
            expires_at: NOW.plus(PENDING_FOR),
            stage: Status::Pending,
            decision: None,
            approved: None,
            collection: None,
        }
    }

    fn decision(at: Timestamp) -> Decision {
        Decision {
            by: Actor::AdminToken,
            key: None,
            tier: Tier::AdminToken,
            at,
            note: None,
        }
    }

    fn approve(at: Timestamp) -> Step {
        let approved = Approved {
            grant: Grant::admin(),
            lifetime: Lifetime::Open,
        };
        Step::Approve(decision(at), approved)
    }

    fn collect(at: Timestamp) -> Step {
        let key = KeyId::from_u128(9);
        Step::Collect(Collection { at, key })
    }

    #[test]
    fn pending_request_expires_at_the_exact_millisecond() {
        let request = request(Lifetime::Open);
        let end = NOW.plus(PENDING_FOR);
        let last = end.minus(Duration::from_millis(1));
        assert_eq!(request.status(last), Status::Pending);
        assert_eq!(request.status(end), Status::Expired);
        let late = request.clone().after(approve(end), end);
        assert_eq!(late.err(), Some(Status::Expired));
        assert!(request.after(approve(last), last).is_ok());
    }

    #[test]
    fn approved_request_is_collected_within_a_day() {
        let approved = request(Lifetime::Open).after(approve(NOW), NOW);
        let approved = approved.expect("it is pending");
        let end = NOW.plus(COLLECT_WITHIN);
        assert_eq!(approved.expires_at, end);
        assert_eq!(approved.status(end), Status::Expired);
        let late = approved.clone().after(collect(end), end);
        assert_eq!(late.err(), Some(Status::Expired));
        let collected = approved.after(collect(NOW), NOW).expect("in time");
        assert_eq!(collected.status(Timestamp::MAX), Status::Collected);
    }

    #[test]
    fn each_step_needs_its_status() {
        let pending = request(Lifetime::Open);
        let step = |from: &KeyRequest, step| from.clone().after(step, NOW);
        let approved = step(&pending, approve(NOW)).expect("it is pending");
        let denied = step(&pending, Step::Deny(decision(NOW))).expect("it is pending");
        let withdrawn = step(&approved, Step::Withdraw).expect("it is open");
        let collected = step(&approved, collect(NOW)).expect("it is approved");
        assert!(step(&pending, Step::Withdraw).is_ok());
        assert_eq!(step(&pending, collect(NOW)).err(), Some(Status::Pending));
        assert_eq!(step(&approved, approve(NOW)).err(), Some(Status::Approved));
        let taken_back = step(&approved, Step::Deny(decision(NOW))).expect("it is open");
        assert_eq!(step(&taken_back, collect(NOW)).err(), Some(Status::Denied));
        for closed in [denied, withdrawn, collected] {
            let steps = [
                approve(NOW),
                Step::Deny(decision(NOW)),
                Step::Withdraw,
                collect(NOW),
            ];
            for next in steps {
                assert_eq!(step(&closed, next).err(), Some(closed.stage));
            }
        }
    }

    #[test]
    fn key_never_outlives_what_was_asked_what_was_approved_or_its_minter() {
        let at = |millis: u64| NOW.plus(Duration::from_millis(millis));
        let span = |millis| Lifetime::For(Duration::from_millis(millis));
        let end = |wanted, lifetime, minter| {
            let grant = Grant::admin();
            request(wanted).end_of_key(&Approved { grant, lifetime }, minter, NOW)
        };
        let open = Lifetime::Open;
        assert_eq!(end(open, open, None), None);
        assert_eq!(end(open, open, Some(at(5))), Some(at(5)));
        assert_eq!(end(span(9), span(7), Some(at(8))), Some(at(7)));
        assert_eq!(end(Lifetime::Until(at(3)), span(7), None), Some(at(3)));
        assert!(span(9).covers(Lifetime::Until(at(9)), NOW));
        assert!(!span(9).covers(Lifetime::Until(at(10)), NOW));
        assert!(!span(9).covers(open, NOW) && open.covers(open, NOW));
    }

    #[test]
    fn what_is_kept_parses_back() {
        let key = KeyId::from_u128(7);
        for asker in [Asker::Key(key), Asker::Other(Actor::Session("u".into()))] {
            assert_eq!(asker.to_string().parse(), Ok(asker));
        }
        for lifetime in [
            Lifetime::Open,
            Lifetime::For(PENDING_FOR),
            Lifetime::Until(NOW),
        ] {
            assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        }
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        for bad in ["", "for", "for x", "until -", "open 1"] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_open_is_ever_old_enough_to_be_purged() {
        assert!(PENDING_FOR + COLLECT_WITHIN < KEPT_FOR);
    }
}
