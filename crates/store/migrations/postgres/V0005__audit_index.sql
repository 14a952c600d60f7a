-- Where in a trail the records are that filters ask for. Written behind, block by block, from what
-- `audit_runs` holds: it repeats nothing of it, and can be made anew at any time by emptying the three tables.

-- How many blocks of each trail are indexed: the first ones. What comes after them is looked through.
create table audit_index_heads (
    org text collate "C" primary key references ledgers (org),
    blocks bigint not null constraint blocks_are_positive check (blocks > 0)
);

-- A row for each bucket of each block that holds anything. In this order rows are added at the end, and a
-- block costs the same however long the trail is. The last bucket says where the records stand in their runs.
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

-- What the rows of 64 blocks have, once more: which of these blocks have it. What is seldom is found without a
-- look at each block.
create table audit_chapters (
    org text collate "C" not null references ledgers (org),
    chapter bigint not null,
    bucket bigint not null,
    -- The values, hashed, and a bit for each block.
    blocks bytea not null,
    primary key (org, chapter, bucket)
);
alter table audit_chapters alter column blocks set storage external;

-- Names are looked through when a text is looked for.
create index keys_by_name on keys (org, name, id);
create index workspaces_by_name on workspaces (org, name, id);
