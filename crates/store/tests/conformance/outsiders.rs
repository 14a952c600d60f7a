//! Another process appends to the same trails: what a store knew of them is out of date. On
//! PostgreSQL alone, for nobody else writes to the file of SQLite.

use std::sync::Arc;

use claviger_core::{
    id::OrgId,
    ledger::{entry::Entry, tree::Frontier},
};
use claviger_store::StoreError;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::{
    bed::Bed,
    support::{batch, default_org, entry, insert_workspace, other_org},
    tree::expect_tree,
    witness::trail,
};

/// A process that appends as a store does, and takes its time.
struct Outsider {
    client: Client,
    driver: JoinHandle<()>,
}

impl Outsider {
    async fn at(url: &str) -> Self {
        let connected = tokio_postgres::connect(url, NoTls).await;
        let (client, connection) = connected.expect("a connection");
        let driver = tokio::spawn(async move { connection.await.expect("an orderly end") });
        Self { client, driver }
    }

    async fn append(&mut self, entry: &Entry) {
        let org = entry.org().to_string();
        let transaction = self.client.transaction().await.expect("begun");
        let sql = "select size, peaks from ledgers where org = $1 for update";
        let row = transaction.query_one(sql, &[&org]).await.expect("a trail");
        let size: i64 = row.get(0);
        let frontier = Frontier::from_bytes(size.cast_unsigned(), row.get(1));
        let mut frontier = frontier.expect("a frontier");
        frontier.append(entry.leaf());
        let (size, at) = (size + 1, entry.at().millis());
        let lines = [entry.bytes(), b"\n"].concat();
        let sql = "insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
             values ($1, $2, $2, $3, $3, $4)";
        transaction
            .execute(sql, &[&org, &size, &at, &lines])
            .await
            .expect("inserted");
        let sql = "update ledgers set size = $2, peaks = $3 where org = $1";
        transaction
            .execute(sql, &[&org, &size, &frontier.to_bytes()])
            .await
            .expect("updated");
        transaction.commit().await.expect("committed");
    }

    async fn leave(self) {
        drop(self.client);
        self.driver.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_append_in_turns_is_neither_lost_nor_written_over() {
    let bed = Bed::postgres();
    let db = bed.open().await;
    let (one, other) = (default_org(&db).await, other_org(&db).await);
    let mut outsider = Outsider::at(&bed.url()).await;
    let mut expected = vec![];
    let mut all = |org: OrgId, entries: &[Entry]| {
        let own = entries.iter().filter(|entry| entry.org() == org);
        expected.extend(own.map(|entry| entry.bytes().to_vec()));
    };
    for _ in 0..5 {
        // Of one trail what is known is right, of the other it is not.
        let entries = [one, one, other, one].map(entry);
        db.append(batch(entries[..1].to_vec()))
            .await
            .expect("written");
        outsider.append(&entries[1]).await;
        db.append(batch(entries[2..].to_vec()))
            .await
            .expect("written");
        all(one, &entries);
        let strange = entry(one);
        outsider.append(&strange).await;
        all(one, &[strange]);
    }
    assert_eq!(trail(&db, one).await, expected);
    for _ in 0..3 {
        outsider.append(&entry(one)).await;
        // A change finds out in its own transaction.
        insert_workspace(&db, one).await;
    }
    assert_eq!(expect_tree(&db, one).await.len(), expected.len() + 6);
    expect_tree(&db, other).await;
    outsider.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trails_that_several_processes_append_to_at_once_are_gapless() {
    const ROUNDS: usize = 40;
    let bed = Bed::postgres();
    let db = bed.open().await;
    let orgs = [default_org(&db).await, other_org(&db).await];
    let mut outsider = Outsider::at(&bed.url()).await;
    let strangers = tokio::spawn(async move {
        for at in 0..2 * ROUNDS {
            outsider.append(&entry(orgs[at % 2])).await;
        }
        outsider
    });
    let changer = {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            for at in 0..ROUNDS {
                let new = crate::support::workspace(orgs[at % 2], "at once");
                let record = crate::witness::unseen(new.org);
                let made = db.insert_workspace(new, crate::support::NOBODY, record);
                made.await.expect("it is made");
            }
        })
    };
    let (mut kept, mut refused) = (vec![], vec![]);
    for at in 0..ROUNDS {
        let single = [entry(orgs[at % 2])];
        db.append(batch(single.clone())).await.expect("written");
        kept.push(single.to_vec());
        let both = [orgs[0], orgs[1], orgs[0]].map(entry).to_vec();
        match db.append(batch(both.clone())).await {
            Ok(()) => kept.push(both),
            // One of the trails changed while the statement waited for it.
            Err(StoreError::Unavailable { .. }) => refused.push(both),
            Err(error) => panic!("{error:?}"),
        }
    }
    changer.await.expect("no panic");
    strangers.await.expect("no panic").leave().await;
    let own = |org: OrgId, batches: &[Vec<Entry>]| -> Vec<Vec<u8>> {
        let entries = batches.iter().flatten().filter(|entry| entry.org() == org);
        entries.map(|entry| entry.bytes().to_vec()).collect()
    };
    for org in orgs {
        expect_tree(&db, org).await;
        let records = trail(&db, org).await;
        let (kept, refused) = (own(org, &kept), own(org, &refused));
        // In order, each once, and nothing of what was refused.
        let found: Vec<_> = records
            .iter()
            .filter(|record| kept.contains(record))
            .collect();
        assert_eq!(found, kept.iter().collect::<Vec<_>>());
        assert!(!records.iter().any(|record| refused.contains(record)));
        let others = ROUNDS + ROUNDS / 2;
        let first = usize::from(org == orgs[1]);
        assert_eq!(records.len(), kept.len() + others + first);
    }
}
