//! From the store into memory: every credential, with what is equal shared.

use std::{cell::RefCell, sync::Arc, time::Duration};

use claviger_core::{
    digest::Digest,
    grant::Grant,
    id::{Key, WorkspaceToken},
    key::{Credential, KeyState, Use},
    tier::{Actor, Minter},
    time::Timestamp,
};
use claviger_store::{KeySink, LoadedKey, Store};
use parking_lot::Mutex;

use crate::{
    ServeError,
    app::DEAD_KEYS_KEPT,
    clock,
    index::Index,
    other_uses::OtherUses,
    people::{People, Sessions},
    rotations::OldSecrets,
};

/// Loads every credential.
pub(crate) async fn load_index(
    store: &dyn Store,
    interner: &Arc<Interner>,
) -> Result<(Index<Key>, Index<WorkspaceToken>, OtherUses), ServeError> {
    let keys = Arc::new(Index::<Key>::default());
    let others = Arc::new(OtherUses::default());
    let failed = Arc::new(Mutex::new(None));
    let sink: KeySink = {
        let (keys, interner, failed) =
            (Arc::clone(&keys), Arc::clone(interner), Arc::clone(&failed));
        let others = Arc::clone(&others);
        Arc::new(move |loaded: LoadedKey<'_>| {
            if let Some(at) = loaded.otherwise_used_at {
                // From where is read with the key.
                others.keep(loaded.id, Use { at, from: None });
            }
            match interner.credential(&loaded) {
                Ok(credential) => keys.put(credential, loaded.last_used_at),
                Err(reason) => *failed.lock() = Some(format!("key {}: {reason}", loaded.id)),
            }
        })
    };
    store
        .load_keys(clock::now().minus(DEAD_KEYS_KEPT), sink)
        .await?;
    if let Some(reason) = failed.lock().take() {
        return Err(ServeError::Corrupt(reason));
    }
    let whole = Arc::into_inner(keys).zip(Arc::into_inner(others));
    let (keys, others) = whole.ok_or_else(|| {
        ServeError::Corrupt("the store kept the sink after it had loaded every key".to_owned())
    })?;
    let tokens = Index::<WorkspaceToken>::default();
    for loaded in store.load_workspace_tokens().await? {
        let used = loaded.token.last_used_at;
        tokens.put(
            workspace_token_credential(&loaded.token, loaded.digest),
            used,
        );
    }
    Ok((keys, tokens, others))
}

/// Takes the replaced secrets into the index: those that are accepted, and those that ended a while
/// ago, so that their holder can be told.
pub(crate) async fn load_old_secrets(
    store: &dyn Store,
    keys: &Index<Key>,
) -> claviger_store::Result<OldSecrets> {
    let found = OldSecrets::default();
    for (old, digest) in store
        .load_old_secrets(clock::now().minus(DEAD_KEYS_KEPT))
        .await?
    {
        found.take_in(keys, old, Digest::from_bytes(digest));
        // Its new secret was used, and the server died before it could say so.
        let own = keys.find_by_id(old.key).and_then(|own| own.last_used());
        if let Some(used) = own {
            found.start_clock(keys, old.key, used);
        }
    }
    Ok(found)
}

/// Everybody who has signed in.
pub(crate) async fn load_people(store: &dyn Store) -> claviger_store::Result<People> {
    let people = People::default();
    for person in store.load_people().await? {
        people.set(person);
    }
    Ok(people)
}

/// The sessions that have not ended.
pub(crate) async fn load_sessions(
    store: &dyn Store,
    idle: Duration,
) -> claviger_store::Result<Sessions> {
    let sessions = Sessions::new(idle);
    for loaded in store.load_sessions(clock::now()).await? {
        sessions.put(loaded.session, &Digest::from_bytes(loaded.digest));
    }
    Ok(sessions)
}

/// A workspace token as the gate sees it.
pub(crate) fn workspace_token_credential(
    token: &claviger_core::key::WorkspaceTokenRow,
    digest: [u8; 32],
) -> Credential<WorkspaceToken> {
    Credential {
        digest: Digest::from_bytes(digest),
        prefix: token.prefix,
        state: if token.revoked_at.is_some() {
            KeyState::Revoked
        } else {
            KeyState::Live
        },
        is_replaced: false,
        id: token.id,
        org: token.org,
        grant: Arc::new(Grant::workspace_token(token.workspace)),
        minter: Arc::new(token.minter.clone()),
        name: token.name.as_str().into(),
        expires_at: Timestamp::MAX,
    }
}

thread_local! {
    /// What this thread was last asked for: keys in a row have much in common, and the threads
    /// that load would wait for each other at every key.
    static LAST_GRANT: RefCell<Option<(Box<str>, Arc<Grant>)>> = const { RefCell::new(None) };
    static LAST_MINTER: RefCell<Option<(Box<str>, Arc<Minter>)>> = const { RefCell::new(None) };
}

/// Lets equal grants, and minters, share one place in memory.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    grants: Mutex<std::collections::HashMap<Box<str>, Arc<Grant>>>,
    minters: Mutex<std::collections::HashMap<Box<str>, Arc<Minter>>>,
}

impl Interner {
    /// A key that was just minted, as the gate sees it.
    pub(crate) fn minted(
        &self,
        key: &claviger_core::key::OrgKey,
        digest: Digest,
    ) -> Result<Credential<Key>, String> {
        let (created_by, root) = (
            key.minter.created_by.to_string(),
            key.minter.root.to_string(),
        );
        let chain: Vec<_> = key.minter.chain.iter().map(ToString::to_string).collect();
        self.credential(&LoadedKey {
            id: key.id,
            org: key.org,
            digest: *digest.as_bytes(),
            prefix: key.prefix,
            name: &key.name,
            created_by: &created_by,
            root: &root,
            chain: &chain.join(" "),
            grant: &key.grant.to_json(),
            expires_at: key.expires_at,
            state: key.state(),
            last_used_at: None,
            otherwise_used_at: None,
        })
    }

    pub(crate) fn credential(&self, loaded: &LoadedKey<'_>) -> Result<Credential<Key>, String> {
        Ok(Credential {
            digest: Digest::from_bytes(loaded.digest),
            prefix: loaded.prefix,
            state: loaded.state,
            is_replaced: false,
            id: loaded.id,
            org: loaded.org,
            grant: self.grant(loaded.grant)?,
            minter: self.minter(loaded)?,
            name: loaded.name.into(),
            expires_at: loaded.expires_at.unwrap_or(Timestamp::MAX),
        })
    }

    fn grant(&self, text: &str) -> Result<Arc<Grant>, String> {
        LAST_GRANT.with_borrow_mut(|last| match last {
            Some((known, grant)) if **known == *text => Ok(Arc::clone(grant)),
            _ => {
                let grant = self.find_grant(text)?;
                *last = Some((text.into(), Arc::clone(&grant)));
                Ok(grant)
            }
        })
    }

    fn find_grant(&self, text: &str) -> Result<Arc<Grant>, String> {
        let mut grants = self.grants.lock();
        if let Some(grant) = grants.get(text) {
            return Ok(Arc::clone(grant));
        }
        let grant = Arc::new(Grant::from_json(text).map_err(|error| error.to_string())?);
        grants.insert(text.into(), Arc::clone(&grant));
        Ok(grant)
    }

    fn minter(&self, loaded: &LoadedKey<'_>) -> Result<Arc<Minter>, String> {
        // Most keys have no key above them, so the label of the minter is enough to find it.
        let written;
        let name = if loaded.chain.is_empty() && loaded.root == loaded.created_by {
            loaded.created_by
        } else {
            written = format!("{}\n{}\n{}", loaded.created_by, loaded.root, loaded.chain);
            &written
        };
        LAST_MINTER.with_borrow_mut(|last| match last {
            Some((known, minter)) if **known == *name => Ok(Arc::clone(minter)),
            _ => {
                let minter = self.find_minter(name, loaded)?;
                *last = Some((name.into(), Arc::clone(&minter)));
                Ok(minter)
            }
        })
    }

    fn find_minter(&self, name: &str, loaded: &LoadedKey<'_>) -> Result<Arc<Minter>, String> {
        let mut minters = self.minters.lock();
        if let Some(minter) = minters.get(name) {
            return Ok(Arc::clone(minter));
        }
        let actor = |text: &str| {
            text.parse::<Actor>()
                .map_err(|error| format!("`{text}` is {error}"))
        };
        let chain = loaded
            .chain
            .split(' ')
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().map_err(|error| format!("`{id}` is {error}")));
        let minter = Arc::new(Minter {
            created_by: actor(loaded.created_by)?,
            root: actor(loaded.root)?,
            chain: chain.collect::<Result<_, String>>()?,
        });
        minters.insert(name.into(), Arc::clone(&minter));
        Ok(minter)
    }
}
