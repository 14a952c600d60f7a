//! The things that tests put into a store. Nothing here is random: what must be unique is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use claviger_core::{
    channel::ChannelKind,
    grant::Grant,
    id::{Id, Kind, OrgId, WorkspaceId},
    key::{OrgKey, OwnSecret, Revocation, WorkspaceTokenRow},
    ledger::{
        batch::Batch,
        entry::{Draft, Entry},
    },
    tier::{Actor, Minter},
    time::Timestamp,
    token::Prefix,
};
use claviger_store::{
    Acting, AuditPart, AuditRow, Channel, MintLimits, NewKey, Org, Page, Result, Workspace,
};

use crate::{bed::Db, witness::done};

/// The time at which every test begins.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// On behalf of no key.
pub(crate) const NOBODY: Acting = Acting {
    session: None,
    key: None,
    prefix: None,
    now: NOW,
};

/// So many milliseconds after the beginning.
pub(crate) fn later(millis: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(millis))
}

/// A number that this process has not used yet.
pub(crate) fn unused() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// An id that is greater than every earlier one.
pub(crate) fn id<K: Kind>() -> Id<K> {
    Id::from_parts(NOW, u128::from(unused()))
}

/// A digest with all kinds of bytes, zero among them.
pub(crate) fn digest() -> [u8; 32] {
    let mut bytes: [u8; 32] =
        std::array::from_fn(|at| u8::try_from(255 - 8 * at).expect("at most 255"));
    bytes[8..16].copy_from_slice(&unused().to_be_bytes());
    bytes
}

pub(crate) fn prefix(brand: &str) -> Prefix {
    format!("{brand}_{:08}", unused())
        .parse()
        .expect("a prefix")
}

pub(crate) fn org(name: &str) -> Org {
    Org {
        id: id(),
        name: name.to_owned(),
        created_at: NOW,
    }
}

/// The default org.
pub(crate) async fn default_org(db: &Db) -> OrgId {
    db.deployment().await.expect("the deployment").default_org
}

/// An org beside the default one.
pub(crate) async fn other_org(db: &Db) -> OrgId {
    let org = org(&format!("other {}", unused()));
    let id = org.id;
    done(db, id, |record| db.insert_org(org, record)).await;
    id
}

/// A key of the org itself, with an unbound grant.
pub(crate) fn key(org: OrgId, name: &str) -> NewKey {
    let key = OrgKey {
        id: id(),
        org,
        name: name.to_owned(),
        prefix: prefix("mole"),
        minter: Minter {
            created_by: Actor::AdminToken,
            root: Actor::AdminToken,
            chain: Vec::new(),
        },
        created_at: NOW,
        expires_at: None,
        grant: Grant::admin(),
        metadata: [].into(),
        suspension: None,
        resumed_at: None,
        revocation: None,
        last_use: None,
        secret: OwnSecret {
            since: NOW,
            last_use: None,
        },
        rotate_every: None,
    };
    NewKey {
        key,
        digest: digest(),
        is_bootstrap: false,
        idempotency: None,
        limits: MintLimits::default(),
    }
}

/// A key that comes through the bootstrap.
pub(crate) fn first_key(org: OrgId) -> NewKey {
    let mut new = key(org, "first");
    new.key.minter.created_by = Actor::Bootstrap;
    new.key.minter.root = Actor::Bootstrap;
    new.is_bootstrap = true;
    new
}

/// A key that another key mints.
pub(crate) fn child(parent: &OrgKey) -> NewKey {
    let mut new = key(parent.org, "child");
    new.key.minter = Minter {
        created_by: Actor::OrgKey(parent.prefix),
        root: parent.minter.root.clone(),
        chain: [&[parent.id], parent.minter.chain.as_slice()].concat(),
    };
    new
}

/// On behalf of this key.
pub(crate) fn acting(key: &OrgKey) -> Acting {
    Acting {
        session: None,
        key: Some(key.id),
        prefix: Some(key.prefix),
        now: NOW,
    }
}

/// On behalf of no key, at this instant.
pub(crate) const fn acting_at(now: Timestamp) -> Acting {
    Acting {
        session: None,
        key: None,
        prefix: None,
        now,
    }
}

pub(crate) async fn mint(db: &Db, new: NewKey) -> OrgKey {
    let org = new.key.org;
    done(db, org, |record| db.mint_key(new, NOBODY, record)).await
}

/// Mints a child on behalf of its parent.
pub(crate) async fn beget(db: &Db, parent: &OrgKey) -> OrgKey {
    let new = child(parent);
    done(db, parent.org, |record| {
        db.mint_key(new, acting(parent), record)
    })
    .await
}

/// An end that began at this time.
pub(crate) fn end(at: Timestamp) -> Revocation {
    Revocation {
        at,
        by: Actor::Session("user_1".into()),
        reason: Some("löst".to_owned()),
    }
}

pub(crate) fn workspace(org: OrgId, name: &str) -> Workspace {
    Workspace {
        id: id(),
        org,
        name: name.to_owned(),
        labels: [("agent".to_owned(), "données".to_owned())].into(),
        created_by: Actor::Session("user_1".into()),
        created_at: NOW,
        updated_at: NOW,
    }
}

pub(crate) async fn insert_workspace(db: &Db, org: OrgId) -> Workspace {
    let new = workspace(org, "workspace");
    done(db, org, |record| db.insert_workspace(new, NOBODY, record)).await
}

pub(crate) fn token(workspace: &Workspace) -> WorkspaceTokenRow {
    WorkspaceTokenRow {
        id: id(),
        org: workspace.org,
        workspace: workspace.id,
        name: String::new(),
        prefix: prefix("molw"),
        minter: Minter {
            created_by: Actor::AdminToken,
            root: Actor::AdminToken,
            chain: Vec::new(),
        },
        created_at: NOW,
        last_used_at: None,
        revoked_at: None,
    }
}

pub(crate) async fn insert_token(
    db: &Db,
    workspace: &Workspace,
    digest: [u8; 32],
) -> WorkspaceTokenRow {
    let new = token(workspace);
    done(db, workspace.org, |record| {
        db.insert_workspace_token(new, digest, NOBODY, record)
    })
    .await
}

pub(crate) fn channel(workspace: WorkspaceId) -> Channel {
    Channel {
        id: id(),
        workspace,
        name: "alerts \u{1F511}".to_owned(),
        kind: ChannelKind::Slack,
        plain: [("channel".to_owned(), "#général".to_owned())].into(),
        credential_names: vec!["webhook_url".to_owned(), "bot_token".to_owned()],
        sealed: vec![0, 255, 1, 0],
        is_enabled: true,
        created_by: Actor::AdminToken,
        created_at: NOW,
        updated_at: NOW,
    }
}

pub(crate) async fn insert_channel(db: &Db, workspace: &Workspace) -> Channel {
    let new = channel(workspace.id);
    let org = workspace.org;
    done(db, org, |record| {
        db.insert_channel(org, new, NOBODY, record)
    })
    .await
}

/// What the sealer of the tests makes of a version: it can be told from every other.
pub(crate) fn sealed(name: &str, version: u64) -> Vec<u8> {
    [&[0, 255], name.as_bytes(), &version.to_be_bytes()].concat()
}

/// A secret that nobody in particular sets.
pub(crate) fn new_secret(
    name: impl Into<String>,
    seal: claviger_store::Sealer,
) -> claviger_store::NewSecret {
    claviger_store::NewSecret {
        name: name.into(),
        created_by: Actor::AdminToken,
        seal,
    }
}

/// Sets a secret whose sealed form is [`sealed`].
pub(crate) async fn put_secret(
    db: &Db,
    workspace: &Workspace,
    name: &str,
) -> claviger_store::SecretName {
    let (name, sealed_name) = (name.to_owned(), name.to_owned());
    let seal = Box::new(move |version| sealed(&sealed_name, version));
    let org = workspace.org;
    done(db, org, |record| {
        db.put_secret(org, workspace.id, new_secret(name, seal), NOBODY, record)
    })
    .await
}

/// What a record with bytes of its own says.
pub(crate) fn draft(org: OrgId) -> Draft<'static> {
    Draft::of_operation(id(), u128::from(unused()), NOW, org, &Actor::AdminToken)
}

/// A record with bytes of its own.
pub(crate) fn entry(org: OrgId) -> Entry {
    draft(org).write()
}

/// Records that are appended together.
pub(crate) fn batch(entries: impl IntoIterator<Item = Entry>) -> Arc<Batch> {
    Arc::new(entries.into_iter().collect())
}

/// The first part of a list.
pub(crate) const fn first<C>(limit: u32) -> Page<C> {
    Page { after: None, limit }
}

/// Every part of a list, one after the other.
pub(crate) async fn walk<C, T, F>(
    limit: u32,
    cursor: impl Fn(&T) -> C,
    fetch: impl Fn(Page<C>) -> F,
) -> Vec<T>
where
    F: Future<Output = Result<Vec<T>>>,
{
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let part = fetch(Page { after, limit })
            .await
            .expect("a part of the list");
        assert!(
            part.len() <= usize::try_from(limit).expect("small"),
            "{} came",
            part.len()
        );
        let Some(last) = part.last() else {
            return all;
        };
        after = Some(cursor(last));
        all.extend(part);
        assert!(all.len() < 10_000, "the list does not end");
    }
}

/// Every part of a trail, one after the other, until it says that it is the last.
pub(crate) async fn walk_trail<F>(limit: u32, fetch: impl Fn(Page<u64>) -> F) -> Vec<AuditRow>
where
    F: Future<Output = Result<AuditPart>>,
{
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let part = fetch(Page { after, limit })
            .await
            .expect("a part of the trail");
        assert!(
            part.rows.len() <= usize::try_from(limit).expect("small"),
            "{} came",
            part.rows.len()
        );
        all.extend(part.rows);
        let Some(next) = part.next else {
            return all;
        };
        assert_ne!(after, Some(next), "the walk stands still");
        after = Some(next);
    }
}
