-- Requests for keys: asked, decided, collected.

create table key_requests (
    id text primary key,
    org text not null references orgs (id),
    -- The id of a key, whose label changes with its secret; the label of anybody else.
    asker text not null,
    asked_by text not null,
    asked_at integer not null,
    justification text not null constraint justification_is_short check (length(justification) between 1 and 1000),
    name text not null constraint request_name_is_short check (length(name) between 1 and 100),
    grant_json text not null,
    -- `open`, or `for` and `until` with milliseconds.
    lifetime text not null,
    metadata text not null,
    for_key text references keys (id),
    -- From when on it is expired, as long as it is pending or approved.
    expires_at integer not null,
    stage text not null constraint stage_is_known
        check (stage in ('pending', 'approved', 'denied', 'withdrawn', 'collected')),
    decided_by text,
    -- The key that decided: the minter of what is collected.
    decider text references keys (id),
    -- How it had proved itself, as a policy on minters sees it.
    decided_as text constraint tier_of_decision_is_known check (decided_as in ('0', '1', '2a', '2b')),
    decided_at integer,
    decision_note text,
    approved_grant text,
    approved_lifetime text,
    collected_at integer,
    key_id text references keys (id),
    constraint decision_is_whole check ((decided_by is null) = (decided_at is null) and (decided_at is null) = (decided_as is null)),
    constraint approval_is_whole check ((approved_grant is null) = (approved_lifetime is null)),
    constraint approval_is_decided check (approved_grant is null or decided_by is not null),
    constraint collection_is_whole check ((collected_at is null) = (key_id is null)),
    constraint collection_is_approved check (key_id is null or approved_grant is not null),
    constraint collection_is_the_end check ((stage = 'collected') = (key_id is not null))
) strict;
create index key_requests_of_org on key_requests (org, id);
create index key_requests_by_age on key_requests (asked_at);
