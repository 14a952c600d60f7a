//! The connection that appends records: there is one, and one statement for a whole batch.

use tokio_postgres::{Row, Statement};

use super::{
    fault::Outcome,
    ledgers::APPEND,
    session::{Link, Params},
};

/// The connection, with its statement ready. Whoever uses it takes it out of its place, and puts it
/// back when all has gone well: when it is dropped halfway, the connection and what was done on it
/// go with it.
pub(super) struct Appender {
    link: Link,
    statement: Statement,
}

impl Appender {
    /// Sets a new connection up.
    pub(super) async fn new(link: Link, is_audit_synced: bool) -> Outcome<Self> {
        // What is committed survives the death of this process also when the server does not wait
        // for the disk; only a crash of the server can lose it. Planning anew would cost more than
        // a small batch.
        let settings = if is_audit_synced {
            "set plan_cache_mode = force_generic_plan"
        } else {
            "set plan_cache_mode = force_generic_plan; set synchronous_commit = off"
        };
        link.client().batch_execute(settings).await?;
        let statement = link.client().prepare(APPEND).await?;
        Ok(Self { link, statement })
    }

    /// Whether it can still be used.
    pub(super) fn is_alive(&self) -> bool {
        !self.link.client().is_closed()
    }

    /// Executes the statement.
    pub(super) async fn append(&self, params: Params<'_>) -> Outcome<u64> {
        Ok(self.link.client().execute(&self.statement, params).await?)
    }

    /// The rows that another statement gives.
    pub(super) async fn rows(&self, sql: &str, params: Params<'_>) -> Outcome<Vec<Row>> {
        Ok(self.link.client().query(sql, params).await?)
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Outcome<()> {
        Ok(self.link.client().batch_execute(sql).await?)
    }
}
