//! The trees of the trails: frontiers and tiles.

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::tree::{Frontier, tile::Tile},
};

use super::{
    Postgres,
    fault::Outcome,
    row::{Columns, corrupt},
    runs,
    session::{Params, Session},
};
use crate::{
    Result, StoreError, TreeStore,
    tiles::{self, Leaves, TILE_HASHES, TILES_AT_ONCE, Tail, TileRow},
};

#[async_trait]
impl TreeStore for Postgres {
    async fn frontier(&self, org: OrgId) -> Result<Frontier> {
        self.read("read the size of a tree", async {
            let session = self.sessions.session().await?;
            let sql = "select size, peaks from ledgers where org = $1 and peaks is not null";
            let found = session.row(sql, &[&org.to_string()]).await?;
            let row = found.ok_or(StoreError::NotFound("org"))?;
            let columns = Columns::of("ledgers", &row);
            let frontier = Frontier::from_bytes(columns.count("size")?, columns.get("peaks")?);
            Ok(frontier.map_err(|error| corrupt("a row of `ledgers`", error))?)
        })
        .await
    }

    async fn tiles(&self, org: OrgId, wanted: Vec<Tile>) -> Result<Vec<Vec<u8>>> {
        let work = async {
            let session = self.sessions.session().await?;
            read(&session, org, &wanted).await
        };
        self.read("read tiles of a tree", work).await
    }

    async fn derive_tiles(&self) -> Result<bool> {
        let behind = self.read("read whose tiles are behind", self.behind());
        let mut behind = behind.await?.into_iter();
        let Some((org, made, size)) = behind.find(|(org, ..)| self.stuck.is_free(*org)) else {
            return Ok(false);
        };
        let work = async {
            let session = self.sessions.session().await?;
            build(&session, org, made, size).await
        };
        let built = self.read("read what tiles are made of", work).await;
        let built = self.stuck.note(org, built)?;
        self.write("keep tiles of a tree", self.keep_tiles(&built))
            .await?;
        Ok(true)
    }
}

impl Postgres {
    /// Makes the trees of the trails that were written before there were trees. What was done stays
    /// done: a start that is cut short goes on where it was.
    pub(super) async fn complete(&self) -> Result<()> {
        let old = self.read("read the trails without trees", async {
            let session = self.sessions.session().await?;
            let sql = "select org, size from ledgers where peaks is null order by org";
            let rows = session.rows(sql, &[]).await?;
            let trail = |row| {
                let columns = Columns::of("ledgers", row);
                Ok((columns.parse("org")?, columns.count("size")?))
            };
            rows.iter()
                .map(trail)
                .collect::<Outcome<Vec<(OrgId, u64)>>>()
        });
        for (org, size) in old.await? {
            let mut progress = tiles::Progress::of(org, size);
            let doing = "make the tree of a trail";
            while let Some(made) = self.write(doing, self.make_more(org, size)).await? {
                progress.tell(made * TILE_HASHES);
            }
            self.write(doing, self.keep_peaks(org, size)).await?;
        }
        Ok(())
    }

    /// Makes some tiles of a trail; gives how many there are then, or nothing if there were all.
    async fn make_more(&self, org: OrgId, size: u64) -> Outcome<Option<u64>> {
        let session = self.sessions.session().await?;
        let made = tiles_made(&session, org).await?;
        if size / TILE_HASHES <= made {
            return Ok(None);
        }
        let built = build(&session, org, made, size).await?;
        drop(session);
        self.keep_tiles(&built).await?;
        Ok(Some(built.end))
    }

    /// Keeps the frontier of a trail whose tiles are made.
    async fn keep_peaks(&self, org: OrgId, size: u64) -> Outcome<()> {
        let change = self.sessions.begin().await?;
        let edge = read(&change, org, &tiles::edge(size)).await?;
        let peaks = tiles::frontier(size, &edge).map(|frontier| frontier.to_bytes());
        let peaks = peaks.map_err(|error| corrupt("the tree of a trail", error))?;
        let sql = "update ledgers set peaks = $2 where org = $1";
        change.execute(sql, &[&org.to_string(), &peaks]).await?;
        change.commit().await
    }

    /// The trails whose tiles are furthest behind: how many of level 0 are made, and their sizes.
    async fn behind(&self) -> Outcome<Vec<(OrgId, u64, u64)>> {
        let session = self.sessions.session().await?;
        let sql = "select ledgers.org, coalesce(head.tiles, 0) as made, ledgers.size from ledgers
             left join audit_tile_heads as head on head.org = ledgers.org
             where ledgers.size >= (coalesce(head.tiles, 0) + 1) * $1
             order by ledgers.size - coalesce(head.tiles, 0) * $1 desc limit $2";
        let params: Params<'_> = &[&TILE_HASHES.cast_signed(), &self.stuck.look_at()];
        let rows = session.rows(sql, params).await?;
        let trail = |row| {
            let columns = Columns::of("ledgers", row);
            let made = columns.count("made")?;
            Ok((columns.parse("org")?, made, columns.count("size")?))
        };
        rows.iter().map(trail).collect()
    }

    async fn keep_tiles(&self, built: &Built) -> Outcome<()> {
        let change = self.sessions.begin().await?;
        change.batch("set local synchronous_commit = off").await?;
        let org = built.org.to_string();
        let (made, end) = (built.made.cast_signed(), built.end.cast_signed());
        let head = "insert into audit_tile_heads (org, tiles) values ($1, $3::bigint)
             on conflict (org) do update set tiles = $3::bigint
             where audit_tile_heads.tiles = $2::bigint";
        if change.execute(head, &[&org, &made, &end]).await? == 0 {
            return Ok(());
        }
        // A tile of level 0 is made once: it is an error if it is there.
        let insert = "insert into audit_tiles (org, level, number, hashes)
             select $1, t.level, t.number, t.hashes
             from unnest($2::bigint[], $3::bigint[], $4::bytea[]) as t (level, number, hashes)
             on conflict (org, level, number) do update set hashes = excluded.hashes
             where audit_tiles.level > 0
                 and octet_length(audit_tiles.hashes) < octet_length(excluded.hashes)";
        let rows = || built.rows.iter();
        let levels: Vec<i64> = rows().map(|tile| i64::from(tile.level)).collect();
        let numbers: Vec<i64> = rows().map(|tile| tile.number.cast_signed()).collect();
        let hashes: Vec<&[u8]> = rows().map(|tile| tile.hashes.as_slice()).collect();
        let kept = change
            .execute(insert, &[&org, &levels, &numbers, &hashes])
            .await?;
        if usize::try_from(kept) != Ok(built.rows.len()) {
            return Err(tiles::made_twice(built.org).into());
        }
        change.commit().await
    }
}

/// Tiles that are ready to be kept: their org, how many of level 0 there were and will be.
struct Built {
    org: OrgId,
    made: u64,
    end: u64,
    rows: Vec<TileRow>,
}

/// The next tiles of a trail of this size.
async fn build(session: &Session, org: OrgId, made: u64, size: u64) -> Outcome<Built> {
    let end = (size / TILE_HASHES).min(made + TILES_AT_ONCE);
    let tail = tail(session, org, made, end * TILE_HASHES).await?;
    Ok(Built {
        org,
        made,
        end,
        rows: tail.rows(),
    })
}

/// How many tiles of level 0 are made.
async fn tiles_made(session: &Session, org: OrgId) -> Outcome<u64> {
    let sql = "select tiles from audit_tile_heads where org = $1";
    match session.row(sql, &[&org.to_string()]).await? {
        Some(row) => Ok(Columns::of("audit_tile_heads", &row).count("tiles")?),
        None => Ok(0),
    }
}

/// The records up to this number are in tiles of level 0.
pub(super) async fn records_in_tiles(session: &Session, org: OrgId) -> Outcome<u64> {
    Ok(tiles_made(session, org).await? * TILE_HASHES)
}

/// The hashes of these tiles, in their order.
async fn read(session: &Session, org: OrgId, wanted: &[Tile]) -> Outcome<Vec<Vec<u8>>> {
    let sql = "select ledgers.size, coalesce(head.tiles, 0) as made from ledgers
         left join audit_tile_heads as head on head.org = ledgers.org
         where ledgers.org = $1";
    let (size, made) = match session.row(sql, &[&org.to_string()]).await? {
        Some(row) => {
            let columns = Columns::of("ledgers", &row);
            (columns.count("size")?, columns.count("made")?)
        }
        None => (0, 0),
    };
    tiles::check_wanted(wanted, size, made)?;
    let end = tiles::tail_end(wanted, made);
    let tail = tail(session, org, made, end).await?;
    let is_made = |tile: &&Tile| tiles::is_made(**tile, made);
    let asked: Vec<Tile> = wanted.iter().filter(is_made).copied().collect();
    let mut found = kept(session, org, &asked).await?.into_iter();
    let hashes = |tile: &Tile| {
        let hashes = if tiles::is_made(*tile, made) {
            found.next()
        } else {
            tail.tile(*tile).map(<[u8]>::to_vec)
        };
        Ok(hashes.ok_or_else(|| tiles::missing(org, *tile))?)
    };
    wanted.iter().map(hashes).collect()
}

/// What comes after the tiles that are made, up to this record; nothing if it is in a tile.
async fn tail(session: &Session, org: OrgId, made: u64, end: u64) -> Outcome<Tail> {
    let before = made * TILE_HASHES;
    if end <= before {
        return Ok(Tail::new(made, Vec::new(), Vec::new()));
    }
    let mut leaves = Leaves::between(before + 1, end);
    let add = |first_seq, lines: &[u8]| leaves.add_run(first_seq, lines);
    runs::each_run(session, org, (before + 1, end), add).await?;
    let begun = tiles::growing(made);
    let hashes = kept(session, org, &begun).await?;
    let begun = begun.into_iter().zip(hashes).collect();
    Ok(Tail::new(made, begun, leaves.all(org)?))
}

/// The hashes of tiles that are made, in their order: one round trip for all.
async fn kept(session: &Session, org: OrgId, tiles: &[Tile]) -> Outcome<Vec<Vec<u8>>> {
    if tiles.is_empty() {
        return Ok(Vec::new());
    }
    // The limit keeps it a look-up for each tile, whatever is thought of the size of the table.
    let sql = "select found.hashes
         from unnest($2::bigint[], $3::bigint[]) with ordinality as asked (level, number, place)
         left join lateral (
             select hashes from audit_tiles
             where org = $1 and level = asked.level and number = asked.number limit 1) as found
             on true
         order by asked.place";
    let levels: Vec<i64> = tiles.iter().map(|tile| i64::from(tile.level())).collect();
    let numbers: Vec<i64> = tiles
        .iter()
        .map(|tile| tile.number().cast_signed())
        .collect();
    let params: Params<'_> = &[&org.to_string(), &levels, &numbers];
    let rows = session.rows(sql, params).await?;
    let hashes = |(tile, row): (&Tile, _)| {
        let bytes: Option<&[u8]> = Columns::of("audit_tiles", row).get("hashes")?;
        let hashes = bytes.and_then(|bytes| tiles::of_kept(bytes, *tile));
        Ok(hashes.ok_or_else(|| tiles::missing(org, *tile))?)
    };
    tiles.iter().zip(&rows).map(hashes).collect()
}
