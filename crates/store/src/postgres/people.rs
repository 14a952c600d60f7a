//! People.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId, WorkspaceTokenId},
    key::Revocation,
    ledger::entry::Entry,
    permission::PermissionSet,
    person::{Person, PersonDecision, PersonId, PersonState},
};
use tokio_postgres::Row;

use super::{
    Postgres, browsers, commit, commit_many,
    fault::Outcome,
    keys::{self, columns as key_columns},
    orgs,
    row::{self, Columns, corrupt},
    session::{Change, Params},
};
use crate::{
    Acting, Begun, Judge, KEYS_SELECTED_LIMIT, NewSession, Page, PersonRow, PersonStore,
    PersonTurn, Recorder, Removal, Removed, Result, RevokedKey, StoreError, Verdict, Written,
    within_selection,
};

macro_rules! columns {
    () => {
        "org, id, issuer, email, name, role, permissions, told_at, first_seen_at, last_seen_at, state, \
         decided_at, decided_by, decision_reason"
    };
}

/// What [`person_row`] has beside a person.
macro_rules! counts {
    () => {
        "(select count(*) from keys where keys.org = people.org \
          and keys.root = 'session:' || people.id and revoked_at is null) as keys, \
         (select count(*) from sessions where sessions.org = people.org \
          and sessions.person = people.id) as sessions"
    };
}

#[async_trait]
impl PersonStore for Postgres {
    async fn sign_in(
        &self,
        person: Person,
        session: Option<NewSession>,
        record: Recorder<Begun>,
    ) -> Result<Written<Begun>> {
        self.write("sign in", async move {
            // Alone, for sessions are counted, and two may bring the same person for the first time.
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            orgs::require(&change, person.org).await?;
            let person = keep(&change, person).await?;
            let ended = match &session {
                Some(new) => browsers::begin(&change, new).await?,
                None => Vec::new(),
            };
            let session = session.map(|new| new.session);
            let begun = Begun {
                person,
                session,
                ended,
            };
            commit(change, begun, record).await
        })
        .await
    }

    async fn find_person(&self, org: OrgId, id: &PersonId) -> Result<Option<PersonRow>> {
        self.read("find a person", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                ", ",
                counts!(),
                " from people where org = $1 and id = $2"
            );
            let found = session.row(sql, &[&org.to_string(), &id.as_str()]).await?;
            Ok(found.as_ref().map(person_row).transpose()?)
        })
        .await
    }

    async fn list_people(&self, org: OrgId, page: Page<PersonId>) -> Result<Vec<PersonRow>> {
        self.read("list people", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                ", ",
                counts!(),
                " from people where org = $1 and ($2::text is null or id > $2) \
                 order by id limit $3"
            );
            let after = page.after.map(|id| id.to_string());
            let values: Params<'_> = &[&org.to_string(), &after, &i64::from(page.limit)];
            Ok(row::all(&session.rows(sql, values).await?, person_row)?)
        })
        .await
    }

    async fn load_people(&self) -> Result<Vec<Person>> {
        self.read("load people", async {
            let session = self.sessions.session().await?;
            let sql = concat!(
                "select ",
                columns!(),
                " from people where org in (select id from orgs where deleted_at is null)"
            );
            Ok(row::all(&session.rows(sql, &[]).await?, person)?)
        })
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
        self.write("suspend or restore a person", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            let person = find_locked(&change, org, &id).await?;
            let person = turn.apply(person.ok_or(StoreError::NotFound("person"))?)?;
            update(&change, &person).await?;
            if person.state != PersonState::Active {
                browsers::end_all(&change, org, &id).await?;
            }
            commit(change, person, record).await
        })
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
        self.write("remove a person", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            let person = find_locked(&change, org, &id).await?;
            let person = person.ok_or(StoreError::NotFound("person"))?;
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
            update(&change, &person).await?;
            browsers::end_all(&change, org, &id).await?;
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
                    hold_active(&change, org, heir.as_str()).await?;
                    hand_over(&change, left, &heir, &judge).await?
                }
                None => revoke_all(&change, left, &removal.end).await?,
            };
            commit_many(change, removed, record).await
        })
        .await
    }
}

/// Refuses what a person does, or what goes back to it, unless it is active; holds it as it is until
/// the end of the change.
pub(super) async fn hold_active(change: &Change, org: OrgId, id: &str) -> Outcome<()> {
    let sql = "select state from people where org = $1 and id = $2 for share";
    let found = change.row(sql, &[&org.to_string(), &id]).await?;
    let found = found.ok_or(StoreError::NotFound("person"))?;
    match Columns::of("people", &found).parse("state")? {
        PersonState::Active => Ok(()),
        state => Err(StoreError::PersonInactive(state).into()),
    }
}

/// A person, locked until the end of the change.
async fn find_locked(change: &Change, org: OrgId, id: &PersonId) -> Outcome<Option<Person>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from people where org = $1 and id = $2 for update"
    );
    let found = change.row(sql, &[&org.to_string(), &id.as_str()]).await?;
    Ok(found.as_ref().map(person).transpose()?)
}

/// Keeps a person as it is described now; what was decided about it stays.
async fn keep(change: &Change, new: Person) -> Outcome<Person> {
    let Some(before) = find_locked(change, new.org, &new.id).await? else {
        insert(change, &new).await?;
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
    update(change, &person).await?;
    Ok(person)
}

async fn insert(change: &Change, new: &Person) -> Outcome<()> {
    let sql = "insert into people \
               (org, id, issuer, email, name, role, permissions, told_at, first_seen_at, \
                   last_seen_at, state) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values: Params<'_> = &[
        &new.org.to_string(),
        &new.id.as_str(),
        &new.issuer,
        &new.email,
        &new.name,
        &new.role,
        &new.permissions.patterns().join(" "),
        &new.told_at.millis(),
        &new.first_seen_at.millis(),
        &new.last_seen_at.millis(),
        &new.state.as_str(),
    ];
    change.execute(sql, values).await?;
    Ok(())
}

async fn update(change: &Change, person: &Person) -> Outcome<()> {
    let sql = "update people set email = $3, name = $4, role = $5, permissions = $6, \
                   told_at = $7, last_seen_at = $8, state = $9, decided_at = $10, \
                   decided_by = $11, decision_reason = $12 \
               where org = $1 and id = $2";
    let decision = person.decision.as_ref();
    let values: Params<'_> = &[
        &person.org.to_string(),
        &person.id.as_str(),
        &person.email,
        &person.name,
        &person.role,
        &person.permissions.patterns().join(" "),
        &person.told_at.millis(),
        &person.last_seen_at.millis(),
        &person.state.as_str(),
        &decision.map(|decision| decision.at.millis()),
        &decision.map(|decision| decision.by.to_string()),
        &decision.and_then(|decision| decision.reason.as_deref()),
    ];
    change.execute(sql, values).await?;
    Ok(())
}

/// Lets all that goes back to the person go back to the heir.
async fn hand_over(
    change: &Change,
    left: Removed,
    heir: &PersonId,
    judge: &Judge,
) -> Outcome<Removed> {
    let (org, from) = (
        left.person.org.to_string(),
        left.person.id.actor().to_string(),
    );
    let sql = concat!(
        "select ",
        key_columns!(),
        " from keys where org = $1 and root = $2 and revoked_at is null \
         order by id limit $3 for update"
    );
    let rows = change
        .rows(sql, &[&org, &from, &KEYS_SELECTED_LIMIT])
        .await?;
    let found = within_selection(row::all(&rows, row::key)?)?;
    if let Some(key) = found.iter().find(|key| judge(key) != Verdict::Take) {
        return Err(StoreError::Refused(key.id).into());
    }
    let to = heir.actor().to_string();
    let sql = "update keys set root = $3 \
               where org = $1 and root = $2 and revoked_at is null returning id";
    let rows = change.rows(sql, &[&org, &from, &to]).await?;
    let handed_over = row::all(&rows, |row| Columns::of("keys", row).parse::<KeyId>("id"))?;
    let sql = "update workspace_tokens set root = $3 \
               where org = $1 and root = $2 and revoked_at is null returning id";
    let rows = change.rows(sql, &[&org, &from, &to]).await?;
    let tokens_handed_over = row::all(&rows, |row| {
        Columns::of("workspace_tokens", row).parse::<WorkspaceTokenId>("id")
    })?;
    Ok(Removed {
        handed_over,
        tokens_handed_over,
        ..left
    })
}

/// Revokes all that goes back to the person.
async fn revoke_all(change: &Change, left: Removed, end: &Revocation) -> Outcome<Removed> {
    let (org, root) = (
        left.person.org.to_string(),
        left.person.id.actor().to_string(),
    );
    // Locked in one order before they are changed, as by whoever else changes many.
    let sql = "select id from keys where org = $1 and root = $2 and revoked_at is null \
               order by id limit $3 for update";
    let values: Params<'_> = &[&org, &root, &KEYS_SELECTED_LIMIT];
    let living = change.rows(sql, values).await?.len();
    crate::rows::within_count(u64::try_from(living).unwrap_or(u64::MAX))?;
    let sql = "update keys set revoked_at = $3, revoked_by = $4, revoked_reason = $5 \
               where org = $1 and root = $2 and revoked_at is null returning id, prefix, digest";
    let values: Params<'_> = &[
        &org,
        &root,
        &end.at.millis(),
        &end.by.to_string(),
        &end.reason,
    ];
    let rows = change.rows(sql, values).await?;
    let keys: Vec<RevokedKey<KeyId>> = row::all(&rows, |row| row::revoked("keys", row))?;
    let sql = "update workspace_tokens set revoked_at = $3 \
               where org = $1 and root = $2 and revoked_at is null returning id, prefix, digest";
    let rows = change.rows(sql, &[&org, &root, &end.at.millis()]).await?;
    let workspace_tokens = row::all(&rows, |row| row::revoked("workspace_tokens", row))?;
    Ok(Removed {
        keys,
        workspace_tokens,
        ..left
    })
}

fn person(row: &Row) -> Result<Person> {
    let columns = Columns::of("people", row);
    let patterns: &str = columns.get("permissions")?;
    let patterns = patterns.split(' ').filter(|pattern| !pattern.is_empty());
    let permissions = PermissionSet::parse(patterns);
    let decision = match columns.maybe_time("decided_at")? {
        None => None,
        Some(at) => Some(PersonDecision {
            at,
            by: columns.parse("decided_by")?,
            reason: columns.get("decision_reason")?,
        }),
    };
    Ok(Person {
        org: columns.parse("org")?,
        id: columns.parse("id")?,
        issuer: columns.get("issuer")?,
        email: columns.get("email")?,
        name: columns.get("name")?,
        role: columns.get("role")?,
        permissions: permissions.map_err(|error| corrupt("`people.permissions`", error))?,
        told_at: columns.time("told_at")?,
        first_seen_at: columns.time("first_seen_at")?,
        last_seen_at: columns.time("last_seen_at")?,
        state: columns.parse("state")?,
        decision,
    })
}

fn person_row(row: &Row) -> Result<PersonRow> {
    let columns = Columns::of("people", row);
    Ok(PersonRow {
        person: person(row)?,
        keys: columns.count("keys")?,
        sessions: columns.count("sessions")?,
    })
}
