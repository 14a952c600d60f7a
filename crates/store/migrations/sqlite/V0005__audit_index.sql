-- Where in a trail the records are that filters ask for. Written behind, block by block, from what
-- `audit_runs` holds: it repeats nothing of it, and can be made anew at any time by emptying the three tables.

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

-- What the rows of 64 blocks have, once more: which of these blocks have it. What is seldom is found without a
-- look at each block.
create table audit_chapters (
    org text not null references ledgers (org),
    chapter integer not null,
    bucket integer not null,
    -- The values, hashed, and a bit for each block.
    blocks blob not null,
    primary key (org, chapter, bucket)
) strict;

-- Names are looked through when a text is looked for.
create index keys_by_name on keys (org, name, id);
create index workspaces_by_name on workspaces (org, name, id);
