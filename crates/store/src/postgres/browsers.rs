//! Sessions of people in browsers, and sign-ins that are under way.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, SessionId},
    person::{PersonId, PersonState, Session},
    time::Timestamp,
};
use tokio_postgres::Row;

use super::{
    Postgres, commit,
    fault::Outcome,
    keys,
    row::{self, Columns, corrupt},
    session::{Change, Params},
};
use crate::{
    Acting, LINKS_BELOW_KEY_MAX, LINKS_PER_MAKER_MAX, LinkMaker, LoadedSession, NewSession,
    Receipt, Recorder, RefreshTurn, Result, SESSIONS_PER_PERSON_MAX, SessionStore, SignIn,
    StoreError, WhichSessions, Written, person_store::SIGN_INS_MAX,
};

#[async_trait]
impl SessionStore for Postgres {
    async fn load_sessions(&self, now: Timestamp) -> Result<Vec<LoadedSession>> {
        self.read("load sessions", async {
            let session = self.sessions.session().await?;
            let sql = "select id, digest, org, person, method, created_at, seen_at, ends_at, \
                           client, user_agent, created_by, root, chain, admin_token, \
                           provider_session, impersonator, fresh_until \
                       from sessions where ends_at > $1";
            Ok(row::all(
                &session.rows(sql, &[&now.millis()]).await?,
                loaded,
            )?)
        })
        .await
    }

    async fn find_sealed(&self, id: SessionId) -> Result<Option<Vec<u8>>> {
        self.read("find a session", async {
            let session = self.sessions.session().await?;
            let sql = "select sealed from sessions where id = $1";
            let found = session.row(sql, &[&id.to_string()]).await?;
            let found = found.ok_or(StoreError::NotFound("session"))?;
            Ok(Columns::of("sessions", &found).get("sealed")?)
        })
        .await
    }

    async fn take_refresh_turn(
        &self,
        id: SessionId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RefreshTurn> {
        self.write("take the turn to refresh a session", async move {
            let change = self.sessions.begin().await?;
            let sql = "update sessions set asked_until = $3 \
                       where id = $1 and (asked_until is null or asked_until <= $2) \
                       returning id, digest, org, person, method, created_at, seen_at, ends_at, \
                           client, user_agent, created_by, root, chain, admin_token, \
                           provider_session, impersonator, fresh_until, sealed";
            let values: Params<'_> = &[&id.to_string(), &now.millis(), &until.millis()];
            if let Some(row) = change.row(sql, values).await? {
                let session = Box::new(loaded(&row)?.session);
                let sealed = Columns::of("sessions", &row).get("sealed")?;
                change.commit().await?;
                return Ok(RefreshTurn::Ours { session, sealed });
            }
            let sql = "select 1 from sessions where id = $1";
            match change.row(sql, &[&id.to_string()]).await? {
                Some(_) => Ok(RefreshTurn::Others),
                None => Err(StoreError::NotFound("session").into()),
            }
        })
        .await
    }

    async fn end_refresh_turn(&self, id: SessionId) -> Result<()> {
        self.write("end the turn to refresh a session", async move {
            let change = self.sessions.begin().await?;
            let sql = "update sessions set asked_until = null where id = $1";
            change.execute(sql, &[&id.to_string()]).await?;
            change.commit().await
        })
        .await
    }

    async fn renew_session(
        &self,
        session: &Session,
        before: Option<Vec<u8>>,
        sealed: Option<Vec<u8>>,
    ) -> Result<()> {
        let id = session.id.to_string();
        let fresh_until = session.fresh_until.map(Timestamp::millis);
        let told = (
            session.provider_session.clone(),
            session.impersonator.clone(),
        );
        self.write("renew a session", async move {
            let change = self.sessions.begin().await?;
            let sql = "update sessions set fresh_until = $2, provider_session = $3, \
                           impersonator = $4, sealed = $6, asked_until = null \
                       where id = $1 and sealed is not distinct from $5";
            let values: Params<'_> = &[&id, &fresh_until, &told.0, &told.1, &before, &sealed];
            if change.execute(sql, values).await? == 1 {
                return change.commit().await;
            }
            let sql = "select 1 from sessions where id = $1";
            match change.row(sql, &[&id]).await? {
                Some(_) => Err(StoreError::Stale("session").into()),
                None => Err(StoreError::NotFound("session").into()),
            }
        })
        .await
    }

    async fn end_sessions(
        &self,
        org: OrgId,
        which: WhichSessions,
        record: Recorder<Vec<SessionId>>,
    ) -> Result<Written<Vec<SessionId>>> {
        self.write("end sessions", async move {
            let change = self.sessions.begin().await?;
            let sql = "delete from sessions where org = $1 \
                       and ($2::text is null or person = $2) \
                       and ($3::text is null or id = $3) \
                       and ($4::text is null or id <> $4) \
                       and ($5::text is null or provider_session = $5) \
                       and ($6::text is null or strpos(chain, $6) > 0) returning id";
            let (mut person, mut one, mut other) = (None, None, None);
            let (mut provider, mut maker) = (None, None);
            match which {
                WhichSessions::One(of, id) => {
                    person = Some(of.to_string());
                    one = Some(id.to_string());
                }
                WhichSessions::OfPerson(of) => person = Some(of.to_string()),
                WhichSessions::OthersOf(of, id) => {
                    person = Some(of.to_string());
                    other = Some(id.to_string());
                }
                WhichSessions::OfKey(key) => maker = Some(key.to_string()),
                WhichSessions::OthersOfKey(key, id) => {
                    maker = Some(key.to_string());
                    other = Some(id.to_string());
                }
                WhichSessions::OfProvider(session) => provider = Some(session),
            }
            let org = org.to_string();
            let values: Params<'_> = &[&org, &person, &one, &other, &provider, &maker];
            let ended = ids(&change.rows(sql, values).await?)?;
            commit(change, ended, record).await
        })
        .await
    }

    async fn touch_sessions(&self, used: Vec<(SessionId, Timestamp)>) -> Result<()> {
        self.write("keep when sessions were last used", async move {
            let change = self.sessions.begin().await?;
            let ids: Vec<String> = used.iter().map(|(id, _)| id.to_string()).collect();
            let times: Vec<i64> = used.iter().map(|(_, at)| at.millis()).collect();
            let sql = "update sessions set seen_at = greatest(seen_at, used.at) \
                       from (select id, max(at) as at \
                             from unnest($1::text[], $2::bigint[]) as u (id, at) group by id) as used \
                       where sessions.id = used.id";
            change.execute(sql, &[&ids, &times]).await?;
            change.commit().await
        })
        .await
    }

    async fn put_sign_in(
        &self,
        sign_in: SignIn,
        acting: Acting,
        record: Option<Recorder<SignIn>>,
    ) -> Result<Option<Receipt>> {
        self.write("begin a sign-in", async move {
            let change = self.sessions.begin().await?;
            if let Some(org) = sign_in.org {
                keys::require_actor(&change, org, acting).await?;
            }
            let sql = "delete from sign_ins where expires_at <= $1";
            change.execute(sql, &[&acting.now.millis()]).await?;
            require_room(&change, &sign_in).await?;
            let sql = "insert into sign_ins (digest, org, payload, expires_at, maker, line) \
                       values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
            let maker = sign_in.maker.as_ref();
            let values: Params<'_> = &[
                &&sign_in.digest[..],
                &sign_in.org.map(|org| org.to_string()),
                &sign_in.payload,
                &sign_in.expires_at.millis(),
                &maker.map(|made| &made.maker),
                &maker.map(|made| &made.line),
            ];
            if change.execute(sql, values).await? == 0 {
                return Err(StoreError::Exists("sign-in").into());
            }
            match record {
                Some(record) => Ok(Some(commit(change, sign_in, record).await?.receipt)),
                None => {
                    change.commit().await?;
                    Ok(None)
                }
            }
        })
        .await
    }

    async fn take_sign_in(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<SignIn>> {
        self.write("end a sign-in", async move {
            let change = self.sessions.begin().await?;
            let sql = "delete from sign_ins where digest = $1 \
                       returning digest, org, payload, expires_at, maker, line";
            let taken = change.row(sql, &[&&digest[..]]).await?;
            let taken = taken.as_ref().map(sign_in).transpose()?;
            change.commit().await?;
            Ok(taken.filter(|taken| taken.expires_at > now))
        })
        .await
    }

    async fn purge_sessions(&self, ended: Timestamp, unused_since: Timestamp) -> Result<u64> {
        self.write("clear sessions away", async move {
            let change = self.sessions.begin().await?;
            let sql = "delete from sessions where ends_at <= $1 or seen_at <= $2";
            let values: Params<'_> = &[&ended.millis(), &unused_since.millis()];
            let purged = change.execute(sql, values).await?;
            let sql = "delete from sign_ins where expires_at <= $1";
            change.execute(sql, &[&ended.millis()]).await?;
            change.commit().await?;
            Ok(purged)
        })
        .await
    }
}

/// Refuses a change on behalf of a session that has ended, or of a person who is not active; holds
/// both as they are until the end of the change.
pub(super) async fn hold(change: &Change, id: SessionId, now: Timestamp) -> Outcome<()> {
    let sql = "select 1 from sessions join people \
                   on people.org = sessions.org and people.id = sessions.person \
               where sessions.id = $1 and ends_at > $2 and state = $3 for share";
    let active = PersonState::Active.as_str();
    let found = change
        .row(sql, &[&id.to_string(), &now.millis(), &active])
        .await?;
    found.map(drop).ok_or_else(|| StoreError::ActorGone.into())
}

/// Begins a session; gives those of the same person that end because there are too many. Those that a
/// key began are counted for that key alone: it ends no wider ones.
pub(super) async fn begin(change: &Change, new: &NewSession) -> Outcome<Vec<SessionId>> {
    let session = &new.session;
    let sql = "delete from sessions where id in ( \
                   select id from sessions where org = $1 and person = $2 \
                       and coalesce(chain, '') = $3 \
                   order by seen_at desc, id desc offset $4) returning id";
    let minter = session.minter.as_ref();
    let chain = minter.map(|minter| row::chain_text(&minter.chain));
    let values: Params<'_> = &[
        &session.org.to_string(),
        &session.person.as_str(),
        &chain.as_deref().unwrap_or_default(),
        &(i64::from(SESSIONS_PER_PERSON_MAX) - 1),
    ];
    let ended = ids(&change.rows(sql, values).await?)?;
    let sql = "insert into sessions (id, digest, org, person, method, created_at, seen_at, \
                   ends_at, client, user_agent, created_by, root, chain, admin_token, \
                   provider_session, impersonator, fresh_until, sealed) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                   $17, $18)";
    let values: Params<'_> = &[
        &session.id.to_string(),
        &&new.digest[..],
        &session.org.to_string(),
        &session.person.as_str(),
        &session.method.as_str(),
        &session.created_at.millis(),
        &session.seen_at.millis(),
        &session.ends_at.millis(),
        &session.client.map(|client| client.to_string()),
        &session.user_agent,
        &minter.map(|minter| minter.created_by.to_string()),
        &minter.map(|minter| minter.root.to_string()),
        &minter.map(|minter| row::chain_text(&minter.chain)),
        &session.admin_token.as_ref().map(<[u8; 32]>::as_slice),
        &session.provider_session,
        &session.impersonator,
        &session.fresh_until.map(Timestamp::millis),
        &new.sealed,
    ];
    change.execute(sql, values).await?;
    Ok(ended)
}

/// Ends every session of a person, and those that began with the link of a key that goes back to it.
pub(super) async fn end_all(change: &Change, org: OrgId, person: &PersonId) -> Outcome<()> {
    let sql = "delete from sessions where org = $1 and (person = $2 or root = $3)";
    let root = person.actor().to_string();
    let values: Params<'_> = &[&org.to_string(), &person.as_str(), &root];
    change.execute(sql, values).await?;
    Ok(())
}

/// Makes sure that there are not too many under way. Whoever goes to the provider need not be known,
/// so those share one limit; of a link the maker is, and nobody stops the links of others.
async fn require_room(change: &Change, new: &SignIn) -> Outcome<()> {
    let Some(LinkMaker { maker, line }) = &new.maker else {
        let sql = "select count(*) as count from sign_ins where maker is null";
        let row = change.row(sql, &[]).await?;
        return at_most(row.as_ref(), "sign-ins under way", SIGN_INS_MAX);
    };
    let org = new.org.map(|org| org.to_string());
    let sql = "delete from sign_ins where digest in ( \
                   select digest from sign_ins where org = $1 and line = $2 and maker = $3 \
                   order by expires_at desc, digest offset $4)";
    let kept = i64::from(LINKS_PER_MAKER_MAX) - 1;
    let values: Params<'_> = &[&org, line, maker, &kept];
    change.execute(sql, values).await?;
    if maker == line {
        return Ok(());
    }
    let sql = "select count(*) as count from sign_ins \
               where org = $1 and line = $2 and maker <> $2";
    let row = change.row(sql, &[&org, line]).await?;
    let most = u64::from(LINKS_BELOW_KEY_MAX);
    at_most(row.as_ref(), "unused login links of keys below one", most)
}

fn at_most(row: Option<&Row>, what: &'static str, max: u64) -> Outcome<()> {
    let count = match row {
        Some(row) => Columns::of("sign_ins", row).count("count")?,
        None => 0,
    };
    if count >= max {
        return Err(StoreError::LimitReached { what, max }.into());
    }
    Ok(())
}

fn ids(rows: &[Row]) -> Result<Vec<SessionId>> {
    row::all(rows, |row| Columns::of("sessions", row).parse("id"))
}

fn loaded(row: &Row) -> Result<LoadedSession> {
    let columns = Columns::of("sessions", row);
    let minter = match columns.get::<Option<&str>>("created_by")? {
        None => None,
        Some(_) => Some(row::minter(&columns)?),
    };
    let client = columns.get::<Option<&str>>("client")?.map(str::parse);
    let client = client.transpose();
    let admin_token = match columns.get::<Option<&[u8]>>("admin_token")? {
        None => None,
        Some(_) => Some(columns.digest("admin_token")?),
    };
    Ok(LoadedSession {
        digest: columns.digest("digest")?,
        session: Session {
            id: columns.parse("id")?,
            org: columns.parse("org")?,
            person: columns.parse("person")?,
            method: columns.parse("method")?,
            created_at: columns.time("created_at")?,
            seen_at: columns.time("seen_at")?,
            ends_at: columns.time("ends_at")?,
            client: client.map_err(|error| corrupt("`sessions.client`", error))?,
            user_agent: columns.get("user_agent")?,
            minter,
            admin_token,
            provider_session: columns.get("provider_session")?,
            impersonator: columns.get("impersonator")?,
            fresh_until: columns.maybe_time("fresh_until")?,
        },
    })
}

fn sign_in(row: &Row) -> Result<SignIn> {
    let columns = Columns::of("sign_ins", row);
    let org = match columns.get::<Option<&str>>("org")? {
        None => None,
        Some(_) => Some(columns.parse("org")?),
    };
    Ok(SignIn {
        digest: columns.digest("digest")?,
        org,
        payload: columns.get("payload")?,
        expires_at: columns.time("expires_at")?,
        maker: match (columns.get("maker")?, columns.get("line")?) {
            (Some(maker), Some(line)) => Some(LinkMaker { maker, line }),
            _ => None,
        },
    })
}
