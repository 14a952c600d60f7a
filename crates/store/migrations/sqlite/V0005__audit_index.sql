-- Where in a trail the records are that filters ask for. Written behind, block by block, from what
-- `audit_runs` holds: it repeats nothing of it, and can be made anew at any time by emptying both tables.

-- How many blocks of each trail are indexed: the first ones. What comes after them is looked through.
create table audit_index_heads (
    org text primary key references ledgers (org),
    blocks integer not null constraint blocks_are_positive check (blocks > 0)
) strict, without rowid;

-- A row for each bucket of each block that holds anything. In this order rows are added at the end, and a
-- block costs the same however long the trail is.
create table audit_index (
    org text not null references ledgers (org),
    block integer not null,
    bucket integer not null,
    -- The values, hashed, and where in the block they are.
    places blob not null,
    primary key (org, block, bucket)
) strict;
