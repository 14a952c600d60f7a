-- A Merkle tree (RFC 6962) over each trail: a leaf for each record, in the order of their numbers.

-- The roots of the complete subtrees that the records fall into, the largest first: all it takes to append, and to
-- know the root. Null: the trail was written before there were trees, and gets them when the store is opened.
alter table ledgers add column peaks bytea
    constraint peaks_are_hashes check (octet_length(peaks) % 32 = 0);
update ledgers set peaks = '' where size = 0;

-- How many tiles of level 0 each trail has: the first ones. They are made behind the trail.
create table audit_tile_heads (
    org text collate "C" primary key references ledgers (org),
    tiles bigint not null constraint tiles_are_positive check (tiles > 0)
);

-- The hashes of the trees, 256 in a tile, as C2SP tlog-tiles divides them. A tile of level 0 is full and never
-- changes; one of a higher level gets a hash for each tile below it that is full. They outlive the records.
create table audit_tiles (
    org text collate "C" not null references ledgers (org),
    level bigint not null constraint level_is_not_negative check (level >= 0),
    number bigint not null constraint number_is_not_negative check (number >= 0),
    hashes bytea not null
        constraint tile_is_of_hashes
            check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0),
    primary key (org, level, number)
);
-- Hashes do not compress.
alter table audit_tiles alter column hashes set storage external;

-- What was said of each tree, and signed. The last one has the most records.
create table audit_checkpoints (
    org text collate "C" not null references ledgers (org),
    size bigint not null constraint size_is_not_negative check (size >= 0),
    root bytea not null constraint root_is_a_hash check (octet_length(root) = 32),
    note text not null,
    at bigint not null,
    primary key (org, size)
);

-- How far each place outside the database knows a trail: a file, a webhook, a witness. Given up: the operator went
-- on without the records that the place has, and it has yet to take the new history.
create table audit_anchors (
    org text collate "C" not null references ledgers (org),
    place text collate "C" not null,
    size bigint not null constraint size_is_not_negative check (size >= 0),
    at bigint not null,
    is_given_up boolean not null,
    primary key (org, place)
);
