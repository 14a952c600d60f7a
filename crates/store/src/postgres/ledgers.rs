//! The frontiers of the trails, and how records are appended to them.
//!
//! The row of a trail has its size and its peaks. A statement that appends says what they are, and
//! writes nothing if they are not: so a commit takes one round trip where nobody else has appended,
//! and a trail has neither a gap nor a record twice where somebody has.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use claviger_core::{
    id::OrgId,
    ledger::{
        batch::{Batch, Run},
        entry::Entry,
        tree::Frontier,
    },
};
use tokio::sync::OwnedMutexGuard;
use tokio_postgres::{Row, types::ToSql};

use super::{
    fault::{Fault, Outcome},
    row::{Columns, corrupt},
    session::{Change, Sessions},
};

/// Appends runs of any number of orgs: one statement. Either every trail is as it was known to be
/// and this process still serves, or nothing is written. A trail that changes while the statement
/// waits for it leaves fewer rows updated than asked for: then no run has an org, and it fails.
pub(super) const APPEND: &str = "
    with head as (
        update ledgers set size = asked.new_size, peaks = asked.new_peaks
        from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[])
            as asked (org, size, peaks, new_size, new_peaks)
        where ledgers.org = asked.org
            and ledgers.size = asked.size and ledgers.peaks = asked.peaks
            and (select generation from deployment where one = 1) = $6
            and (select count(*) from unnest($1::text[], $2::bigint[], $3::bytea[])
                    as told (org, size, peaks)
                join ledgers as known on known.org = told.org
                    and known.size = told.size and known.peaks = told.peaks) = cardinality($1)
        returning 1
    )
    insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
    select case when (select count(*) from head) = cardinality($1) then t.org end,
        t.first, t.last, t.at_min, t.at_max, t.lines
    from unnest($7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[])
        as t (org, first, last, at_min, at_max, lines)
    where exists (select from head)";

/// The trails as they are.
const READ: &str = "select org, size, peaks from ledgers where org = any($1)";
/// The same, and they stay so until the end of the transaction.
const LOCK: &str = "select org, size, peaks from ledgers where org = any($1)
    order by org for no key update";

/// What this process knows of a trail: nothing while somebody appends, and after a failure.
type Head = Arc<tokio::sync::Mutex<Option<Frontier>>>;

/// The frontiers of the trails, as the last commits of this process left them.
#[derive(Default)]
pub(super) struct Heads(Mutex<HashMap<OrgId, Head>>);

impl Heads {
    fn of(&self, org: OrgId) -> Head {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(heads.entry(org).or_default())
    }

    /// Waits until nobody else of this process appends to these trails. In the order of the orgs:
    /// no two wait for each other.
    async fn take(&self, orgs: BTreeSet<OrgId>) -> Turn {
        let mut places = BTreeMap::new();
        for org in orgs {
            let mut head = self.of(org).lock_owned().await;
            let known = head.take();
            places.insert(org, Place { head, known });
        }
        Turn(places)
    }
}

struct Place {
    head: OwnedMutexGuard<Option<Frontier>>,
    known: Option<Frontier>,
}

/// Trails to which nobody else of this process appends.
struct Turn(BTreeMap<OrgId, Place>);

impl Turn {
    fn orgs(&self) -> Vec<String> {
        self.0.keys().map(ToString::to_string).collect()
    }

    fn is_known(&self) -> bool {
        self.0.values().all(|place| place.known.is_some())
    }

    /// Takes what [`READ`] or [`LOCK`] found.
    fn learn(&mut self, rows: &[Row]) -> Outcome<()> {
        for row in rows {
            let columns = Columns::of("ledgers", row);
            let peaks: &[u8] = columns.get("peaks")?;
            let frontier = Frontier::from_bytes(columns.count("size")?, peaks);
            let frontier = frontier.map_err(|error| corrupt("a row of `ledgers`", error))?;
            if let Some(place) = self.0.get_mut(&columns.parse("org")?) {
                place.known = Some(frontier);
            }
        }
        Ok(())
    }

    /// What a statement has to say to append these runs.
    fn ask<'a>(&self, runs: &'a [Run], generation: i64) -> Outcome<Asked<'a>> {
        let mut after = BTreeMap::new();
        for (org, place) in &self.0 {
            let known = place.known.clone();
            let known =
                known.ok_or_else(|| Fault::down("an org of the records has no audit trail"))?;
            after.insert(*org, known);
        }
        let before: Vec<&Frontier> = self.0.values().flat_map(|place| &place.known).collect();
        let mut asked = Asked {
            orgs: self.orgs(),
            sizes: before
                .iter()
                .map(|known| known.size().cast_signed())
                .collect(),
            peaks: before.iter().map(|known| known.to_bytes()).collect(),
            generation,
            ..Asked::default()
        };
        for run in runs {
            asked.add(run, &mut after);
        }
        let new = || after.values();
        asked.new_sizes = new().map(|new| new.size().cast_signed()).collect();
        asked.new_peaks = new().map(Frontier::to_bytes).collect();
        asked.after = after;
        Ok(asked)
    }
}

/// What was appended, and is not committed yet.
pub(super) struct Appended {
    turn: Turn,
    after: BTreeMap<OrgId, Frontier>,
}

impl Appended {
    /// It is committed.
    pub(super) fn publish(self) {
        let Self { turn, mut after } = self;
        for (org, mut place) in turn.0 {
            *place.head = after.remove(&org);
        }
    }
}

/// The parameters of [`APPEND`]: trails as they are and as they will be, and runs, as columns.
#[derive(Default)]
struct Asked<'a> {
    orgs: Vec<String>,
    sizes: Vec<i64>,
    peaks: Vec<Vec<u8>>,
    new_sizes: Vec<i64>,
    new_peaks: Vec<Vec<u8>>,
    generation: i64,
    runs: Vec<String>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    at_mins: Vec<i64>,
    at_maxes: Vec<i64>,
    lines: Vec<&'a [u8]>,
    after: BTreeMap<OrgId, Frontier>,
}

impl<'a> Asked<'a> {
    fn add(&mut self, run: &'a Run, trails: &mut BTreeMap<OrgId, Frontier>) {
        let Some(trail) = trails.get_mut(&run.org) else {
            return;
        };
        self.firsts.push(trail.size().cast_signed() + 1);
        run.leaves.iter().for_each(|leaf| trail.append(*leaf));
        self.lasts.push(trail.size().cast_signed());
        self.runs.push(run.org.to_string());
        self.at_mins.push(run.at_min.millis());
        self.at_maxes.push(run.at_max.millis());
        self.lines.push(&run.lines);
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 12] {
        [
            &self.orgs,
            &self.sizes,
            &self.peaks,
            &self.new_sizes,
            &self.new_peaks,
            &self.generation,
            &self.runs,
            &self.firsts,
            &self.lasts,
            &self.at_mins,
            &self.at_maxes,
            &self.lines,
        ]
    }

    /// Whether a statement that gave this count has written everything. If not, it wrote nothing.
    fn is_written(&self, count: u64) -> bool {
        usize::try_from(count) == Ok(self.runs.len())
    }
}

fn orgs(batch: &Batch) -> BTreeSet<OrgId> {
    batch.runs().iter().map(|run| run.org).collect()
}

/// What only somebody who disregards locks can bring about.
fn overrun() -> Fault {
    corrupt("the table `ledgers`", "a trail changed in spite of a lock").into()
}

/// What was known of the tree of a trail counts no more.
pub(super) async fn forget(change: &Change, org: OrgId) {
    drop(change.heads.take(BTreeSet::from([org])).await);
}

/// Writes the records of a change into its transaction. Do it last: it makes the org's trail wait.
pub(super) async fn insert(change: &mut Change, entries: Vec<Entry>) -> Outcome<()> {
    let batch = Batch::from_iter(entries);
    if batch.is_empty() {
        return Ok(());
    }
    let mut turn = change.heads.take(orgs(&batch)).await;
    if turn.is_known() {
        let asked = turn.ask(batch.runs(), change.generation)?;
        if asked.is_written(change.execute(APPEND, &asked.params()).await?) {
            let after = asked.after;
            change.appended = Some(Appended { turn, after });
            return Ok(());
        }
    }
    turn.learn(&change.rows(LOCK, &[&turn.orgs()]).await?)?;
    let asked = turn.ask(batch.runs(), change.generation)?;
    if !asked.is_written(change.execute(APPEND, &asked.params()).await?) {
        return Err(overrun());
    }
    let after = asked.after;
    change.appended = Some(Appended { turn, after });
    Ok(())
}

/// Commits records on the connection that appends.
pub(super) async fn append(sessions: &Sessions, batch: &Batch) -> Outcome<()> {
    let mut slot = sessions.appender().await;
    let appender = match slot.take() {
        Some(kept) if kept.is_alive() => kept,
        Some(_) | None => sessions.connect_appender().await?,
    };
    let mut turn = sessions.heads().take(orgs(batch)).await;
    if !turn.is_known() {
        turn.learn(&appender.rows(READ, &[&turn.orgs()]).await?)?;
    }
    let generation = sessions.fence().generation();
    let asked = turn.ask(batch.runs(), generation)?;
    if asked.is_written(appender.append(&asked.params()).await?) {
        let after = asked.after;
        Appended { turn, after }.publish();
        *slot = Some(appender);
        return Ok(());
    }
    // Nothing was written: another process has appended, or serves now. Whoever holds the fence may
    // wait for these trails, so they are let go before it is asked for.
    drop(turn);
    appender
        .batch("begin isolation level read committed read write")
        .await?;
    let fence = "select generation from deployment where one = 1 for share";
    let found = appender.rows(fence, &[]).await?;
    let found = found.first().map(|row| row.try_get(0)).transpose()?;
    sessions.fence().check(found)?;
    let mut turn = sessions.heads().take(orgs(batch)).await;
    turn.learn(&appender.rows(LOCK, &[&turn.orgs()]).await?)?;
    let asked = turn.ask(batch.runs(), generation)?;
    if !asked.is_written(appender.append(&asked.params()).await?) {
        return Err(overrun());
    }
    appender.batch("commit").await?;
    let after = asked.after;
    Appended { turn, after }.publish();
    *slot = Some(appender);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use claviger_core::{
        id::OrgId,
        ledger::{
            batch::Run,
            tree::{Frontier, leaf_hash},
        },
        time::Timestamp,
    };

    use super::Heads;

    #[tokio::test]
    async fn records_are_numbered_within_their_org_and_nobody_knows_until_the_commit() {
        let run = |org, count: usize| Run {
            org: OrgId::from_u128(org),
            at_min: Timestamp::from_millis(1),
            at_max: Timestamp::from_millis(2),
            lines: Vec::new(),
            leaves: vec![leaf_hash(b"record"); count],
        };
        let runs = [run(7, 10), run(3, 1), run(7, 5)];
        let heads = Heads::default();
        let orgs: BTreeSet<_> = [7, 3].map(OrgId::from_u128).into();
        let mut turn = heads.take(orgs.clone()).await;
        assert!(!turn.is_known() && turn.ask(&runs, 1).is_err());
        for place in turn.0.values_mut() {
            place.known = Some(Frontier::default());
        }
        let asked = turn.ask(&runs, 1).expect("known");
        assert_eq!(asked.firsts, [1, 1, 11]);
        assert_eq!(asked.lasts, [10, 1, 15]);
        assert_eq!((asked.sizes, asked.new_sizes), (vec![0, 0], vec![1, 15]));
        let after = asked.after;
        drop(turn);
        let turn = heads.take(orgs.clone()).await;
        assert!(!turn.is_known(), "what was not committed is not known");
        super::Appended { turn, after }.publish();
        let turn = heads.take(orgs).await;
        let sizes: Vec<_> = turn.0.values().flat_map(|place| &place.known).collect();
        assert_eq!(sizes.iter().map(|known| known.size()).sum::<u64>(), 16);
    }
}
