-- Receivers outside to which the trails are sent as they grow: a syslog, a collector. Each is known by its address.
create table audit_sinks (
    name text collate "C" primary key constraint name_is_short check (length(name) between 1 and 512),
    begun_at bigint not null
);

-- How far each trail was sent: up to the record of this number. A trail without a row began after the receiver did,
-- and is sent from its first record on.
create table audit_sink_trails (
    sink text collate "C" not null references audit_sinks (name),
    org text collate "C" not null references ledgers (org),
    seq bigint not null constraint seq_is_not_negative check (seq >= 0),
    primary key (sink, org)
);
