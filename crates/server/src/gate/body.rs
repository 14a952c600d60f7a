//! The body of a request: read whole, once, within bounds of size, time and memory.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use claviger_core::action::{Action, Needs, SignIn};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// The largest body in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The largest one of somebody who signs in and has shown nothing yet, in bytes.
const SIGN_IN_BYTES_MAX: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How many bytes of bodies there are at once, on their way or being worked on.
const ALL_BYTES_MAX: usize = 128 * 1024 * 1024;
/// How many of them are of people who sign in.
const SIGN_INS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many of them are of other callers who have shown nothing.
const REPORTS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much a body may be, and at whose expense.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    bytes_max: usize,
    share: Share,
}

/// Strangers have shares of their own: however many there are, they leave room for whoever holds a
/// credential, and those who report things for those who sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Known,
    SignIns,
    Reports,
}

impl Bounds {
    /// Those of a request for this action, by whether a credential was accepted and a page is asked for.
    pub(super) fn of<A: Action>(is_known: bool, is_page: bool) -> Self {
        if is_known || A::NEEDS != Needs::NoCredential {
            return Self {
                bytes_max: BODY_BYTES_MAX,
                share: Share::Known,
            };
        }
        // Reports of found secrets may be long; what signs in or out never is.
        let is_sign_in = A::NAME == SignIn::NAME;
        Self {
            bytes_max: if is_sign_in {
                SIGN_IN_BYTES_MAX
            } else {
                BODY_BYTES_MAX
            },
            share: if is_sign_in && is_page {
                Share::SignIns
            } else {
                Share::Reports
            },
        }
    }
}

/// Room for all bodies together.
#[derive(Debug)]
pub(crate) struct Bodies {
    all: Arc<Semaphore>,
    sign_ins: Arc<Semaphore>,
    reports: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes));
        Self {
            all: room(ALL_BYTES_MAX),
            sign_ins: room(SIGN_INS_BYTES_MAX),
            reports: room(REPORTS_BYTES_MAX),
        }
    }
}

/// The room that a body has, until the request is over.
#[derive(Debug, Default)]
pub(super) struct Held {
    permits: Vec<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// [`Failure::TooMuchAtOnce`].
    fn grow(&mut self, bodies: &Bodies, share: Share, bytes: usize) -> Result<(), Failure> {
        let rooms = match share {
            Share::Known => [Some(&bodies.all), None],
            Share::SignIns => [Some(&bodies.sign_ins), Some(&bodies.all)],
            Share::Reports => [Some(&bodies.reports), Some(&bodies.all)],
        };
        let count = u32::try_from(bytes).map_err(|_huge| Failure::TooMuchAtOnce)?;
        for (at, room) in rooms.into_iter().flatten().enumerate() {
            let taken = Arc::clone(room).try_acquire_many_owned(count);
            let taken = taken.map_err(|_none_left| Failure::TooMuchAtOnce)?;
            match self.permits.get_mut(at) {
                Some(own) => own.merge(taken),
                None => self.permits.push(taken),
            }
        }
        Ok(())
    }
}

/// Reads a body. Room is taken for what has arrived, not for what was announced: whoever announces
/// much and sends nothing takes it from nobody.
///
/// # Errors
/// 408, 413, 503, and 400 for one that breaks off.
pub(super) async fn read(
    bodies: &Bodies,
    body: Body,
    bounds: Bounds,
) -> Result<(Bytes, Held), Failure> {
    match tokio::time::timeout(BODY_TIMEOUT, collect(bodies, body, bounds)).await {
        Err(_elapsed) => Err(Failure::TooSlow(BODY_TIMEOUT.as_secs())),
        Ok(outcome) => outcome,
    }
}

async fn collect(bodies: &Bodies, body: Body, bounds: Bounds) -> Result<(Bytes, Held), Failure> {
    let Bounds { bytes_max, share } = bounds;
    let mut body = Limited::new(body, bytes_max);
    let (mut whole, mut held) = (BytesMut::new(), Held::default());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::BodyTooLarge(bytes_max),
            false => Failure::BrokenBody,
        })?;
        // Trailers say nothing here.
        if let Ok(data) = frame.into_data() {
            held.grow(bodies, share, data.len())?;
            whole.extend_from_slice(&data);
        }
    }
    Ok((whole.freeze(), held))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use claviger_core::action::{MintKey, ReportFound, SignIn};

    use super::{Bodies, Bounds, REPORTS_BYTES_MAX, SIGN_IN_BYTES_MAX, SIGN_INS_BYTES_MAX, read};
    use crate::failure::Failure;

    #[tokio::test]
    async fn strangers_leave_room_for_others_and_give_theirs_back() {
        let bodies = Bodies::default();
        let sign_in = Bounds::of::<SignIn>(false, true);
        let body = || Body::from(vec![b'a'; SIGN_IN_BYTES_MAX]);
        let mut held = Vec::new();
        for _ in 0..SIGN_INS_BYTES_MAX / SIGN_IN_BYTES_MAX {
            held.push(read(&bodies, body(), sign_in).await.expect("there is room"));
        }
        let beyond = read(&bodies, body(), sign_in).await;
        assert!(matches!(beyond, Err(Failure::TooMuchAtOnce)));
        for other in [
            Bounds::of::<SignIn>(true, true),
            Bounds::of::<SignIn>(false, false),
            Bounds::of::<ReportFound>(false, false),
            Bounds::of::<MintKey>(false, false),
        ] {
            assert!(read(&bodies, body(), other).await.is_ok(), "{other:?}");
        }
        held.pop();
        assert!(read(&bodies, body(), sign_in).await.is_ok());
        drop(held);
        assert_eq!(bodies.sign_ins.available_permits(), SIGN_INS_BYTES_MAX);
        assert_eq!(bodies.reports.available_permits(), REPORTS_BYTES_MAX);
    }

    #[tokio::test]
    async fn sign_ins_are_short() {
        let bodies = Bodies::default();
        let long = || Body::from(vec![b'a'; SIGN_IN_BYTES_MAX + 1]);
        let refused = read(&bodies, long(), Bounds::of::<SignIn>(false, true)).await;
        assert!(matches!(
            refused,
            Err(Failure::BodyTooLarge(SIGN_IN_BYTES_MAX))
        ));
        let report = Bounds::of::<ReportFound>(false, false);
        assert!(read(&bodies, long(), report).await.is_ok());
    }
}
