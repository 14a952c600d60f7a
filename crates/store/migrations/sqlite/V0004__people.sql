-- People, their sessions in a browser, and sign-ins that are under way.

create table people (
    org text not null references orgs (id),
    id text not null constraint person_id_is_short check (length(id) between 1 and 255),
    -- Who vouches for the id: another issuer's person of the same id is somebody else.
    issuer text not null,
    email text,
    name text,
    role text not null,
    -- What the role came to at the last sign-in, as in a grant.
    permissions text not null,
    -- Of what instant the role is, by the provider's clock: an older word does not change it.
    told_at integer not null,
    first_seen_at integer not null,
    last_seen_at integer not null,
    state text not null constraint person_state_is_known
        check (state in ('active', 'suspended', 'removed')),
    decided_at integer,
    decided_by text,
    decision_reason text,
    primary key (org, id),
    constraint decision_is_whole check ((decided_at is null) = (decided_by is null))
);

create table sessions (
    id text primary key,
    digest blob not null unique constraint digest_is_sha256 check (length(digest) = 32),
    org text not null,
    person text not null,
    method text not null constraint method_is_known
        check (method in ('link', 'admin_token', 'oidc', 'workos')),
    created_at integer not null,
    seen_at integer not null,
    ends_at integer not null,
    client text,
    user_agent text,
    -- Of a session that began with the link of a key: as in `keys`.
    created_by text,
    root text,
    chain text,
    admin_token blob,
    provider_session text,
    impersonator text,
    fresh_until integer,
    -- Until when one node asks the provider, and no other.
    asked_until integer,
    -- What the provider gave for asking again.
    sealed blob,
    foreign key (org, person) references people (org, id),
    constraint minter_is_whole check ((created_by is null) = (root is null) and (root is null) = (chain is null))
);
create index sessions_of_person on sessions (org, person);
create index sessions_by_end on sessions (ends_at);
create index sessions_of_provider on sessions (provider_session) where provider_session is not null;

-- A link that was not used, or a way to the provider that was begun: each ends one sign-in, once.
create table sign_ins (
    digest blob primary key constraint digest_is_sha256 check (length(digest) = 32),
    org text references orgs (id),
    payload text not null,
    expires_at integer not null,
    -- Of a link: who made it, a key by its id, and the topmost key above, or the same again.
    maker text,
    line text,
    constraint maker_is_whole check ((maker is null) = (line is null))
);
create index sign_ins_by_end on sign_ins (expires_at);
create index sign_ins_of_line on sign_ins (org, line) where line is not null;

-- What a person made, with all that descends from it.
create index keys_of_root on keys (org, root) where revoked_at is null;
