-- Where in a trail the records are that filters ask for. Written behind, block by block, from what
-- `audit_runs` holds: it repeats nothing of it, and can be made anew at any time by emptying both tables.

-- How many blocks of each trail are indexed: the first ones. What comes after them is looked through.
create table audit_index_heads (
    org text collate "C" primary key references ledgers (org),
    blocks bigint not null constraint blocks_are_positive check (blocks > 0)
);

-- A row for each bucket of each block that holds anything. In this order rows are added at the end, and a
-- block costs the same however long the trail is.
create table audit_index (
    org text collate "C" not null references ledgers (org),
    block bigint not null,
    bucket bigint not null,
    -- The values, hashed, and where in the block they are.
    places bytea not null,
    primary key (org, block, bucket)
);
-- Hashes do not compress.
alter table audit_index alter column places set storage external;
