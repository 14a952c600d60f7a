-- A Merkle tree (RFC 6962) over each trail: a leaf for each record, in the order of their numbers.

-- The roots of the complete subtrees that the records fall into, the largest first: all it takes to append, and to
-- know the root. Null: the trail was written before there were trees, and gets them when the store is opened.
alter table ledgers add column peaks blob
    constraint peaks_are_hashes check (length(peaks) % 32 = 0);
update ledgers set peaks = x'' where size = 0;

-- How many tiles of level 0 each trail has: the first ones. They are made behind the trail.
create table audit_tile_heads (
    org text primary key references ledgers (org),
    tiles integer not null constraint tiles_are_positive check (tiles > 0)
) strict, without rowid;

-- The hashes of the trees, 256 in a tile, as C2SP tlog-tiles divides them. A tile of level 0 is full and never
-- changes; one of a higher level gets a hash for each tile below it that is full. They outlive the records.
create table audit_tiles (
    org text not null references ledgers (org),
    level integer not null constraint level_is_not_negative check (level >= 0),
    number integer not null constraint number_is_not_negative check (number >= 0),
    hashes blob not null
        constraint tile_is_of_hashes check (length(hashes) between 32 and 8192 and length(hashes) % 32 = 0),
    primary key (org, level, number)
) strict;

-- What was said of each tree, and signed. The last one has the most records.
create table audit_checkpoints (
    org text not null references ledgers (org),
    size integer not null constraint size_is_not_negative check (size >= 0),
    root blob not null constraint root_is_a_hash check (length(root) = 32),
    note text not null,
    at integer not null,
    primary key (org, size)
) strict, without rowid;

-- How far each place outside the database knows a trail: a file, a webhook, a witness. Given up: the operator went
-- on without the records that the place has, and it has yet to take the new history.
create table audit_anchors (
    org text not null references ledgers (org),
    place text not null,
    size integer not null constraint size_is_not_negative check (size >= 0),
    at integer not null,
    is_given_up integer not null constraint given_up_is_a_truth check (is_given_up in (0, 1)),
    primary key (org, place)
) strict, without rowid;
