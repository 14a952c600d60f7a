//! What speaks against the keys of an org, found in the background: to look at ten thousand keys takes
//! longer than a page may.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claviger_core::{
    action::ReadKeys,
    advice::{Ages, Concern},
    authorize::Permit,
    id::{KeyId, OrgId},
    permission::PermissionSet,
    time::Timestamp,
};
use claviger_store::Page;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use crate::{
    app::App,
    clock,
    failure::Failure,
    gate::Call,
    ops::advice::{self, IDLE, UNUSED},
};

/// How long a page waits for the first review of an org; small orgs are looked at by then.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How long a page waits for a newer one.
const WAIT: Duration = Duration::from_millis(15);
/// A review is as good as new for so many times the time that it took, and so long at least.
const FRESH_FACTOR: u32 = 50;
const FRESH_MIN: Duration = Duration::from_secs(1);
/// How many findings one part has at most.
const PART: u32 = 200;
/// How many parts a review looks at: what lies beyond is left out, and the page says so.
const PARTS_MAX: usize = 500;

/// A key, and what speaks against it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    pub(super) id: KeyId,
    concerns: u8,
    /// What it holds and does not use, where it is over-broad.
    pub(super) unused: PermissionSet,
}

/// A kind of concern, as a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    NoExpiry,
    NeverUsed,
    Idle,
    OverBroad,
    MakerLeft,
}

impl Mark {
    /// Every kind, in the order of the cards.
    pub(super) const ALL: [Self; 5] = [
        Self::NoExpiry,
        Self::NeverUsed,
        Self::Idle,
        Self::OverBroad,
        Self::MakerLeft,
    ];

    const fn bit(self) -> u8 {
        match self {
            Self::NoExpiry => 1,
            Self::NeverUsed => 2,
            Self::Idle => 4,
            Self::OverBroad => 8,
            Self::MakerLeft => 16,
        }
    }

    const fn of(concern: Concern) -> Self {
        match concern {
            Concern::NoExpiry => Self::NoExpiry,
            Concern::NeverUsed => Self::NeverUsed,
            Concern::Idle(_) => Self::Idle,
            Concern::OverBroad(_) => Self::OverBroad,
            Concern::MakerLeft(_) => Self::MakerLeft,
        }
    }
}

impl Finding {
    fn of(id: KeyId, concerns: &[Concern]) -> Self {
        let marks = concerns.iter().map(|one| Mark::of(*one).bit());
        let unused = concerns.iter().find_map(|one| match one {
            Concern::OverBroad(unused) => Some(*unused),
            Concern::MakerLeft(_) | Concern::NeverUsed | Concern::Idle(_) | Concern::NoExpiry => {
                None
            }
        });
        Self {
            id,
            concerns: marks.fold(0, |all, mark| all | mark),
            unused: unused.unwrap_or(PermissionSet::NONE),
        }
    }

    pub(super) const fn has(&self, mark: Mark) -> bool {
        self.concerns & mark.bit() != 0
    }
}

/// What was found of an org.
#[derive(Debug, Clone)]
pub(super) struct Review {
    pub(super) at: Timestamp,
    /// Newest key first.
    pub(super) found: Vec<Finding>,
    /// Every key was looked at.
    pub(super) is_whole: bool,
    until: Instant,
}

impl Review {
    pub(super) fn count(&self, mark: Mark) -> u64 {
        let marked = self.found.iter().filter(|one| one.has(mark)).count();
        u64::try_from(marked).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
struct OfOrg {
    review: Option<Arc<Review>>,
    is_under_way: bool,
    done: watch::Sender<()>,
}

/// The reviews of the orgs whose security page was looked at.
#[derive(Debug, Default)]
pub(crate) struct Reviews {
    by_org: Mutex<HashMap<OrgId, OfOrg>>,
}

impl Reviews {
    /// Forgets what was found of a key: something was done about it.
    pub(super) fn forget(&self, org: OrgId, id: KeyId) {
        let mut by_org = self.by_org.lock();
        if let Some(of_org) = by_org.get_mut(&org)
            && let Some(review) = &of_org.review
        {
            let mut less = Review::clone(review);
            less.found.retain(|one| one.id != id);
            of_org.review = Some(Arc::new(less));
        }
    }

    fn put(&self, org: OrgId, review: Option<Review>) {
        let mut by_org = self.by_org.lock();
        if let Some(of_org) = by_org.get_mut(&org) {
            of_org.is_under_way = false;
            if let Some(review) = review {
                of_org.review = Some(Arc::new(review));
            }
            of_org.done.send_replace(());
        }
    }

    fn known(&self, org: OrgId) -> Option<Arc<Review>> {
        self.by_org.lock().get(&org)?.review.clone()
    }
}

/// What is known of the org of a call; nothing while it is looked at for the first time.
///
/// # Errors
/// 503.
pub(super) async fn of(call: &Call<ReadKeys>) -> Result<Option<Arc<Review>>, Failure> {
    let (app, org) = (&call.app, call.org());
    let permit = call.ask::<ReadKeys>(None).await?;
    let (mut done, wait) = {
        let mut by_org = app.reviews.by_org.lock();
        let of_org = by_org.entry(org).or_insert_with(|| OfOrg {
            review: None,
            is_under_way: false,
            done: watch::Sender::new(()),
        });
        if let Some(review) = &of_org.review
            && review.until > Instant::now()
        {
            return Ok(Some(Arc::clone(review)));
        }
        let done = of_org.done.subscribe();
        if !of_org.is_under_way {
            of_org.is_under_way = true;
            tokio::spawn(run(Arc::clone(app), permit));
        }
        let is_first = of_org.review.is_none();
        (done, if is_first { FIRST_WAIT } else { WAIT })
    };
    // Whether it is ready in time or not: what is known is shown.
    match tokio::time::timeout(wait, done.changed()).await {
        Ok(_) | Err(_) => Ok(app.reviews.known(org)),
    }
}

async fn run(app: Arc<App>, permit: Permit<ReadKeys>) {
    let org = permit.org();
    let review = match look(&app, &permit).await {
        Ok(review) => Some(review),
        Err(error) => {
            tracing::warn!(%error, "the keys of an org could not be looked at");
            None
        }
    };
    app.reviews.put(org, review);
}

async fn look(app: &App, permit: &Permit<ReadKeys>) -> Result<Review, Failure> {
    let (began, at) = (Instant::now(), clock::now());
    let ages = Ages {
        unused: UNUSED,
        idle: IDLE,
    };
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..PARTS_MAX {
        let page = Page { after, limit: PART };
        let (part, next) = advice::of_org(app, permit, ages, page).await?;
        found.extend(
            part.iter()
                .map(|(key, concerns)| Finding::of(key.id, concerns)),
        );
        after = next;
        if after.is_none() {
            break;
        }
    }
    let fresh = (began.elapsed() * FRESH_FACTOR).max(FRESH_MIN);
    Ok(Review {
        at,
        found,
        is_whole: after.is_none(),
        until: Instant::now() + fresh,
    })
}
