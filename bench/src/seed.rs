//! Databases with many keys: made by the real schema, filled by bulk statements.

use claviger_core::{
    grant::Grant,
    id::KeyId,
    time::Timestamp,
    token::{Brand, Secret},
};
use claviger_server::{
    Running,
    config::{Config, Flags},
};
use tokio_postgres::NoTls;

use crate::Failure;

/// The secret of the key with this number.
pub(crate) fn secret(number: u64) -> Secret {
    let mut entropy = [0_u8; 32];
    // Spread over the whole range, as random secrets are.
    for (at, chunk) in entropy.chunks_exact_mut(8).enumerate() {
        let word = (number + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(u32::try_from(at).unwrap_or(0) * 13)
            ^ 0x5851_f42d_4c95_7f2d;
        chunk.copy_from_slice(&word.wrapping_mul(0xd134_2543_de82_ef95).to_be_bytes());
    }
    Secret::from_entropy(&Brand::ORG_KEY, &entropy)
}

/// The id of the key with this number.
pub(crate) fn id(number: u64) -> KeyId {
    KeyId::from_parts(
        Timestamp::from_millis(1_760_000_000_000),
        u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 16 | u128::from(number & 0xffff),
    )
}

/// The flags of a server on this database.
pub(crate) fn flags(data_dir: &std::path::Path, url: &str, audit: &str) -> Flags {
    Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(data_dir.display().to_string()),
        database_url: Some(url.to_owned()),
        bootstrap: Some("off".to_owned()),
        audit: Some(audit.to_owned()),
        ..Flags::default()
    }
}

/// Makes the schema, and fills it with so many keys.
pub(crate) async fn fill(data_dir: &std::path::Path, url: &str, count: u64) -> Result<(), Failure> {
    let running = Running::start(Config::load(&flags(data_dir, url, "durable"))?).await?;
    running.stop().await;
    match url.strip_prefix("sqlite:") {
        Some(path) => fill_sqlite(path, count, &|_| Grant::admin().to_json()),
        None => fill_postgres(url, count).await,
    }
}

/// The same on SQLite, with a grant of its own for each key.
pub(crate) async fn fill_with_grants(
    data_dir: &std::path::Path,
    path: &str,
    count: u64,
    grant_of: &dyn Fn(u64) -> String,
) -> Result<(), Failure> {
    let url = format!("sqlite:{path}");
    let running = Running::start(Config::load(&flags(data_dir, &url, "durable"))?).await?;
    running.stop().await;
    fill_sqlite(path, count, grant_of)
}

/// Puts a workspace into a database on SQLite.
pub(crate) fn put_workspace(path: &str, id: &str) -> Result<(), Failure> {
    let database = rusqlite::Connection::open(path)?;
    database.execute(
        "insert into workspaces (id, org, name, labels, created_by, created_at, updated_at)
         select ?1, default_org, 'w', '{}', 'admin-token', 1, 1 from deployment",
        [id],
    )?;
    Ok(())
}

const COLUMNS: &str = "id, org, name, prefix, digest, created_by, root, chain, created_at, grant_json, metadata, secret_since";

fn fill_sqlite(path: &str, count: u64, grant_of: &dyn Fn(u64) -> String) -> Result<(), Failure> {
    let mut database = rusqlite::Connection::open(path)?;
    database.execute_batch("pragma synchronous = off; pragma cache_size = -400000;")?;
    let org: String =
        database.query_row("select default_org from deployment", [], |row| row.get(0))?;
    let transaction = database.transaction()?;
    {
        let sql = format!(
            "insert into keys ({COLUMNS}) values (?1, ?2, ?3, ?4, ?5, 'admin-token', 'admin-token', '', 1760000000000, ?6, '{{}}', 1760000000000)"
        );
        let mut insert = transaction.prepare(&sql)?;
        for number in 0..count {
            let secret = secret(number);
            insert.execute(rusqlite::params![
                id(number).to_string(),
                org,
                format!("key-{number:07}"),
                secret.prefix().as_str(),
                secret.digest().as_bytes(),
                grant_of(number)
            ])?;
        }
        transaction.execute("update deployment set bootstrap_closed_at = 1", [])?;
    }
    transaction.commit()?;
    database.execute_batch("pragma wal_checkpoint(truncate);")?;
    Ok(())
}

async fn fill_postgres(url: &str, count: u64) -> Result<(), Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let org: String = client
        .query_one("select default_org from deployment", &[])
        .await?
        .try_get(0)?;
    let grant = Grant::admin().to_json();
    let sql = format!(
        "insert into keys ({COLUMNS}) select u.id, $1, u.name, u.prefix, u.digest, 'admin-token', 'admin-token', '', 1760000000000, $2, '{{}}', 1760000000000 \
         from unnest($3::text[], $4::text[], $5::text[], $6::bytea[]) as u(id, name, prefix, digest)"
    );
    let insert = client.prepare(&sql).await?;
    let mut from = 0;
    while from < count {
        let numbers = from..count.min(from + 10_000);
        from = numbers.end;
        let secrets: Vec<_> = numbers.clone().map(secret).collect();
        let ids: Vec<_> = numbers
            .clone()
            .map(|number| id(number).to_string())
            .collect();
        let names: Vec<_> = numbers.map(|number| format!("key-{number:07}")).collect();
        let prefixes: Vec<_> = secrets
            .iter()
            .map(|secret| secret.prefix().to_string())
            .collect();
        let digests: Vec<_> = secrets
            .iter()
            .map(|secret| secret.digest().as_bytes().to_vec())
            .collect();
        client
            .execute(&insert, &[&org, &grant, &ids, &names, &prefixes, &digests])
            .await?;
    }
    client
        .batch_execute("update deployment set bootstrap_closed_at = 1")
        .await?;
    // A database at rest: otherwise the first to read it does the server's housekeeping.
    client.batch_execute("vacuum analyze keys").await?;
    client.batch_execute("checkpoint").await?;
    drop(client);
    driver.await??;
    Ok(())
}
