//! What is signed of the trails: a checkpoint that covers all that was committed before it was asked
//! for, kept before it is given out; and at a start, whether the keys are those that signed before.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use claviger_core::{
    id::OrgId,
    ledger::{
        checkpoint::Checkpoint as Statement,
        entry::{Draft, Entry},
        note::{Note, VerifierKey},
        tree::Frontier,
    },
    tier::Actor,
};
use claviger_store::{Checkpoint, Page, Store, StoreError};
use parking_lot::Mutex;

use crate::{
    ServeError,
    app::App,
    clock,
    config::Config,
    entropy,
    failure::Failure,
    ledger::NotRecorded,
    log_key::{self, LogKeyError, LogKeys, Signed},
};

/// How many orgs are fetched at a time.
const ORGS_PAGE: u32 = 500;

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The store did not give or take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be signed.
    #[error(transparent)]
    Key(#[from] LogKeyError),
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Store(error) => Self::Store(error),
            CheckpointError::Key(error) => Self::Internal(error.to_string()),
        }
    }
}

impl From<CheckpointError> for ServeError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Store(error) => Self::Store(error),
            CheckpointError::Key(error) => Self::LogKey(error),
        }
    }
}

/// Signs checkpoints, those of one org one after the other.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    keys: LogKeys,
    turns: Mutex<HashMap<OrgId, Arc<Turn>>>,
}

/// Requests for checkpoints of one org. Each takes a number when it arrives. Whoever has the turn signs
/// for all who had arrived when it began, so nobody gets a checkpoint that is older than its request.
#[derive(Debug, Default)]
struct Turn {
    arrived: AtomicU64,
    /// The last one, and up to which number it was made after the arrival.
    last: tokio::sync::Mutex<Option<(u64, Checkpoint)>>,
}

/// Trails that another key has signed before: which, that key, and what the operator did.
#[derive(Debug)]
pub(crate) struct KeyChanges(Vec<(OrgId, String, &'static str)>);

impl Checkpoints {
    /// Takes the keys, and makes sure that they are those that signed before, or that the operator
    /// accepts others. Nothing is written to a trail yet.
    ///
    /// # Errors
    /// [`ServeError`] saying which file is meant, and what to do.
    pub(crate) async fn open(
        config: &Config,
        store: &dyn Store,
    ) -> Result<(Self, KeyChanges), ServeError> {
        let (keys, changes) = open_keys(config, store).await?;
        let turns = Mutex::default();
        Ok((Self { keys, turns }, changes))
    }

    /// Records a change of the current key in every trail that was signed; the new one signs that.
    ///
    /// # Errors
    /// [`ServeError`].
    pub(crate) async fn tell(
        &self,
        store: &dyn Store,
        KeyChanges(changes): KeyChanges,
    ) -> Result<(), ServeError> {
        let mut sound = Vec::new();
        for change in changes {
            match checked(store, change.0, None).await {
                Ok(_) => sound.push(change),
                // The trails of other orgs are not to suffer from it.
                Err(
                    error @ (StoreError::CheckpointRefused { .. } | StoreError::Corrupt { .. }),
                ) => {
                    let org = change.0;
                    tracing::error!(%org, %error, "this trail is not the one that was signed, and the new key does not sign it; `claviger audit verify --live` names what was changed");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let entry = |(org, from, by): &(OrgId, String, &str)| entry(&self.keys, *org, from, by);
        if !sound.is_empty() {
            let batch = sound.iter().map(entry).collect();
            store.append(Arc::new(batch)).await?;
        }
        for (org, ..) in sound {
            sign(store, &self.keys, (org, None)).await?;
        }
        Ok(())
    }

    /// The keys that sign.
    pub(crate) const fn keys(&self) -> &LogKeys {
        &self.keys
    }

    /// The public keys of an org's log, the current one first.
    pub(crate) fn verifier_keys(&self, org: OrgId) -> Vec<VerifierKey> {
        self.keys.verifier_keys(org)
    }

    fn turn(&self, org: OrgId) -> Arc<Turn> {
        Arc::clone(self.turns.lock().entry(org).or_default())
    }
}

/// A checkpoint of an org's trail that covers every record which was committed, or answered, before
/// this was called. It is kept when this returns.
///
/// # Errors
/// 404 for an org that is gone, 503; 500 where the tree is not one that continues what was signed.
pub(crate) async fn fresh(app: &App, org: OrgId) -> Result<Checkpoint, Failure> {
    let turn = app.checkpoints.turn(org);
    let number = turn.arrived.fetch_add(1, Ordering::AcqRel) + 1;
    let mut last = turn.last.lock().await;
    if let Some((covers, checkpoint)) = &*last
        && *covers >= number
    {
        return Ok(checkpoint.clone());
    }
    let covers = turn.arrived.load(Ordering::Acquire);
    // In the mode `relaxed` records of requests that were answered may still be on their way.
    let flushed = app.ledger.flush().await;
    flushed.map_err(|NotRecorded| Failure::NotRecorded)?;
    let own = last.as_ref().map(|(_, own)| own);
    let checkpoint = sign(&*app.store, &app.checkpoints.keys, (org, own)).await?;
    *last = Some((covers, checkpoint.clone()));
    Ok(checkpoint)
}

/// The checkpoint of the tree as it is: the one that is kept, if that says it, or a new one. `own`: the last
/// one that this process made, which nobody can have changed.
///
/// # Errors
/// [`CheckpointError`].
pub(crate) async fn sign(
    store: &dyn Store,
    keys: &LogKeys,
    (org, own): (OrgId, Option<&Checkpoint>),
) -> Result<Checkpoint, CheckpointError> {
    let (frontier, last) = checked(store, org, own).await?;
    let (size, root) = (frontier.size(), frontier.root());
    let mut others = Vec::new();
    if let Some(last) = last
        && (last.size, last.root) == (size, root)
    {
        if keys.all_signed(org, &last.note) {
            return Ok(last);
        }
        // It was signed by other keys of ours; what a witness added stays.
        let note = Note::parse(last.note.as_bytes());
        others = note.map_or_else(|_malformed| Vec::new(), |note| note.signatures().to_vec());
    }
    let checkpoint = Checkpoint {
        size,
        root,
        note: keys.sign(org, (size, root), &others)?,
        at: clock::now(),
    };
    store.keep_checkpoint(org, checkpoint.clone()).await?;
    Ok(checkpoint)
}

/// The edge of the tree and the last checkpoint, once the edge is that of the records, and the tree goes on
/// from what was signed: nothing is signed for whoever wrote into the database, as far as the database, and
/// what this process remembers, can tell. Anchors elsewhere tell the rest.
async fn checked(
    store: &dyn Store,
    org: OrgId,
    own: Option<&Checkpoint>,
) -> Result<(Frontier, Option<Checkpoint>), StoreError> {
    let last = store.last_checkpoint(org).await?;
    let frontier = store.frontier(org).await?;
    let size = frontier.size();
    if let Some(last) = &last {
        let note = Note::parse(last.note.as_bytes()).ok();
        let said = note.and_then(|note| Statement::parse(note.text()).ok());
        if said.is_none_or(|said| (said.size(), said.root()) != (last.size, last.root)) {
            let reason = "the row of an earlier one does not say what was signed";
            return Err(StoreError::CheckpointRefused { size, reason });
        }
    }
    for before in own.into_iter().chain(&last) {
        continues(store, org, before, size).await?;
    }
    if store.frontier_at(org, size).await? != frontier {
        let reason = "the edge of the tree is not that of the records";
        return Err(StoreError::CheckpointRefused { size, reason });
    }
    Ok((frontier, last))
}

/// Whether the tree that is there begins with the one that was signed: two trees that contradict each
/// other are never both signed.
async fn continues(
    store: &dyn Store,
    org: OrgId,
    last: &Checkpoint,
    size: u64,
) -> Result<(), StoreError> {
    let refuse = |reason| StoreError::CheckpointRefused { size, reason };
    if last.size > size {
        return Err(refuse("an earlier one has more"));
    }
    if store.frontier_at(org, last.size).await?.root() != last.root {
        return Err(refuse("the records are not those of an earlier one"));
    }
    Ok(())
}

async fn open_keys(
    config: &Config,
    store: &dyn Store,
) -> Result<(LogKeys, KeyChanges), ServeError> {
    let (path, signed) = (&config.ledger_key_file, last_checkpoints(store).await?);
    // What cannot be looked at is said when it is read.
    let is_there = path.try_exists().unwrap_or(true);
    if !is_there && config.is_ledger_key_given {
        return Err(LogKeyError::NotMade(path.display().to_string()).into());
    }
    if !is_there && !signed.is_empty() && !config.accepts_ledger_key {
        return Err(LogKeyError::Lost(path.display().to_string()).into());
    }
    let keys = log_key::load(path, !config.is_ledger_key_given)?;
    let mut changes = Vec::new();
    for (org, last) in &signed {
        match keys.signed(*org, &last.note) {
            Signed::Current => {}
            Signed::Before(from) => changes.push((*org, from, ROTATED)),
            Signed::Unknown(from) if config.accepts_ledger_key => {
                tracing::warn!(%org, "the audit trail is signed by another key from now on");
                changes.push((*org, from, ACCEPTED));
            }
            Signed::Unknown(_) => {
                let (path, org) = (path.display().to_string(), *org);
                return Err(LogKeyError::Other { path, org }.into());
            }
        }
    }
    Ok((keys, KeyChanges(changes)))
}

/// What the operator did: the path of the record.
const ROTATED: &str = "claviger audit rotate-key";
const ACCEPTED: &str = "claviger serve --accept-ledger-key";

fn entry(keys: &LogKeys, org: OrgId, from: &str, by: &str) -> Entry {
    let change = serde_json::json!({"ledger_key": {"from": from, "to": keys.current_id(org)}});
    let (id, at) = (entropy::new_id(), clock::now());
    Draft {
        path: by,
        change: Some(&change.to_string()),
        ..Draft::of_operation(id, entropy::bits(), at, org, &Actor::AdminToken)
    }
    .write()
}

/// The last checkpoint of each living org that has one.
async fn last_checkpoints(store: &dyn Store) -> Result<Vec<(OrgId, Checkpoint)>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let limit = ORGS_PAGE;
        let page = store.list_orgs(Page { after, limit }).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = Some(last.id);
        for org in &page {
            let checkpoint = store.last_checkpoint(org.id).await?;
            found.extend(checkpoint.map(|checkpoint| (org.id, checkpoint)));
        }
    }
}

/// `claviger audit rotate-key`: puts a new key before the others or, to finish, takes the others away.
/// The server is stopped meanwhile: the lock on the database makes sure of it. Gives the number of keys.
///
/// # Errors
/// [`ServeError`]; then the file is as it was.
pub async fn rotate_log_key(config: Config, finish: bool) -> Result<usize, ServeError> {
    crate::app::make_data_dir(&config)?;
    let store = crate::app::open_store(&config).await?;
    let outcome = rotate_file(&config, &*store, finish).await;
    store.close().await;
    outcome
}

async fn rotate_file(
    config: &Config,
    store: &dyn Store,
    finish: bool,
) -> Result<usize, ServeError> {
    let path = &config.ledger_key_file;
    let keys = log_key::load(path, false)?;
    for (org, last) in last_checkpoints(store).await? {
        let path = || path.display().to_string();
        match keys.signed(org, &last.note) {
            Signed::Current => {}
            Signed::Before(_) if !finish => {}
            // Without the older keys the next start could not know whose these signatures are.
            Signed::Before(_) => return Err(LogKeyError::Unsigned { path: path(), org }.into()),
            Signed::Unknown(_) => return Err(LogKeyError::Other { path: path(), org }.into()),
        }
    }
    let new = if finish {
        log_key::finish(path)?
    } else {
        log_key::rotate(path)?
    };
    Ok(new.len())
}
