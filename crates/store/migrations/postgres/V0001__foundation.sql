-- The foundation: deployment, orgs, keys, workspaces, channels, secrets, audit.
-- Times are milliseconds since 1970 in UTC. Ids are texts such as `tok_01J…`.
-- What is ordered or compared by keyset has the collation "C": bytewise, as on SQLite.

create table deployment (
    one bigint primary key constraint deployment_is_one_row check (one = 1),
    default_org text collate "C" not null,
    -- Set by the first mint and never unset: the bootstrap is open only while it is null.
    bootstrap_closed_at bigint,
    master_key_check bytea constraint master_key_check_is_a_digest check (length(master_key_check) = 32),
    -- Counts the processes that have served this database.
    generation bigint not null default 0
);

create table orgs (
    id text collate "C" primary key,
    name text collate "C" not null,
    created_at bigint not null,
    deleted_at bigint
);
create unique index orgs_living_name on orgs (name) where deleted_at is null;

create table keys (
    id text collate "C" primary key,
    org text collate "C" not null references orgs (id),
    name text collate "C" not null constraint key_name_is_short check (length(name) between 1 and 100),
    prefix text collate "C" not null unique,
    digest bytea not null unique constraint digest_is_sha256 check (length(digest) = 32),
    created_by text collate "C" not null,
    root text collate "C" not null,
    parent text collate "C" references keys (id),
    -- The ids above this key, nearest first, separated by single spaces.
    chain text collate "C" not null,
    created_at bigint not null,
    expires_at bigint,
    -- Copied from the grant, so that a list can be filtered by status.
    not_before bigint,
    grant_json text not null,
    metadata text not null,
    suspended_at bigint,
    suspended_by text collate "C",
    suspended_reason text,
    resumed_at bigint,
    revoked_at bigint,
    revoked_by text collate "C",
    revoked_reason text,
    -- Of any of its secrets; the next three are of the one that is its own.
    last_used_at bigint,
    last_used_from text collate "C",
    secret_since bigint not null,
    secret_used_at bigint,
    secret_used_from text collate "C",
    -- Milliseconds from one secret to the next, and when the next one is due.
    rotate_every bigint constraint rotate_every_is_positive check (rotate_every > 0),
    rotation_due_at bigint,
    constraint rotation_is_whole check ((rotate_every is null) = (rotation_due_at is null)),
    constraint suspension_is_whole check ((suspended_at is null) = (suspended_by is null)),
    constraint revocation_is_whole check ((revoked_at is null) = (revoked_by is null))
)
-- Room in each page, so that a key that is used can be touched without touching its five indexes.
with (fillfactor = 85);
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
    prefix text collate "C" primary key,
    key_id text collate "C" not null references keys (id),
    digest bytea not null unique constraint digest_is_sha256 check (length(digest) = 32),
    since bigint not null,
    replaced_at bigint not null,
    -- Refused from then on, whatever happens before.
    ends_at bigint not null,
    -- What may end it earlier, and after how many milliseconds.
    overlap text collate "C" not null constraint overlap_is_known
        check (overlap in ('fixed', 'on_first_use', 'when_quiet')),
    overlap_span bigint not null,
    used_at bigint,
    used_from text collate "C"
);
create index old_secrets_of_key on old_secrets (key_id, replaced_at);

create table policies (
    org text collate "C" primary key references orgs (id),
    policy text not null
);

-- What was said of a key by the clock: each thing once.
create table key_notices (
    key_id text collate "C" not null references keys (id),
    kind text collate "C" not null,
    days bigint not null,
    -- The instant that it was about: another one is another notice.
    of bigint not null,
    at bigint not null,
    primary key (key_id, kind, days, of)
);

create index key_notices_by_age on key_notices (of);

create table mint_replays (
    org text collate "C" not null,
    actor text collate "C" not null,
    idempotency_key text collate "C" not null,
    request bytea not null,
    key_id text collate "C" not null references keys (id),
    created_at bigint not null,
    primary key (org, actor, idempotency_key)
);
create index mint_replays_by_age on mint_replays (created_at);

create table workspaces (
    id text collate "C" primary key,
    org text collate "C" not null references orgs (id),
    name text collate "C" not null,
    labels text not null,
    created_by text collate "C" not null,
    created_at bigint not null,
    updated_at bigint not null
);
create index workspaces_of_org on workspaces (org, id);

create table workspace_tokens (
    id text collate "C" primary key,
    org text collate "C" not null references orgs (id),
    -- No reference: a token outlives its workspace as a revoked row.
    workspace text collate "C" not null,
    name text collate "C" not null,
    prefix text collate "C" not null unique,
    digest bytea not null unique constraint digest_is_sha256 check (length(digest) = 32),
    created_by text collate "C" not null,
    root text collate "C" not null,
    -- The ids of the keys above it, as in `keys`.
    chain text not null,
    created_at bigint not null,
    last_used_at bigint,
    revoked_at bigint
);
create index workspace_tokens_of_workspace on workspace_tokens (workspace, id);

create table channels (
    id text collate "C" primary key,
    workspace text collate "C" not null references workspaces (id) on delete cascade,
    name text collate "C" not null,
    kind text collate "C" not null,
    plain text not null,
    credential_names text not null,
    sealed bytea not null,
    is_enabled boolean not null,
    created_by text collate "C" not null,
    created_at bigint not null,
    updated_at bigint not null
);
create index channels_of_workspace on channels (workspace, id);

create table secrets (
    workspace text collate "C" not null references workspaces (id) on delete cascade,
    name text collate "C" not null,
    version bigint not null constraint version_is_positive check (version > 0),
    sealed bytea not null,
    created_by text collate "C" not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (workspace, name)
);

-- How many records each org's trail has: the next record takes the next number.
create table ledgers (
    org text collate "C" primary key references orgs (id),
    size bigint not null constraint size_is_not_negative check (size >= 0)
);

-- Append only: runs of consecutive records, one row or a few for each org in each commit. `lines` holds the
-- records byte for byte, each with a line break after it; the times are the bounds of what they say.
create table audit_runs (
    org text collate "C" not null references ledgers (org),
    first_seq bigint not null constraint first_seq_is_positive check (first_seq > 0),
    last_seq bigint not null constraint run_is_not_empty check (last_seq >= first_seq),
    at_min bigint not null,
    at_max bigint not null,
    lines bytea not null,
    primary key (org, first_seq)
);
-- Compressing would cost each commit more than the bytes are worth.
alter table audit_runs alter column lines set storage external;
