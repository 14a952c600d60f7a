//! Rows to values, by hand: what cannot have been written by us is corrupt.

use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

use claviger_core::{
    grant::Grant,
    id::KeyId,
    key::{OrgKey, OwnSecret, Revocation, Suspension, Use, WorkspaceTokenRow},
    tier::Minter,
    time::Timestamp,
};
use tokio_postgres::{Row, types::FromSql};

use crate::{
    Channel, LoadedWorkspaceToken, Org, Result, RevokedKey, SecretName, SecretRow, StoreError,
    Workspace, scan::Bounds,
};

/// What is read is not what was written.
pub(super) fn corrupt(what: impl Into<String>, reason: impl Display) -> StoreError {
    StoreError::Corrupt {
        what: what.into(),
        reason: reason.to_string(),
    }
}

/// A row, and the table that it is from.
pub(super) struct Columns<'a> {
    table: &'static str,
    row: &'a Row,
}

impl<'a> Columns<'a> {
    /// The columns of a row of this table.
    pub(super) const fn of(table: &'static str, row: &'a Row) -> Self {
        Self { table, row }
    }

    /// A column as the database has it.
    pub(super) fn get<T: FromSql<'a>>(&self, name: &str) -> Result<T> {
        self.row
            .try_get(name)
            .map_err(|error| self.bad(name, error))
    }

    /// A text that is written in a form of its own.
    pub(super) fn parse<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T> {
        self.get::<&str>(name)?
            .parse()
            .map_err(|error| self.bad(name, error))
    }

    /// A time.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp> {
        self.instant(name, self.get(name)?)
    }

    /// A time, if there is one.
    pub(super) fn maybe_time(&self, name: &str) -> Result<Option<Timestamp>> {
        let millis: Option<i64> = self.get(name)?;
        millis.map(|millis| self.instant(name, millis)).transpose()
    }

    /// A SHA-256.
    pub(super) fn digest(&self, name: &str) -> Result<[u8; 32]> {
        self.get::<&[u8]>(name)?
            .try_into()
            .map_err(|error| self.bad(name, error))
    }

    /// A number that is not negative.
    pub(super) fn count(&self, name: &str) -> Result<u64> {
        u64::try_from(self.get::<i64>(name)?).map_err(|error| self.bad(name, error))
    }

    /// Pairs of texts, as a JSON object.
    /// When and from where, in two columns.
    pub(super) fn last_use(&self, at: &str, from: &str) -> Result<Option<Use>> {
        let Some(at) = self.maybe_time(at)? else {
            return Ok(None);
        };
        let address = self.get::<Option<&str>>(from)?.map(str::parse).transpose();
        Ok(Some(Use {
            at,
            from: address.map_err(|error| self.bad(from, error))?,
        }))
    }

    /// Milliseconds.
    pub(super) fn span(&self, name: &str) -> Result<Option<Duration>> {
        let Some(millis) = self.get::<Option<i64>>(name)? else {
            return Ok(None);
        };
        let millis = u64::try_from(millis).map_err(|error| self.bad(name, error))?;
        Ok(Some(Duration::from_millis(millis)))
    }

    pub(super) fn pairs(&self, name: &str) -> Result<BTreeMap<String, String>> {
        serde_json::from_str(self.get(name)?).map_err(|error| self.bad(name, error))
    }

    /// Texts, as a JSON array.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        serde_json::from_str(self.get(name)?).map_err(|error| self.bad(name, error))
    }

    fn instant(&self, name: &str, millis: i64) -> Result<Timestamp> {
        instant(millis).ok_or_else(|| self.bad(name, format_args!("{millis} is no time")))
    }

    fn bad(&self, name: &str, reason: impl Display) -> StoreError {
        corrupt(format!("`{}.{name}`", self.table), reason)
    }
}

/// The time of so many milliseconds, if it is one that we write.
pub(super) fn instant(millis: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis)).filter(|at| at.millis() == millis)
}

/// A row of `orgs`.
pub(super) fn org(row: &Row) -> Result<Org> {
    let columns = Columns::of("orgs", row);
    Ok(Org {
        id: columns.parse("id")?,
        name: columns.get("name")?,
        created_at: columns.time("created_at")?,
    })
}

/// A row of `keys`.
pub(super) fn key(row: &Row) -> Result<OrgKey> {
    let columns = Columns::of("keys", row);
    let grant = Grant::from_json(columns.get("grant_json")?);
    let revocation = match columns.maybe_time("revoked_at")? {
        None => None,
        Some(at) => Some(Revocation {
            at,
            by: columns.parse("revoked_by")?,
            reason: columns.get("revoked_reason")?,
        }),
    };
    let suspension = match columns.maybe_time("suspended_at")? {
        None => None,
        Some(at) => Some(Suspension {
            at,
            by: columns.parse("suspended_by")?,
            reason: columns.get("suspended_reason")?,
        }),
    };
    Ok(OrgKey {
        id: columns.parse("id")?,
        org: columns.parse("org")?,
        name: columns.get("name")?,
        prefix: columns.parse("prefix")?,
        minter: minter(&columns)?,
        created_at: columns.time("created_at")?,
        expires_at: columns.maybe_time("expires_at")?,
        grant: grant.map_err(|error| columns.bad("grant_json", error))?,
        metadata: columns.pairs("metadata")?,
        suspension,
        resumed_at: columns.maybe_time("resumed_at")?,
        revocation,
        last_use: columns.last_use("last_used_at", "last_used_from")?,
        secret: OwnSecret {
            since: columns.time("secret_since")?,
            last_use: columns.last_use("secret_used_at", "secret_used_from")?,
        },
        rotate_every: columns.span("rotate_every")?,
    })
}

/// Who made what a row holds, and the keys above it.
pub(super) fn minter(columns: &Columns<'_>) -> Result<Minter> {
    let chain: &str = columns.get("chain")?;
    let chain = chain.split(' ').filter(|id| !id.is_empty());
    let chain = chain.map(str::parse).collect::<std::result::Result<_, _>>();
    Ok(Minter {
        created_by: columns.parse("created_by")?,
        root: columns.parse("root")?,
        chain: chain.map_err(|error| columns.bad("chain", error))?,
    })
}

/// The chain as it is kept: nearest first, separated by single spaces.
pub(super) fn chain_text(chain: &[KeyId]) -> String {
    let ids: Vec<_> = chain.iter().map(ToString::to_string).collect();
    ids.join(" ")
}

/// Id, prefix and digest of a row of `keys` or `workspace_tokens`.
pub(super) fn revoked<I: FromStr<Err: Display>>(
    table: &'static str,
    row: &Row,
) -> Result<RevokedKey<I>> {
    let columns = Columns::of(table, row);
    Ok(RevokedKey {
        id: columns.parse("id")?,
        prefix: columns.parse("prefix")?,
        digest: columns.digest("digest")?,
    })
}

/// The digests of rows of this table.
pub(super) fn digests(table: &'static str, rows: &[Row]) -> Result<Vec<[u8; 32]>> {
    rows.iter()
        .map(|row| Columns::of(table, row).digest("digest"))
        .collect()
}

/// A row of `workspaces`.
pub(super) fn workspace(row: &Row) -> Result<Workspace> {
    let columns = Columns::of("workspaces", row);
    Ok(Workspace {
        id: columns.parse("id")?,
        org: columns.parse("org")?,
        name: columns.get("name")?,
        labels: columns.pairs("labels")?,
        created_by: columns.parse("created_by")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
    })
}

/// A row of `workspace_tokens`.
pub(super) fn workspace_token(row: &Row) -> Result<WorkspaceTokenRow> {
    let columns = Columns::of("workspace_tokens", row);
    Ok(WorkspaceTokenRow {
        id: columns.parse("id")?,
        org: columns.parse("org")?,
        workspace: columns.parse("workspace")?,
        name: columns.get("name")?,
        prefix: columns.parse("prefix")?,
        minter: minter(&columns)?,
        created_at: columns.time("created_at")?,
        last_used_at: columns.maybe_time("last_used_at")?,
        revoked_at: columns.maybe_time("revoked_at")?,
    })
}

/// A row of `workspace_tokens` with its digest.
pub(super) fn loaded_workspace_token(row: &Row) -> Result<LoadedWorkspaceToken> {
    Ok(LoadedWorkspaceToken {
        token: workspace_token(row)?,
        digest: Columns::of("workspace_tokens", row).digest("digest")?,
    })
}

/// A row of `channels`.
pub(super) fn channel(row: &Row) -> Result<Channel> {
    let columns = Columns::of("channels", row);
    Ok(Channel {
        id: columns.parse("id")?,
        workspace: columns.parse("workspace")?,
        name: columns.get("name")?,
        kind: columns.parse("kind")?,
        plain: columns.pairs("plain")?,
        credential_names: columns.texts("credential_names")?,
        sealed: columns.get("sealed")?,
        is_enabled: columns.get("is_enabled")?,
        created_by: columns.parse("created_by")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
    })
}

/// A row of `secrets` without its value.
pub(super) fn secret_name(row: &Row) -> Result<SecretName> {
    let columns = Columns::of("secrets", row);
    Ok(SecretName {
        name: columns.get("name")?,
        version: columns.count("version")?,
        created_by: columns.parse("created_by")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
    })
}

/// A row of `secrets` with its value.
pub(super) fn secret(row: &Row) -> Result<SecretRow> {
    let columns = Columns::of("secrets", row);
    Ok(SecretRow {
        name: columns.get("name")?,
        version: columns.count("version")?,
        sealed: columns.get("sealed")?,
    })
}

/// A row of `audit_runs`, without its lines.
pub(super) fn bounds(row: &Row) -> Result<Bounds> {
    let columns = Columns::of("audit_runs", row);
    Ok(Bounds {
        first_seq: columns.count("first_seq")?,
        last_seq: columns.count("last_seq")?,
        at_min: columns.time("at_min")?,
        at_max: columns.time("at_max")?,
    })
}

/// Every row of a list.
pub(super) fn all<T>(rows: &[Row], convert: impl Fn(&Row) -> Result<T>) -> Result<Vec<T>> {
    rows.iter().map(convert).collect()
}
