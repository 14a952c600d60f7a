-- What keys were used for: counted in memory, added up here every few seconds. The audit trail is the
-- truth; these sums are what can be asked quickly.
-- There are no references: what is counted is written behind, and one row that fits nothing any more
-- must not keep the others out.

create table key_usage (
    key_id text not null,
    -- The beginning of the hour.
    hour integer not null constraint usage_hour_is_whole check (hour % 3600000 = 0),
    method text not null,
    -- The pattern of the route; empty for none.
    route text not null,
    -- The workspace that the path named; empty for none.
    workspace text not null,
    calls integer not null constraint usage_calls_are_not_negative check (calls >= 0),
    refusals integer not null constraint usage_refusals_are_not_negative check (refusals >= 0),
    primary key (key_id, hour, method, route, workspace)
) strict, without rowid;
create index key_usage_by_hour on key_usage (hour);

create table key_addresses (
    key_id text not null,
    address text not null,
    first_at integer not null,
    last_at integer not null constraint address_is_last_seen_after_first check (last_at >= first_at),
    calls integer not null constraint address_calls_are_not_negative check (calls >= 0),
    primary key (key_id, address)
) strict, without rowid;
create index key_addresses_by_age on key_addresses (last_at);
