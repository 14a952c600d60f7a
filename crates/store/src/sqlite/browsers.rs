//! Sessions of people in browsers, and sign-ins that are under way.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, SessionId},
    person::{PersonId, PersonState, Session},
    time::Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, Sqlite, keys, row,
    row::{IdText, Query, maybe_time, parsed, text, time},
    writer::{Order, Tx},
};
use crate::{
    Acting, LINKS_BELOW_KEY_MAX, LINKS_PER_MAKER_MAX, LinkMaker, LoadedSession, NewSession,
    Receipt, Recorder, RefreshTurn, Result, SESSIONS_PER_PERSON_MAX, SessionStore, SignIn,
    StoreError, WhichSessions, Written, person_store::SIGN_INS_MAX,
};

/// The columns of [`loaded`].
const SESSION: &str = "id, digest, org, person, method, created_at, seen_at, ends_at, client, \
     user_agent, created_by, root, chain, admin_token, provider_session, impersonator, fresh_until";

#[async_trait]
impl SessionStore for Sqlite {
    async fn load_sessions(&self, now: Timestamp) -> Result<Vec<LoadedSession>> {
        let query = format!("select {SESSION} from sessions where ends_at > ?1");
        self.read("load sessions", move |sql| {
            row::all(sql, &query, params![now.millis()], loaded)
        })
        .await
    }

    async fn find_sealed(&self, id: SessionId) -> Result<Option<Vec<u8>>> {
        let query = "select sealed from sessions where id = ?1";
        let found = self
            .read("find a session", move |sql| {
                row::first(sql, query, params![IdText::of(id)], |row| Ok(row.get(0)?))
            })
            .await?;
        found.ok_or(StoreError::NotFound("session"))
    }

    async fn take_refresh_turn(
        &self,
        id: SessionId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RefreshTurn> {
        let statement = format!(
            "update sessions set asked_until = ?3
             where id = ?1 and (asked_until is null or asked_until <= ?2)
             returning {SESSION}, sealed"
        );
        let work = move |tx: &mut Tx<'_>| {
            let bound = params![IdText::of(id), now.millis(), until.millis()];
            let taken = row::first(tx.sql, &statement, bound, |row| {
                let session = Box::new(loaded(row)?.session);
                let sealed = row.get(17)?;
                Ok(RefreshTurn::Ours { session, sealed })
            })?;
            if let Some(taken) = taken {
                return Ok(taken);
            }
            let query = "select 1 from sessions where id = ?1";
            match row::first(tx.sql, query, params![IdText::of(id)], |_| Ok(()))? {
                Some(()) => Ok(RefreshTurn::Others),
                None => Err(StoreError::NotFound("session").into()),
            }
        };
        self.writer
            .change(Order::quick("take the turn to refresh a session"), work)
            .await
    }

    async fn end_refresh_turn(&self, id: SessionId) -> Result<()> {
        let statement = "update sessions set asked_until = null where id = ?1";
        let work = move |tx: &mut Tx<'_>| {
            row::run(tx.sql, statement, params![IdText::of(id)])?;
            Ok(())
        };
        self.writer
            .change(Order::quick("end the turn to refresh a session"), work)
            .await
    }

    async fn renew_session(
        &self,
        session: &Session,
        before: Option<Vec<u8>>,
        sealed: Option<Vec<u8>>,
    ) -> Result<()> {
        let session = session.clone();
        let work = move |tx: &mut Tx<'_>| {
            let statement = "update sessions set fresh_until = ?2, provider_session = ?3,
                     impersonator = ?4, sealed = ?6, asked_until = null
                 where id = ?1 and sealed is ?5";
            let bound = params![
                IdText::of(session.id),
                session.fresh_until.map(Timestamp::millis),
                session.provider_session,
                session.impersonator,
                before,
                sealed,
            ];
            if row::run(tx.sql, statement, bound)? == 1 {
                return Ok(());
            }
            let query = "select 1 from sessions where id = ?1";
            let bound = params![IdText::of(session.id)];
            match row::first(tx.sql, query, bound, |_| Ok(()))? {
                Some(()) => Err(StoreError::Stale("session").into()),
                None => Err(StoreError::NotFound("session").into()),
            }
        };
        self.writer
            .change(Order::synced("renew a session"), work)
            .await
    }

    async fn end_sessions(
        &self,
        org: OrgId,
        which: WhichSessions,
        record: Recorder<Vec<SessionId>>,
    ) -> Result<Written<Vec<SessionId>>> {
        let work = move |tx: &mut Tx<'_>| {
            let mut query =
                Query::new("delete from sessions where org = ?".into(), org.to_string());
            match which {
                WhichSessions::One(person, id) => query.and(
                    "and person = ? and id = ?",
                    [person.to_string().into(), id.to_string().into()],
                ),
                WhichSessions::OfPerson(person) => {
                    query.and("and person = ?", [person.to_string().into()])
                }
                WhichSessions::OthersOf(person, id) => query.and(
                    "and person = ? and id <> ?",
                    [person.to_string().into(), id.to_string().into()],
                ),
                WhichSessions::OfKey(key) => {
                    query.and("and instr(chain, ?) > 0", [key.to_string().into()])
                }
                WhichSessions::OthersOfKey(key, id) => query.and(
                    "and instr(chain, ?) > 0 and id <> ?",
                    [key.to_string().into(), id.to_string().into()],
                ),
                WhichSessions::OfProvider(session) => {
                    query.and("and provider_session = ?", [session.into()])
                }
            };
            query.and("returning id", []);
            let ended = query.all(tx.sql, |row| parsed(row, 0))?;
            tx.written(ended, record)
        };
        self.writer
            .change(Order::synced("end sessions"), work)
            .await
    }

    async fn touch_sessions(&self, used: Vec<(SessionId, Timestamp)>) -> Result<()> {
        let statement = "update sessions set seen_at = max(seen_at, ?2) where id = ?1";
        let work = move |tx: &mut Tx<'_>| {
            for (id, at) in &used {
                row::run(tx.sql, statement, params![IdText::of(*id), at.millis()])?;
            }
            Ok(())
        };
        self.writer
            .change(Order::quick("keep when sessions were last used"), work)
            .await
    }

    async fn put_sign_in(
        &self,
        sign_in: SignIn,
        acting: Acting,
        record: Option<Recorder<SignIn>>,
    ) -> Result<Option<Receipt>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            let statement = "delete from sign_ins where expires_at <= ?1";
            row::run(tx.sql, statement, params![acting.now.millis()])?;
            require_room(tx.sql, &sign_in)?;
            let statement = "insert into sign_ins (digest, org, payload, expires_at, maker, line)
                 values (?1, ?2, ?3, ?4, ?5, ?6) on conflict do nothing";
            let maker = sign_in.maker.as_ref();
            let bound = params![
                sign_in.digest,
                sign_in.org.map(IdText::of),
                sign_in.payload,
                sign_in.expires_at.millis(),
                maker.map(|made| &made.maker),
                maker.map(|made| &made.line),
            ];
            if row::run(tx.sql, statement, bound)? == 0 {
                return Err(StoreError::Exists("sign-in").into());
            }
            match record {
                Some(record) => Ok(Some(tx.written(sign_in, record)?.receipt)),
                None => Ok(None),
            }
        };
        self.writer
            .change(Order::synced("begin a sign-in"), work)
            .await
    }

    async fn take_sign_in(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<SignIn>> {
        let work = move |tx: &mut Tx<'_>| {
            let statement = "delete from sign_ins where digest = ?1
                 returning digest, org, payload, expires_at, maker, line";
            let mut taken = row::all(tx.sql, statement, params![digest], sign_in)?;
            Ok(taken.pop().filter(|taken| taken.expires_at > now))
        };
        self.writer
            .change(Order::synced("end a sign-in"), work)
            .await
    }

    async fn purge_sessions(&self, ended: Timestamp, unused_since: Timestamp) -> Result<u64> {
        let work = move |tx: &mut Tx<'_>| {
            let statement = "delete from sessions where ends_at <= ?1 or seen_at <= ?2";
            let bound = params![ended.millis(), unused_since.millis()];
            let purged = row::run(tx.sql, statement, bound)?;
            let statement = "delete from sign_ins where expires_at <= ?1";
            row::run(tx.sql, statement, params![ended.millis()])?;
            Ok(u64::try_from(purged).unwrap_or(u64::MAX))
        };
        self.writer
            .change(Order::quick("clear sessions away"), work)
            .await
    }
}

/// Refuses a change on behalf of a session that has ended, or of a person who is not active.
pub(super) fn hold(sql: &Connection, id: SessionId, now: Timestamp) -> Outcome<()> {
    let query = "select 1 from sessions join people
             on people.org = sessions.org and people.id = sessions.person
         where sessions.id = ?1 and ends_at > ?2 and state = ?3";
    let active = PersonState::Active.as_str();
    let bound = params![IdText::of(id), now.millis(), active];
    match row::first(sql, query, bound, |_| Ok(()))? {
        Some(()) => Ok(()),
        None => Err(StoreError::ActorGone.into()),
    }
}

/// Begins a session; gives those of the same person that end because there are too many. Those that a
/// key began are counted for that key alone: it ends no wider ones.
pub(super) fn begin(sql: &Connection, new: &NewSession) -> Outcome<Vec<SessionId>> {
    let session = &new.session;
    let statement = "delete from sessions where id in (
             select id from sessions where org = ?1 and person = ?2 and coalesce(chain, '') = ?3
             order by seen_at desc, id desc limit -1 offset ?4) returning id";
    let minter = session.minter.as_ref();
    let chain = minter.map(|minter| row::chain_text(&minter.chain));
    let bound = params![
        IdText::of(session.org),
        session.person.as_str(),
        chain.unwrap_or_default(),
        SESSIONS_PER_PERSON_MAX - 1
    ];
    let ended = row::all(sql, statement, bound, |row| parsed(row, 0))?;
    let statement = "insert into sessions (id, digest, org, person, method, created_at, seen_at,
             ends_at, client, user_agent, created_by, root, chain, admin_token, provider_session,
             impersonator, fresh_until, sealed)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    let bound = params![
        IdText::of(session.id),
        new.digest,
        IdText::of(session.org),
        session.person.as_str(),
        session.method.as_str(),
        session.created_at.millis(),
        session.seen_at.millis(),
        session.ends_at.millis(),
        session.client.map(|client| client.to_string()),
        session.user_agent,
        minter.map(|minter| minter.created_by.to_string()),
        minter.map(|minter| minter.root.to_string()),
        minter.map(|minter| row::chain_text(&minter.chain)),
        session.admin_token,
        session.provider_session,
        session.impersonator,
        session.fresh_until.map(Timestamp::millis),
        new.sealed,
    ];
    row::run(sql, statement, bound)?;
    Ok(ended)
}

/// Ends every session of a person, and those that began with the link of a key that goes back to it.
pub(super) fn end_all(sql: &Connection, org: OrgId, person: &PersonId) -> Outcome<()> {
    let statement = "delete from sessions where org = ?1 and (person = ?2 or root = ?3)";
    let bound = params![IdText::of(org), person.as_str(), person.actor().to_string()];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Makes sure that there are not too many under way. Whoever goes to the provider need not be known,
/// so those share one limit; of a link the maker is, and nobody stops the links of others.
fn require_room(sql: &Connection, new: &SignIn) -> Outcome<()> {
    let Some(LinkMaker { maker, line }) = &new.maker else {
        let query = "select count(*) from sign_ins where maker is null";
        let count = row::first(sql, query, [], |row| row::count(row, 0))?;
        return at_most(count, "sign-ins under way", SIGN_INS_MAX);
    };
    let org = new.org.map(IdText::of);
    let statement = "delete from sign_ins where digest in (
             select digest from sign_ins where org = ?1 and line = ?2 and maker = ?3
             order by expires_at desc, digest limit -1 offset ?4)";
    let bound = params![org, line, maker, LINKS_PER_MAKER_MAX - 1];
    row::run(sql, statement, bound)?;
    if maker == line {
        return Ok(());
    }
    let query = "select count(*) from sign_ins where org = ?1 and line = ?2 and maker <> ?2";
    let count = row::first(sql, query, params![org, line], |row| row::count(row, 0))?;
    let most = u64::from(LINKS_BELOW_KEY_MAX);
    at_most(count, "unused login links of keys below one", most)
}

fn at_most(count: Option<u64>, what: &'static str, max: u64) -> Outcome<()> {
    if count.unwrap_or_default() >= max {
        return Err(StoreError::LimitReached { what, max }.into());
    }
    Ok(())
}

fn loaded(row: &Row<'_>) -> Outcome<LoadedSession> {
    let minter = match row.get::<_, Option<String>>(10)? {
        None => None,
        Some(_) => Some(row::minter(row, 10)?),
    };
    let client: Option<String> = row.get(8)?;
    let client = client.map(|text| text.parse()).transpose();
    let admin_token = match row.get::<_, Option<Vec<u8>>>(13)? {
        None => None,
        Some(_) => Some(row::digest(row, 13)?),
    };
    Ok(LoadedSession {
        digest: row::digest(row, 1)?,
        session: Session {
            id: parsed(row, 0)?,
            org: parsed(row, 2)?,
            person: parsed(row, 3)?,
            method: parsed(row, 4)?,
            created_at: time(row, 5)?,
            seen_at: time(row, 6)?,
            ends_at: time(row, 7)?,
            client: client.map_err(|error| row::corrupt(row, 8, error))?,
            user_agent: row.get(9)?,
            minter,
            admin_token,
            provider_session: row.get(14)?,
            impersonator: row.get(15)?,
            fresh_until: maybe_time(row, 16)?,
        },
    })
}

fn sign_in(row: &Row<'_>) -> Outcome<SignIn> {
    let org = match row.get::<_, Option<String>>(1)? {
        None => None,
        Some(_) => Some(parsed(row, 1)?),
    };
    Ok(SignIn {
        digest: row::digest(row, 0)?,
        org,
        payload: text(row, 2)?.to_owned(),
        expires_at: time(row, 3)?,
        maker: match (row.get(4)?, row.get(5)?) {
            (Some(maker), Some(line)) => Some(LinkMaker { maker, line }),
            _ => None,
        },
    })
}
