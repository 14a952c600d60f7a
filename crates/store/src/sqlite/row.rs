//! Rows to domain types and back, by hand: what does not fit is corrupt, and never guessed at.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use claviger_core::{
    grant::Grant,
    id::{Id, KeyId, Kind},
    key::{OrgKey, OwnSecret, Revocation, Suspension, Use, WorkspaceTokenRow},
    tier::{Actor, Minter},
    time::Timestamp,
};
use rusqlite::{
    Connection, Params, Row, ToSql,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE},
    params_from_iter,
    types::{ToSqlOutput, Value, ValueRef},
};

use super::{Fault, Outcome};
use crate::{Channel, Org, RevokedKey, SecretName, SecretRow, StoreError, Workspace};

/// The columns of [`key`].
pub(super) const KEY: &str = "id, org, name, prefix, created_by, root, chain, created_at, \
     expires_at, grant_json, metadata, suspended_at, suspended_by, suspended_reason, revoked_at, \
     revoked_by, revoked_reason, last_used_at, last_used_from, secret_used_at, secret_used_from, \
     secret_since, rotate_every, resumed_at";
/// The columns of [`org`].
pub(super) const ORG: &str = "id, name, created_at";
/// The columns of [`workspace`].
pub(super) const WORKSPACE: &str = "id, org, name, labels, created_by, created_at, updated_at";
/// The columns of [`workspace_token`]; `digest` comes last, for those who want it too.
pub(super) const WORKSPACE_TOKEN: &str = "id, org, workspace, name, prefix, created_by, \
     root, chain, created_at, last_used_at, revoked_at, digest";
/// The columns of [`channel`].
pub(super) const CHANNEL: &str = "id, workspace, name, kind, plain, credential_names, sealed, \
     is_enabled, created_by, created_at, updated_at";
/// The columns of [`secret_name`].
pub(super) const SECRET_NAME: &str = "name, version, created_by, created_at, updated_at";

/// An id as text without an allocation, to be bound.
#[derive(Clone, Copy)]
pub(super) struct IdText {
    bytes: [u8; 32],
    len: usize,
}

impl IdText {
    /// The text of this id.
    pub(super) fn of<K: Kind>(id: Id<K>) -> Self {
        let mut text = Self {
            bytes: [0; 32],
            len: 0,
        };
        // The longest id has 30 bytes.
        fmt::Write::write_fmt(&mut text, format_args!("{id}")).unwrap_or_default();
        text
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for IdText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let slot = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        slot.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl ToSql for IdText {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.as_bytes())))
    }
}

/// A query that is put together from conditions; their values are always bound.
pub(super) struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    /// Begins with `select … where …` and the value of its placeholder.
    pub(super) fn new(sql: String, value: impl Into<Value>) -> Self {
        Self {
            sql,
            values: vec![value.into()],
        }
    }

    /// Adds SQL, and the values of its placeholders in their order.
    pub(super) fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) -> &mut Self {
        self.sql.push(' ');
        self.sql.push_str(sql);
        self.values.extend(values);
        self
    }

    /// Every row.
    pub(super) fn all<T>(
        &self,
        sql: &Connection,
        convert: impl Fn(&Row<'_>) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        all(sql, &self.sql, params_from_iter(&self.values), convert)
    }
}

/// Every row of a query.
pub(super) fn all<T>(
    sql: &Connection,
    query: &str,
    params: impl Params,
    convert: impl Fn(&Row<'_>) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    let mut statement = sql.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(convert(row)?);
    }
    Ok(found)
}

/// The first row of a query.
pub(super) fn first<T>(
    sql: &Connection,
    query: &str,
    params: impl Params,
    convert: impl FnOnce(&Row<'_>) -> Outcome<T>,
) -> Outcome<Option<T>> {
    let mut statement = sql.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(convert).transpose()
}

/// Runs a statement; gives the number of rows that it changed.
pub(super) fn run(sql: &Connection, statement: &str, params: impl Params) -> Outcome<usize> {
    Ok(sql.prepare_cached(statement)?.execute(params)?)
}

/// Whether this is a second row with a value that must be unique.
pub(super) fn is_taken(fault: &Fault, column: &str) -> bool {
    match fault {
        Fault::Sql(rusqlite::Error::SqliteFailure(error, Some(message))) => {
            [SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY].contains(&error.extended_code)
                && message.ends_with(column)
        }
        Fault::Sql(_) | Fault::Store(_) => false,
    }
}

/// A `StoreError::Corrupt` about a column.
pub(super) fn corrupt(row: &Row<'_>, at: usize, reason: impl fmt::Display) -> Fault {
    let column = row.as_ref().column_name(at).unwrap_or("?").to_owned();
    Fault::Store(StoreError::Corrupt {
        what: format!("column `{column}`"),
        reason: reason.to_string(),
    })
}

/// A text, borrowed from the row.
pub(super) fn text<'a>(row: &'a Row<'_>, at: usize) -> Outcome<&'a str> {
    row.get_ref(at)?
        .as_str()
        .map_err(|error| corrupt(row, at, error))
}

/// A text of which a value can be read.
pub(super) fn parsed<T>(row: &Row<'_>, at: usize) -> Outcome<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    text(row, at)?
        .parse()
        .map_err(|error| corrupt(row, at, error))
}

/// A number.
pub(super) fn number(row: &Row<'_>, at: usize) -> Outcome<i64> {
    row.get_ref(at)?
        .as_i64()
        .map_err(|error| corrupt(row, at, error))
}

/// A number that is not negative.
pub(super) fn count(row: &Row<'_>, at: usize) -> Outcome<u64> {
    u64::try_from(number(row, at)?).map_err(|error| corrupt(row, at, error))
}

/// A time.
pub(super) fn time(row: &Row<'_>, at: usize) -> Outcome<Timestamp> {
    Ok(Timestamp::from_millis(number(row, at)?))
}

/// A time or nothing.
pub(super) fn maybe_time(row: &Row<'_>, at: usize) -> Outcome<Option<Timestamp>> {
    let value = row
        .get_ref(at)?
        .as_i64_or_null()
        .map_err(|error| corrupt(row, at, error))?;
    Ok(value.map(Timestamp::from_millis))
}

/// Bytes.
pub(super) fn blob(row: &Row<'_>, at: usize) -> Outcome<Vec<u8>> {
    bytes(row, at).map(<[u8]>::to_vec)
}

/// Bytes, where they are.
pub(super) fn bytes<'a>(row: &'a Row<'_>, at: usize) -> Outcome<&'a [u8]> {
    let value = row.get_ref(at)?;
    value.as_blob().map_err(|error| corrupt(row, at, error))
}

/// Thirty-two bytes.
pub(super) fn digest(row: &Row<'_>, at: usize) -> Outcome<[u8; 32]> {
    let bytes = row
        .get_ref(at)?
        .as_blob()
        .map_err(|error| corrupt(row, at, error))?;
    bytes.try_into().map_err(|error| corrupt(row, at, error))
}

/// Pairs in JSON.
pub(super) fn pairs(row: &Row<'_>, at: usize) -> Outcome<BTreeMap<String, String>> {
    serde_json::from_str(text(row, at)?).map_err(|error| corrupt(row, at, error))
}

/// An org.
pub(super) fn org(row: &Row<'_>) -> Outcome<Org> {
    Ok(Org {
        id: parsed(row, 0)?,
        name: text(row, 1)?.to_owned(),
        created_at: time(row, 2)?,
    })
}

/// A key.
pub(super) fn key(row: &Row<'_>) -> Outcome<OrgKey> {
    let grant = Grant::from_json(text(row, 9)?).map_err(|error| corrupt(row, 9, error))?;
    Ok(OrgKey {
        id: parsed(row, 0)?,
        org: parsed(row, 1)?,
        name: text(row, 2)?.to_owned(),
        prefix: parsed(row, 3)?,
        minter: minter(row, 4)?,
        created_at: time(row, 7)?,
        expires_at: maybe_time(row, 8)?,
        grant,
        metadata: pairs(row, 10)?,
        suspension: act(row, 11)?.map(|(at, by, reason)| Suspension { at, by, reason }),
        revocation: act(row, 14)?.map(|(at, by, reason)| Revocation { at, by, reason }),
        last_use: last_use(row, 17)?,
        secret: OwnSecret {
            last_use: last_use(row, 19)?,
            since: time(row, 21)?,
        },
        rotate_every: span(row, 22)?,
        resumed_at: maybe_time(row, 23)?,
    })
}

/// The two columns from this one on: when, and from where.
pub(super) fn last_use(row: &Row<'_>, at: usize) -> Outcome<Option<Use>> {
    let Some(instant) = maybe_time(row, at)? else {
        return Ok(None);
    };
    let from = row.get_ref(at + 1)?.as_str_or_null();
    let from = from.map_err(|error| corrupt(row, at + 1, error))?;
    let from = from.map(str::parse).transpose();
    Ok(Some(Use {
        at: instant,
        from: from.map_err(|error| corrupt(row, at + 1, error))?,
    }))
}

/// Milliseconds.
pub(super) fn span(row: &Row<'_>, at: usize) -> Outcome<Option<Duration>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => Ok(Some(Duration::from_millis(count(row, at)?))),
    }
}

/// The three columns from this one on.
pub(super) fn minter(row: &Row<'_>, at: usize) -> Outcome<Minter> {
    Ok(Minter {
        created_by: parsed(row, at)?,
        root: parsed(row, at + 1)?,
        chain: chain(row, at + 2)?,
    })
}

fn chain(row: &Row<'_>, at: usize) -> Outcome<Vec<KeyId>> {
    let ids = text(row, at)?.split(' ').filter(|id| !id.is_empty());
    ids.map(|id| id.parse().map_err(|error| corrupt(row, at, error)))
        .collect()
}

/// The chain as it is kept: nearest first, separated by single spaces.
pub(super) fn chain_text(chain: &[KeyId]) -> String {
    chain
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The three columns from this one on: when, who, why.
fn act(row: &Row<'_>, at: usize) -> Outcome<Option<(Timestamp, Actor, Option<String>)>> {
    let Some(instant) = maybe_time(row, at)? else {
        return Ok(None);
    };
    let reason = row.get_ref(at + 2)?.as_str_or_null();
    let reason = reason.map_err(|error| corrupt(row, at + 2, error))?;
    let by = parsed::<Actor>(row, at + 1)?;
    Ok(Some((instant, by, reason.map(str::to_owned))))
}

/// What an index drops a key by: `id, prefix, digest`.
pub(super) fn revoked_key<K: Kind>(row: &Row<'_>) -> Outcome<RevokedKey<Id<K>>> {
    Ok(RevokedKey {
        id: parsed(row, 0)?,
        prefix: parsed(row, 1)?,
        digest: digest(row, 2)?,
    })
}

/// A workspace.
pub(super) fn workspace(row: &Row<'_>) -> Outcome<Workspace> {
    Ok(Workspace {
        id: parsed(row, 0)?,
        org: parsed(row, 1)?,
        name: text(row, 2)?.to_owned(),
        labels: pairs(row, 3)?,
        created_by: parsed(row, 4)?,
        created_at: time(row, 5)?,
        updated_at: time(row, 6)?,
    })
}

/// A workspace token.
pub(super) fn workspace_token(row: &Row<'_>) -> Outcome<WorkspaceTokenRow> {
    Ok(WorkspaceTokenRow {
        id: parsed(row, 0)?,
        org: parsed(row, 1)?,
        workspace: parsed(row, 2)?,
        name: text(row, 3)?.to_owned(),
        prefix: parsed(row, 4)?,
        minter: minter(row, 5)?,
        created_at: time(row, 8)?,
        last_used_at: maybe_time(row, 9)?,
        revoked_at: maybe_time(row, 10)?,
    })
}

/// A channel.
pub(super) fn channel(row: &Row<'_>) -> Outcome<Channel> {
    let names = serde_json::from_str(text(row, 5)?).map_err(|error| corrupt(row, 5, error))?;
    Ok(Channel {
        id: parsed(row, 0)?,
        workspace: parsed(row, 1)?,
        name: text(row, 2)?.to_owned(),
        kind: parsed(row, 3)?,
        plain: pairs(row, 4)?,
        credential_names: names,
        sealed: blob(row, 6)?,
        is_enabled: number(row, 7)? != 0,
        created_by: parsed(row, 8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
    })
}

/// A secret without its value.
pub(super) fn secret_name(row: &Row<'_>) -> Outcome<SecretName> {
    Ok(SecretName {
        name: text(row, 0)?.to_owned(),
        version: count(row, 1)?,
        created_by: parsed(row, 2)?,
        created_at: time(row, 3)?,
        updated_at: time(row, 4)?,
    })
}

/// A secret with its sealed value: `name, version, sealed`.
pub(super) fn secret(row: &Row<'_>) -> Outcome<SecretRow> {
    Ok(SecretRow {
        name: text(row, 0)?.to_owned(),
        version: count(row, 1)?,
        sealed: blob(row, 2)?,
    })
}
