//! The trees of the trails: frontiers and tiles.

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::tree::{Frontier, tile::Tile},
};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite, ledgers,
    row::{self, IdText, bytes, count, parsed},
    runs,
    writer::{Order, Tx},
};
use crate::{
    Result, StoreError, TreeStore,
    tiles::{self, Leaves, TILE_HASHES, TILES_AT_ONCE, Tail, TileRow},
};

#[async_trait]
impl TreeStore for Sqlite {
    async fn frontier(&self, org: OrgId) -> Result<Frontier> {
        let work = move |sql: &Connection| ledgers::read_frontier(sql, org);
        self.read("read the size of a tree", work).await
    }

    async fn tiles(&self, org: OrgId, wanted: Vec<Tile>) -> Result<Vec<Vec<u8>>> {
        let work = move |sql: &Connection| read(sql, org, &wanted);
        self.read("read tiles of a tree", work).await
    }

    async fn derive_tiles(&self) -> Result<bool> {
        let most = self.stuck.look_at();
        let behind = self.read("read whose tiles are behind", move |sql| behind(sql, most));
        let mut behind = behind.await?.into_iter();
        let Some((org, made, size)) = behind.find(|(org, ..)| self.stuck.is_free(*org)) else {
            return Ok(false);
        };
        // Read beside the thread that writes: it only gets what is to be kept.
        let work = move |sql: &Connection| build(sql, org, made, size);
        let built = self.read("read what tiles are made of", work).await;
        let built = self.stuck.note(org, built)?;
        let work = move |tx: &mut Tx<'_>| keep(tx.sql, &built);
        self.writer
            .change(Order::quick("keep tiles of a tree"), work)
            .await?;
        Ok(true)
    }
}

/// Makes the trees of the trails that were written before there were trees. What was done stays
/// done: a start that is cut short goes on where it was.
pub(super) fn complete(sql: &Connection) -> Outcome<()> {
    let query = "select org, size from ledgers where peaks is null order by org";
    let old = row::all(sql, query, [], |row| {
        Ok((parsed::<OrgId>(row, 0)?, count(row, 1)?))
    })?;
    for (org, size) in old {
        let mut progress = tiles::Progress::of(org, size);
        let mut made = tiles_made(sql, org)?;
        while size / TILE_HASHES > made {
            let built = build(sql, org, made, size)?;
            let transaction = sql.unchecked_transaction()?;
            keep(sql, &built)?;
            transaction.commit()?;
            made = built.end;
            progress.tell(made * TILE_HASHES);
        }
        let edge = read(sql, org, &tiles::edge(size))?;
        let peaks = tiles::frontier(size, &edge).map(|frontier| frontier.to_bytes());
        let peaks = peaks.map_err(|error| StoreError::Corrupt {
            what: format!("the tree of `{org}`"),
            reason: error.to_string(),
        })?;
        let update = "update ledgers set peaks = ?2 where org = ?1";
        row::run(sql, update, params![IdText::of(org), peaks])?;
    }
    Ok(())
}

/// Tiles that are ready to be kept: their org, how many of level 0 there were and will be.
struct Built {
    org: OrgId,
    made: u64,
    end: u64,
    rows: Vec<TileRow>,
}

/// The trails whose tiles are furthest behind: how many of level 0 are made, and their sizes.
fn behind(sql: &Connection, most: i64) -> Outcome<Vec<(OrgId, u64, u64)>> {
    let query = "select ledgers.org, coalesce(head.tiles, 0) as made, ledgers.size from ledgers
         left join audit_tile_heads as head on head.org = ledgers.org
         where ledgers.size >= (coalesce(head.tiles, 0) + 1) * ?1
         order by ledgers.size - coalesce(head.tiles, 0) * ?1 desc limit ?2";
    row::all(
        sql,
        query,
        params![TILE_HASHES.cast_signed(), most],
        |row| Ok((parsed(row, 0)?, count(row, 1)?, count(row, 2)?)),
    )
}

/// The next tiles of a trail of this size.
fn build(sql: &Connection, org: OrgId, made: u64, size: u64) -> Outcome<Built> {
    let end = (size / TILE_HASHES).min(made + TILES_AT_ONCE);
    let rows = tail(sql, org, made, end * TILE_HASHES)?.rows();
    Ok(Built {
        org,
        made,
        end,
        rows,
    })
}

fn keep(sql: &Connection, built: &Built) -> Outcome<()> {
    let org = IdText::of(built.org);
    let (made, end) = (built.made.cast_signed(), built.end.cast_signed());
    let head = "insert into audit_tile_heads (org, tiles) values (?1, ?3)
         on conflict (org) do update set tiles = ?3 where tiles = ?2";
    if row::run(sql, head, params![org, made, end])? == 0 {
        return Ok(());
    }
    // A tile of level 0 is made once: it is an error if it is there.
    let insert = "insert into audit_tiles (org, level, number, hashes) values (?1, ?2, ?3, ?4)
         on conflict (org, level, number) do update set hashes = excluded.hashes
         where level > 0 and length(hashes) < length(excluded.hashes)";
    for tile in &built.rows {
        let number = tile.number.cast_signed();
        let kept = row::run(sql, insert, params![org, tile.level, number, tile.hashes])?;
        if kept != 1 {
            return Err(tiles::made_twice(built.org).into());
        }
    }
    Ok(())
}

/// How many tiles of level 0 are made.
fn tiles_made(sql: &Connection, org: OrgId) -> Outcome<u64> {
    let query = "select tiles from audit_tile_heads where org = ?1";
    let found = row::first(sql, query, params![IdText::of(org)], |row| count(row, 0))?;
    Ok(found.unwrap_or(0))
}

/// The records up to this number are in tiles of level 0.
pub(super) fn records_in_tiles(sql: &Connection, org: OrgId) -> Outcome<u64> {
    Ok(tiles_made(sql, org)? * TILE_HASHES)
}

/// The hashes of these tiles, in their order.
fn read(sql: &Connection, org: OrgId, wanted: &[Tile]) -> Outcome<Vec<Vec<u8>>> {
    let query = "select size from ledgers where org = ?1";
    let size = row::first(sql, query, params![IdText::of(org)], |row| count(row, 0))?;
    let made = tiles_made(sql, org)?;
    tiles::check_wanted(wanted, size.unwrap_or(0), made)?;
    let end = tiles::tail_end(wanted, made);
    let tail = tail(sql, org, made, end)?;
    let hashes = |tile: &Tile| {
        if tiles::is_made(*tile, made) {
            return kept(sql, org, *tile);
        }
        let found = tail.tile(*tile).map(<[u8]>::to_vec);
        Ok(found.ok_or_else(|| tiles::missing(org, *tile))?)
    };
    wanted.iter().map(hashes).collect()
}

/// What comes after the tiles that are made, up to this record; nothing if it is in a tile.
fn tail(sql: &Connection, org: OrgId, made: u64, end: u64) -> Outcome<Tail> {
    let before = made * TILE_HASHES;
    if end <= before {
        return Ok(Tail::new(made, Vec::new(), Vec::new()));
    }
    let mut leaves = Leaves::between(before + 1, end);
    runs::each_run(sql, org, (before + 1, end), |first_seq, lines| {
        leaves.add_run(first_seq, lines);
    })?;
    let begun = tiles::growing(made).into_iter();
    let begun = begun.map(|tile| Ok((tile, kept(sql, org, tile)?)));
    Ok(Tail::new(
        made,
        begun.collect::<Outcome<_>>()?,
        leaves.all(org)?,
    ))
}

/// The hashes of a tile that is made.
fn kept(sql: &Connection, org: OrgId, tile: Tile) -> Outcome<Vec<u8>> {
    let query = "select hashes from audit_tiles where org = ?1 and level = ?2 and number = ?3";
    let bound = params![IdText::of(org), tile.level(), tile.number().cast_signed()];
    let hashes = row::first(sql, query, bound, |row| {
        Ok(tiles::of_kept(bytes(row, 0)?, tile))
    })?;
    Ok(hashes.flatten().ok_or_else(|| tiles::missing(org, tile))?)
}
