-- The foundation: deployment, orgs, keys, workspaces, channels, secrets, audit.
-- Times are milliseconds since 1970 in UTC. Ids are texts such as `tok_01J…`.

create table deployment (
    one integer primary key constraint deployment_is_one_row check (one = 1),
    default_org text not null,
    -- Set by the first mint and never unset: the bootstrap is open only while it is null.
    bootstrap_closed_at integer,
    master_key_check blob constraint master_key_check_is_a_digest check (length(master_key_check) = 32),
    -- Counts the processes that have served this database.
    generation integer not null default 0
) strict;

create table orgs (
    id text primary key,
    name text not null,
    created_at integer not null,
    deleted_at integer
) strict;
create unique index orgs_living_name on orgs (name) where deleted_at is null;

create table keys (
    id text primary key,
    org text not null references orgs (id),
    name text not null constraint key_name_is_short check (length(name) between 1 and 100),
    prefix text not null unique,
    digest blob not null unique constraint digest_is_sha256 check (length(digest) = 32),
    created_by text not null,
    root text not null,
    parent text references keys (id),
    -- The ids above this key, nearest first, separated by single spaces.
    chain text not null,
    created_at integer not null,
    expires_at integer,
    -- Copied from the grant, so that a list can be filtered by status.
    not_before integer,
    grant_json text not null,
    metadata text not null,
    suspended_at integer,
    suspended_by text,
    suspended_reason text,
    resumed_at integer,
    revoked_at integer,
    revoked_by text,
    revoked_reason text,
    -- Of any of its secrets; the next three are of the one that is its own.
    last_used_at integer,
    last_used_from text,
    secret_since integer not null,
    secret_used_at integer,
    secret_used_from text,
    -- Milliseconds from one secret to the next, and when the next one is due.
    rotate_every integer constraint rotate_every_is_positive check (rotate_every > 0),
    rotation_due_at integer,
    constraint rotation_is_whole check ((rotate_every is null) = (rotation_due_at is null)),
    constraint suspension_is_whole check ((suspended_at is null) = (suspended_by is null)),
    constraint revocation_is_whole check ((revoked_at is null) = (revoked_by is null))
) strict;
create index keys_of_org on keys (org, id);
create index keys_of_parent on keys (parent) where parent is not null;
-- To count and walk those that live, past any number of dead ones.
create index keys_living on keys (org, expires_at) where revoked_at is null;
create index keys_living_below on keys (parent, expires_at) where parent is not null and revoked_at is null;
create index keys_that_end on keys (expires_at) where expires_at is not null and revoked_at is null;
create index keys_that_rotate on keys (rotation_due_at) where rotation_due_at is not null and revoked_at is null;

-- Secrets that were replaced. They stay, so that what they did can be told; only the last one of a key
-- may still be accepted.
create table old_secrets (
    prefix text primary key,
    key_id text not null references keys (id),
    digest blob not null unique constraint digest_is_sha256 check (length(digest) = 32),
    since integer not null,
    replaced_at integer not null,
    -- Refused from then on, whatever happens before.
    ends_at integer not null,
    -- What may end it earlier, and after how many milliseconds.
    overlap text not null constraint overlap_is_known
        check (overlap in ('fixed', 'on_first_use', 'when_quiet')),
    overlap_span integer not null,
    used_at integer,
    used_from text
) strict;
create index old_secrets_of_key on old_secrets (key_id, replaced_at);

create table policies (
    org text primary key references orgs (id),
    policy text not null
) strict, without rowid;

-- What was said of a key by the clock: each thing once.
create table key_notices (
    key_id text not null references keys (id),
    kind text not null,
    days integer not null,
    -- The instant that it was about: another one is another notice.
    of integer not null,
    at integer not null,
    primary key (key_id, kind, days, of)
) strict, without rowid;

create index key_notices_by_age on key_notices (of);

create table mint_replays (
    org text not null,
    actor text not null,
    idempotency_key text not null,
    request blob not null,
    key_id text not null references keys (id),
    created_at integer not null,
    primary key (org, actor, idempotency_key)
) strict, without rowid;
create index mint_replays_by_age on mint_replays (created_at);

create table workspaces (
    id text primary key,
    org text not null references orgs (id),
    name text not null,
    labels text not null,
    created_by text not null,
    created_at integer not null,
    updated_at integer not null
) strict;
create index workspaces_of_org on workspaces (org, id);

create table workspace_tokens (
    id text primary key,
    org text not null references orgs (id),
    -- No reference: a token outlives its workspace as a revoked row.
    workspace text not null,
    name text not null,
    prefix text not null unique,
    digest blob not null unique constraint digest_is_sha256 check (length(digest) = 32),
    created_by text not null,
    root text not null,
    -- The ids of the keys above it, as in `keys`.
    chain text not null,
    created_at integer not null,
    last_used_at integer,
    revoked_at integer
) strict;
create index workspace_tokens_of_workspace on workspace_tokens (workspace, id);

create table channels (
    id text primary key,
    workspace text not null references workspaces (id) on delete cascade,
    name text not null,
    kind text not null,
    plain text not null,
    credential_names text not null,
    sealed blob not null,
    is_enabled integer not null constraint is_enabled_is_boolean check (is_enabled in (0, 1)),
    created_by text not null,
    created_at integer not null,
    updated_at integer not null
) strict;
create index channels_of_workspace on channels (workspace, id);

create table secrets (
    workspace text not null references workspaces (id) on delete cascade,
    name text not null,
    version integer not null constraint version_is_positive check (version > 0),
    sealed blob not null,
    created_by text not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (workspace, name)
) strict, without rowid;

-- How many records each org's trail has: the next record takes the next number.
create table ledgers (
    org text primary key references orgs (id),
    size integer not null constraint size_is_not_negative check (size >= 0)
) strict, without rowid;

-- Append only: runs of consecutive records, one row or a few for each org in each commit. `lines` holds the
-- records byte for byte, each with a line break after it; the times are the bounds of what they say.
create table audit_runs (
    org text not null references ledgers (org),
    first_seq integer not null constraint first_seq_is_positive check (first_seq > 0),
    last_seq integer not null constraint run_is_not_empty check (last_seq >= first_seq),
    at_min integer not null,
    at_max integer not null,
    lines blob not null,
    primary key (org, first_seq)
) strict;
