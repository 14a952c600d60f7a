//! People.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::Revocation,
    ledger::entry::Entry,
    permission::PermissionSet,
    person::{Person, PersonDecision, PersonId, PersonState},
    tier::Actor,
};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, Sqlite, browsers, keys, orgs, row,
    row::{IdText, Query, count, maybe_time, parsed, text, time},
    writer::{Order, Tx},
};
use crate::{
    Acting, Begun, Judge, KEYS_SELECTED_LIMIT, NewSession, Page, PersonRow, PersonStore,
    PersonTurn, Recorder, Removal, Removed, Result, RevokedKey, StoreError, Verdict, Written,
    within_selection,
};

/// The columns of [`person`].
const PERSON: &str = "org, id, issuer, email, name, role, permissions, told_at, \
     first_seen_at, last_seen_at, state, decided_at, decided_by, decision_reason";
/// And those that [`person_row`] has beside them.
const COUNTS: &str = "(select count(*) from keys where keys.org = people.org \
     and keys.root = 'session:' || people.id and revoked_at is null), \
     (select count(*) from sessions where sessions.org = people.org \
     and sessions.person = people.id)";

#[async_trait]
impl PersonStore for Sqlite {
    async fn sign_in(
        &self,
        person: Person,
        session: Option<NewSession>,
        record: Recorder<Begun>,
    ) -> Result<Written<Begun>> {
        let work = move |tx: &mut Tx<'_>| {
            orgs::require(tx.sql, person.org)?;
            let person = keep(tx.sql, person)?;
            let ended = match &session {
                Some(new) => browsers::begin(tx.sql, new)?,
                None => Vec::new(),
            };
            let session = session.map(|new| new.session);
            let begun = Begun {
                person,
                session,
                ended,
            };
            tx.written(begun, record)
        };
        self.writer.change(Order::synced("sign in"), work).await
    }

    async fn find_person(&self, org: OrgId, id: &PersonId) -> Result<Option<PersonRow>> {
        let id = id.to_string();
        let query = format!("select {PERSON}, {COUNTS} from people where org = ?1 and id = ?2");
        self.read("find a person", move |sql| {
            row::first(sql, &query, params![IdText::of(org), id], person_row)
        })
        .await
    }

    async fn list_people(&self, org: OrgId, page: Page<PersonId>) -> Result<Vec<PersonRow>> {
        let select = format!("select {PERSON}, {COUNTS} from people where org = ?");
        let mut query = Query::new(select, org.to_string());
        if let Some(after) = page.after {
            query.and("and id > ?", [after.to_string().into()]);
        }
        query.and("order by id limit ?", [i64::from(page.limit).into()]);
        self.read("list people", move |sql| query.all(sql, person_row))
            .await
    }

    async fn load_people(&self) -> Result<Vec<Person>> {
        let query = format!(
            "select {PERSON} from people
             where org in (select id from orgs where deleted_at is null)"
        );
        self.read("load people", move |sql| row::all(sql, &query, [], person))
            .await
    }

    async fn turn_person(
        &self,
        org: OrgId,
        id: PersonId,
        turn: PersonTurn,
        acting: Acting,
        record: Recorder<Person>,
    ) -> Result<Written<Person>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let person = find_locked(tx.sql, org, &id)?.ok_or(StoreError::NotFound("person"))?;
            let person = turn.apply(person)?;
            update(tx.sql, &person)?;
            if person.state != PersonState::Active {
                browsers::end_all(tx.sql, org, &id)?;
            }
            tx.written(person, record)
        };
        self.writer
            .change(Order::synced("suspend or restore a person"), work)
            .await
    }

    async fn remove_person(
        &self,
        org: OrgId,
        id: PersonId,
        (removal, judge): (Removal, Judge),
        acting: Acting,
        record: Recorder<Removed, Vec<Entry>>,
    ) -> Result<Written<Removed>> {
        let work = move |tx: &mut Tx<'_>| {
            keys::require_actor(tx.sql, acting)?;
            orgs::require(tx.sql, org)?;
            let person = find_locked(tx.sql, org, &id)?.ok_or(StoreError::NotFound("person"))?;
            if person.state == PersonState::Removed {
                return Err(StoreError::PersonInactive(person.state).into());
            }
            let person = Person {
                state: PersonState::Removed,
                decision: Some(PersonDecision {
                    at: removal.end.at,
                    by: removal.end.by.clone(),
                    reason: removal.end.reason.clone(),
                }),
                ..person
            };
            update(tx.sql, &person)?;
            browsers::end_all(tx.sql, org, &id)?;
            let left = Removed {
                person,
                at: removal.end.at,
                keys: Vec::new(),
                handed_over: Vec::new(),
                workspace_tokens: Vec::new(),
                tokens_handed_over: Vec::new(),
            };
            let removed = match removal.heir {
                Some(heir) => {
                    hold_active(tx.sql, org, heir.as_str())?;
                    hand_over(tx.sql, left, &heir, &judge)?
                }
                None => revoke_all(tx.sql, left, &removal.end)?,
            };
            tx.written_many(removed, record)
        };
        self.writer
            .change(Order::synced("remove a person"), work)
            .await
    }
}

/// Refuses what a person does, or what goes back to it, unless it is active.
pub(super) fn hold_active(sql: &Connection, org: OrgId, id: &str) -> Outcome<()> {
    let query = "select state from people where org = ?1 and id = ?2";
    let state = row::first(sql, query, params![IdText::of(org), id], |row| {
        parsed(row, 0)
    })?;
    match state {
        Some(PersonState::Active) => Ok(()),
        Some(state) => Err(StoreError::PersonInactive(state).into()),
        None => Err(StoreError::NotFound("person").into()),
    }
}

/// A person, locked until the end of the change: here the transaction is the lock.
fn find_locked(sql: &Connection, org: OrgId, id: &PersonId) -> Outcome<Option<Person>> {
    let query = format!("select {PERSON} from people where org = ?1 and id = ?2");
    row::first(sql, &query, params![IdText::of(org), id.as_str()], person)
}

/// Keeps a person as it is described now; what was decided about it stays.
fn keep(sql: &Connection, new: Person) -> Outcome<Person> {
    let Some(before) = find_locked(sql, new.org, &new.id)? else {
        insert(sql, &new)?;
        return Ok(new);
    };
    if before.issuer != new.issuer {
        return Err(StoreError::Exists("person, vouched for by another issuer,").into());
    }
    if before.state != PersonState::Active {
        return Err(StoreError::PersonInactive(before.state).into());
    }
    // An older word about the role does not change it.
    let new = match before.told_at > new.told_at {
        true => Person {
            role: before.role,
            permissions: before.permissions,
            told_at: before.told_at,
            ..new
        },
        false => new,
    };
    let person = Person {
        first_seen_at: before.first_seen_at,
        state: before.state,
        decision: before.decision,
        ..new
    };
    update(sql, &person)?;
    Ok(person)
}

fn insert(sql: &Connection, new: &Person) -> Outcome<()> {
    let statement = "insert into people
         (org, id, issuer, email, name, role, permissions, told_at, first_seen_at, last_seen_at,
             state)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let bound = params![
        IdText::of(new.org),
        new.id.as_str(),
        new.issuer,
        new.email,
        new.name,
        new.role,
        new.permissions.patterns().join(" "),
        new.told_at.millis(),
        new.first_seen_at.millis(),
        new.last_seen_at.millis(),
        new.state.as_str(),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

fn update(sql: &Connection, person: &Person) -> Outcome<()> {
    let statement = "update people set email = ?3, name = ?4, role = ?5, permissions = ?6,
             told_at = ?7, last_seen_at = ?8, state = ?9, decided_at = ?10, decided_by = ?11,
             decision_reason = ?12
         where org = ?1 and id = ?2";
    let decision = person.decision.as_ref();
    let bound = params![
        IdText::of(person.org),
        person.id.as_str(),
        person.email,
        person.name,
        person.role,
        person.permissions.patterns().join(" "),
        person.told_at.millis(),
        person.last_seen_at.millis(),
        person.state.as_str(),
        decision.map(|decision| decision.at.millis()),
        decision.map(|decision| decision.by.to_string()),
        decision.and_then(|decision| decision.reason.as_deref()),
    ];
    row::run(sql, statement, bound)?;
    Ok(())
}

/// Lets all that goes back to the person go back to the heir.
fn hand_over(sql: &Connection, left: Removed, heir: &PersonId, judge: &Judge) -> Outcome<Removed> {
    let (org, from) = (left.person.org, left.person.id.actor().to_string());
    let query = format!(
        "select {} from keys where org = ?1 and root = ?2 and revoked_at is null
         order by id limit ?3",
        row::KEY
    );
    let bound = params![IdText::of(org), from, KEYS_SELECTED_LIMIT];
    let found = within_selection(row::all(sql, &query, bound, row::key)?)?;
    if let Some(key) = found.iter().find(|key| judge(key) != Verdict::Take) {
        return Err(StoreError::Refused(key.id).into());
    }
    let to = heir.actor().to_string();
    let statement = "update keys set root = ?3
         where org = ?1 and root = ?2 and revoked_at is null returning id";
    let bound = params![IdText::of(org), from, to];
    let handed_over = row::all(sql, statement, bound, |row| parsed(row, 0))?;
    let statement = "update workspace_tokens set root = ?3
         where org = ?1 and root = ?2 and revoked_at is null returning id";
    let bound = params![IdText::of(org), from, to];
    let tokens_handed_over = row::all(sql, statement, bound, |row| parsed(row, 0))?;
    Ok(Removed {
        handed_over,
        tokens_handed_over,
        ..left
    })
}

/// Revokes all that goes back to the person.
fn revoke_all(sql: &Connection, left: Removed, end: &Revocation) -> Outcome<Removed> {
    let (org, root) = (left.person.org, left.person.id.actor().to_string());
    let query = "select count(*) from (select 1 from keys where org = ?1 and root = ?2
             and revoked_at is null limit ?3)";
    let bound = params![IdText::of(org), root, KEYS_SELECTED_LIMIT];
    let living = row::first(sql, query, bound, |row| count(row, 0))?;
    crate::rows::within_count(living.unwrap_or_default())?;
    let statement = "update keys set revoked_at = ?3, revoked_by = ?4, revoked_reason = ?5
         where org = ?1 and root = ?2 and revoked_at is null returning id, prefix, digest";
    let bound = params![
        IdText::of(org),
        root,
        end.at.millis(),
        end.by.to_string(),
        end.reason
    ];
    let keys: Vec<RevokedKey<KeyId>> = row::all(sql, statement, bound, row::revoked_key)?;
    let statement = "update workspace_tokens set revoked_at = ?3
         where org = ?1 and root = ?2 and revoked_at is null returning id, prefix, digest";
    let bound = params![IdText::of(org), root, end.at.millis()];
    let workspace_tokens = row::all(sql, statement, bound, row::revoked_key)?;
    Ok(Removed {
        keys,
        workspace_tokens,
        ..left
    })
}

fn person(row: &Row<'_>) -> Outcome<Person> {
    let patterns: Vec<&str> = text(row, 6)?.split(' ').filter(|p| !p.is_empty()).collect();
    let permissions = PermissionSet::parse(patterns);
    let decision = match maybe_time(row, 11)? {
        None => None,
        Some(at) => Some(PersonDecision {
            at,
            by: parsed::<Actor>(row, 12)?,
            reason: row.get(13)?,
        }),
    };
    Ok(Person {
        org: parsed(row, 0)?,
        id: parsed(row, 1)?,
        issuer: text(row, 2)?.to_owned(),
        email: row.get(3)?,
        name: row.get(4)?,
        role: text(row, 5)?.to_owned(),
        permissions: permissions.map_err(|error| row::corrupt(row, 6, error))?,
        told_at: time(row, 7)?,
        first_seen_at: time(row, 8)?,
        last_seen_at: time(row, 9)?,
        state: parsed(row, 10)?,
        decision,
    })
}

fn person_row(row: &Row<'_>) -> Outcome<PersonRow> {
    Ok(PersonRow {
        person: person(row)?,
        keys: count(row, 14)?,
        sessions: count(row, 15)?,
    })
}
