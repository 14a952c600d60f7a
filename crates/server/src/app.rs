//! The parts of a running service, and how they are put together.

use std::sync::Arc;

use claviger_core::{
    digest::Digest,
    evidence::Brands,
    grant::Grant,
    id::{Key, KeyId, OrgId, WorkspaceToken},
    key::{Credential, KeyState},
    person::{LOCAL_ISSUER, Person},
    time::Timestamp,
    token::Brand,
};
use claviger_store::{KeySink, LoadedKey, OpenOptions, Store};
use parking_lot::Mutex;

use crate::{
    ServeError,
    admin_token::AdminToken,
    anchors::{self, Anchors},
    bootstrap::Bootstrap,
    checkpoints::Checkpoints,
    clock,
    config::{AuditMode, Config},
    entropy,
    failure::Failure,
    gate::Bodies,
    index::Index,
    ledger::Ledger,
    limiter::MintLimiter,
    line::LineWriter,
    load::{Interner, load_index, load_old_secrets, load_people, load_sessions},
    metrics::Metrics,
    orgs::Orgs,
    other_uses::OtherUses,
    people::{People, Sessions},
    policies::Policies,
    provider::Provider,
    rate_limiter::RateLimiter,
    refusals::Refusals,
    rekey::open_master_key,
    reports::Reports,
    rotations::OldSecrets,
    seal,
    siem::Siem,
    signals::Signals,
    stranger_limiter::StrangerLimiter,
    streams::Streams,
    turns::Turns,
    usage::Usage,
    verifications::Verifications,
    waiting::Waiting,
    web::Reviews,
};

/// Keys that died longer ago than this are no longer told apart from unknown ones.
pub(crate) const DEAD_KEYS_KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// For how long the outcome of a probe is good.
const PROBE_KEPT: std::time::Duration = std::time::Duration::from_secs(1);
/// How long the last audit lines may take.
const LINES_CLOSE_MAX: std::time::Duration = std::time::Duration::from_secs(2);
/// How many scans of long lists run at once: they must not keep short reads waiting.
const SCANS_MAX: usize = 2;
/// How long a scan waits for its place.
const SCAN_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// How often one address may try to sign in, in a minute.
const SIGN_INS_PER_MINUTE: u32 = 30;
/// How many revocations' times are kept in memory.
pub(crate) const EFFECTIVE_KEPT_MAX: usize = 100_000;

/// A running service.
#[derive(Debug)]
pub struct App {
    /// The configuration in force.
    pub config: Config,
    pub(crate) store: StoreHandle,
    pub(crate) default_org: OrgId,
    pub(crate) keys: Index<Key>,
    pub(crate) workspace_tokens: Index<WorkspaceToken>,
    pub(crate) orgs: Orgs,
    pub(crate) admin_token: AdminToken,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) brands: Brands,
    pub(crate) full_grant: Arc<Grant>,
    pub(crate) interner: Arc<Interner>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) lines: LineWriter,
    pub(crate) refusals: Refusals,
    pub(crate) mint_limiter: MintLimiter,
    pub(crate) rate_limiter: RateLimiter,
    /// What bounds and proves the reports of found secrets.
    pub(crate) reports: Reports,
    pub(crate) usage: Arc<Usage>,
    /// What keys do for the first time, or should not do at all.
    pub(crate) signals: Signals,
    pub(crate) sealer: seal::Sealer,
    /// What signs the trails.
    pub(crate) checkpoints: Checkpoints,
    /// Where checkpoints are kept outside the database.
    pub(crate) anchors: Anchors,
    /// Where records are sent as they come.
    pub(crate) siem: Siem,
    pub(crate) metrics: Arc<Metrics>,
    /// Held shared from before a mint's commit until the index has the key, and alone by a
    /// revocation after its commit: whoever revokes what was just minted waits until the index can
    /// be told.
    pub(crate) births: tokio::sync::RwLock<()>,
    /// The policies of the orgs.
    pub(crate) policies: Policies,
    /// The requests for keys that wait for a decision.
    pub(crate) waiting: Waiting,
    /// What was found to be said against keys, a little while ago.
    pub(crate) reviews: Reviews,
    /// Everybody who has signed in.
    pub(crate) people: People,
    /// The sessions that are accepted.
    pub(crate) sessions: Sessions,
    /// Where people sign in, if not here.
    pub(crate) provider: Option<Provider>,
    /// What bounds attempts to sign in.
    pub(crate) sign_in_limiter: StrangerLimiter,
    /// Of ways to the identity provider that are begun: whoever begins many does not keep others
    /// from ending theirs.
    pub(crate) away_limiter: StrangerLimiter,
    /// When the service was started: before, nobody could see a secret be used.
    pub(crate) started_at: Timestamp,
    /// Replaced secrets that are still accepted.
    pub(crate) old_secrets: OldSecrets,
    /// When keys were last used otherwise than with their own secret.
    pub(crate) other_uses: OtherUses,
    /// Changes of one key take turns.
    pub(crate) key_turns: Turns,
    /// Room for the bodies of requests.
    pub(crate) bodies: Bodies,
    pub(crate) streams: Arc<Streams>,
    pub(crate) verifications: Arc<Verifications>,
    /// Places for scans of long lists.
    pub(crate) scans: tokio::sync::Semaphore,
    /// What the last probe of the store came to, for a second.
    pub(crate) probed: tokio::sync::Mutex<Option<(std::time::Instant, Result<(), String>)>>,
    /// From when on revoked keys were refused, for those who ask again.
    pub(crate) effective: Mutex<std::collections::HashMap<KeyId, Timestamp>>,
}

/// The store, in a form that can stand in a type with `Debug`.
#[derive(Clone)]
pub(crate) struct StoreHandle(pub(crate) Arc<dyn Store>);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl std::ops::Deref for StoreHandle {
    type Target = dyn Store;

    fn deref(&self) -> &(dyn Store + 'static) {
        &*self.0
    }
}

impl App {
    /// Opens the store, loads every credential, starts the tasks that write.
    ///
    /// # Errors
    /// [`ServeError`], in words for the operator.
    pub async fn start(config: Config) -> Result<Arc<Self>, ServeError> {
        make_data_dir(&config)?;
        let admin_token = AdminToken::new(&config)?;
        let store = open_store(&config).await?;
        match Self::assemble(config, admin_token, Arc::clone(&store)).await {
            Ok(app) => Ok(app),
            Err(error) => {
                // The database must be free for the next start.
                store.close().await;
                Err(error)
            }
        }
    }

    async fn assemble(
        config: Config,
        admin_token: AdminToken,
        store: Arc<dyn Store>,
    ) -> Result<Arc<Self>, ServeError> {
        let deployment = store.deployment().await?;
        let sealer = open_master_key(&config, &*store).await?;
        let (checkpoints, changes) = Checkpoints::open(&config, &*store).await?;
        // Before anything is added to a trail that may not be the one that it was.
        let anchors = Anchors::open(&config, &*store, checkpoints.keys()).await?;
        let siem = Siem::open(&config, &*store, deployment.default_org).await?;
        checkpoints.tell(&*store, changes).await?;
        let interner = Arc::new(Interner::default());
        let (keys, workspace_tokens, other_uses) = load_index(&*store, &interner).await?;
        let metrics = Arc::new(Metrics::default());
        let orgs = Orgs::load(&*store).await?;
        let app = Arc::new(Self {
            default_org: deployment.default_org,
            workspace_tokens,
            waiting: Waiting::load(&*store, orgs.ids(), clock::now()).await?,
            reviews: Reviews::default(),
            orgs,
            admin_token,
            bootstrap: Bootstrap::new(
                deployment.is_bootstrap_open,
                config.bootstrap,
                &config.data_dir,
            ),
            brands: Brands {
                org_key: config.brand,
                workspace_token: Brand::WORKSPACE_TOKEN,
            },
            full_grant: Arc::new(Grant::admin()),
            interner,
            ledger: Ledger::start(Arc::clone(&store), config.audit, Arc::clone(&metrics)),
            lines: LineWriter::start(Arc::clone(&metrics)).map_err(ServeError::Thread)?,
            refusals: Refusals::default(),
            mint_limiter: MintLimiter::new(config.mints_per_minute),
            rate_limiter: RateLimiter::default(),
            reports: Reports::new(config.github_keys.as_ref()),
            usage: Arc::default(),
            signals: Signals::default(),
            sealer,
            checkpoints,
            anchors,
            siem,
            metrics,
            births: tokio::sync::RwLock::default(),
            policies: Policies::load(&*store).await?,
            people: load_people(&*store).await?,
            sessions: load_sessions(&*store, config.session_idle).await?,
            provider: config.provider.as_ref().map(Provider::new).transpose()?,
            sign_in_limiter: StrangerLimiter::new(SIGN_INS_PER_MINUTE),
            away_limiter: StrangerLimiter::new(SIGN_INS_PER_MINUTE),
            started_at: clock::now(),
            old_secrets: load_old_secrets(&*store, &keys).await?,
            other_uses,
            key_turns: Turns::default(),
            keys,
            bodies: Bodies::default(),
            streams: Arc::default(),
            verifications: Arc::default(),
            scans: tokio::sync::Semaphore::new(SCANS_MAX),
            probed: tokio::sync::Mutex::default(),
            effective: Mutex::default(),
            store: StoreHandle(store),
            config,
        });
        Ok(app)
    }

    /// Whether any key could be accepted.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        let now = clock::now();
        let mut has = false;
        self.keys.for_each(|key| {
            has |= !key.is_replaced && key.status(now) == claviger_core::key::KeyStatus::Active
        });
        has
    }

    /// Whether people sign in with an identity provider.
    #[must_use]
    pub const fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// Whether a person comes from where people sign in now: its sessions of another time are over.
    #[must_use]
    pub fn is_vouched_for(&self, person: &Person) -> bool {
        let issuer = self
            .provider
            .as_ref()
            .map_or(LOCAL_ISSUER, Provider::issuer);
        person.issuer == issuer
    }

    /// Writes what is left, and closes the store.
    pub async fn close(self: &Arc<Self>) {
        self.streams.close();
        self.streams.closed().await;
        self.flush_repeats();
        self.flush_uses().await;
        self.tell_signals().await;
        self.anchor_at_the_end().await;
        self.ledger.close().await;
        self.send_to_siem_at_the_end().await;
        self.store.close().await;
        // Last, and bounded: nobody may be reading standard output.
        let app = Arc::clone(self);
        let lines = tokio::task::spawn_blocking(move || app.lines.close());
        if tokio::time::timeout(LINES_CLOSE_MAX, lines).await.is_err() {
            tracing::warn!("the last audit lines were not written: nobody reads standard output");
        }
    }

    /// Whether the store answers and takes writes. Asked by whoever reaches the port, so the store
    /// itself is asked once a second at most.
    ///
    /// # Errors
    /// What does not work, in words that name nothing inside.
    pub async fn readiness(&self) -> Result<(), String> {
        if self.anchors.halted().is_some() {
            return Err(anchors::HALTED.to_owned());
        }
        if self.ledger.is_down() {
            return Err("the audit trail cannot be written".to_owned());
        }
        let mut probed = self.probed.lock().await;
        if let Some((at, outcome)) = &*probed
            && at.elapsed() < PROBE_KEPT
        {
            return outcome.clone();
        }
        let outcome = self.store.probe().await.map_err(|error| {
            tracing::warn!(%error, "not ready");
            "the store does not answer".to_owned()
        });
        *probed = Some((std::time::Instant::now(), outcome.clone()));
        outcome
    }

    /// After a first mint whose outcome is unknown: tier 0 stays shut until the store has said
    /// whether it happened.
    pub(crate) fn settle_bootstrap(self: &Arc<Self>) {
        if !self.bootstrap.suspend() {
            return;
        }
        let app = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROBE_KEPT).await;
                // A write of ours comes after the pending one, if that is still under way.
                if app.store.probe().await.is_err() {
                    continue;
                }
                match app.store.deployment().await {
                    Ok(deployment) if deployment.is_bootstrap_open => {
                        return app.bootstrap.reopen();
                    }
                    Ok(_) => return app.bootstrap.close(),
                    Err(_) => {}
                }
            }
        });
    }

    /// After a change that narrows authority and whose outcome is unknown: once the store answers,
    /// the index is made to refuse what the store says is gone.
    pub(crate) fn reconcile(self: &Arc<Self>) {
        let app = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROBE_KEPT).await;
                match app.refuse_what_is_gone().await {
                    Ok(()) => return tracing::info!("the index agrees with the store again"),
                    Err(error) => tracing::warn!(%error, "the index may differ from the store"),
                }
            }
        });
    }

    async fn refuse_what_is_gone(self: &Arc<Self>) -> claviger_store::Result<()> {
        // A write that waits behind the one in question: what is read afterwards is what came of it.
        self.store.probe().await?;
        let alone = self.births.write().await;
        let sink: KeySink = {
            let app = Arc::clone(self);
            Arc::new(move |loaded: LoadedKey<'_>| app.follow(&loaded))
        };
        self.store
            .load_keys(clock::now().minus(DEAD_KEYS_KEPT), sink)
            .await?;
        self.take_in_old_secrets(|_| true).await?;
        self.policies.follow(&*self.store.0).await?;
        for person in self.store.load_people().await? {
            self.people.set(person);
        }
        let living = self.store.load_sessions(clock::now()).await?;
        let living: std::collections::HashSet<_> =
            living.iter().map(|loaded| loaded.session.id).collect();
        self.sessions.end(|session| !living.contains(&session.id));
        let living = self.store.load_workspace_tokens().await?;
        for token in &living {
            let minter = Arc::new(token.token.minter.clone());
            self.workspace_tokens
                .change(&Digest::from_bytes(token.digest), |old| Credential {
                    minter,
                    ..old.clone()
                });
        }
        let living: std::collections::HashSet<_> =
            living.iter().map(|token| token.digest).collect();
        let mut gone = Vec::new();
        self.workspace_tokens.for_each(|token| {
            if !living.contains(token.digest.as_bytes()) {
                gone.push(token.digest);
            }
        });
        for digest in gone {
            self.workspace_tokens.change(&digest, |old| Credential {
                state: KeyState::Revoked,
                ..old.clone()
            });
        }
        drop(alone);
        Ok(())
    }

    /// Makes the index say of the replaced secrets of these keys what the store says. Nobody may
    /// change those keys meanwhile: of a key that is rotated while this runs, the wrong one of its
    /// secrets could be taken for replaced.
    pub(crate) async fn take_in_old_secrets(
        &self,
        is_wanted: impl Fn(KeyId) -> bool,
    ) -> claviger_store::Result<()> {
        let since = clock::now().minus(DEAD_KEYS_KEPT);
        for (old, digest) in self.store.load_old_secrets(since).await? {
            if is_wanted(old.key) {
                let digest = Digest::from_bytes(digest);
                self.old_secrets.take_in(&self.keys, old, digest);
            }
        }
        Ok(())
    }

    /// A place for a scan of a long list.
    ///
    /// # Errors
    /// 503 when none is free for long.
    pub(crate) async fn scan_place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let busy = || Failure::Unready("too many long lists are being read; try again".to_owned());
        match tokio::time::timeout(SCAN_WAIT_MAX, self.scans.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Makes the index say of a key what the store says, where it differs.
    fn follow(&self, loaded: &LoadedKey<'_>) {
        let digest = Digest::from_bytes(loaded.digest);
        let Some(slot) = self.keys.find_by_id(loaded.id) else {
            return;
        };
        let Ok(new) = self.interner.credential(loaded) else {
            return tracing::error!(key = %loaded.id, "the store holds a key that cannot be read");
        };
        let own = &slot.credential;
        if own.digest != digest {
            // It was rotated, and nobody here was told: the other secret ends now, unless its
            // overlap is found to last.
            self.keys.change(&own.digest, |old| Credential {
                is_replaced: true,
                expires_at: clock::now(),
                ..old.clone()
            });
            self.keys.put(new, loaded.last_used_at);
        } else if own.state != new.state
            || own.expires_at != new.expires_at
            || own.grant != new.grant
            || own.minter != new.minter
        {
            self.keys.change(&digest, |old| match old.state {
                KeyState::Revoked => old.clone(),
                KeyState::Live | KeyState::Suspended => new,
            });
        }
    }
}

/// Makes the data directory, for the owner alone.
pub(crate) fn make_data_dir(config: &Config) -> Result<(), ServeError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(|source| ServeError::DataDir {
            path: config.data_dir.display().to_string(),
            source,
        })
}

/// Opens the store that the configuration names.
pub(crate) async fn open_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
    let options = OpenOptions {
        url: config.database_url.clone(),
        sync_audit: config.audit == AuditMode::Synced,
        default_org: entropy::new_id(),
        now: clock::now(),
    };
    Ok(claviger_store::open(options).await?)
}
