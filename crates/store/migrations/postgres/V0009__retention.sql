-- Up to which record the bodies of each trail are dropped: those of the first ones. Their hashes stay in `audit_tiles`.
-- That they are gone is decided by a record of the trail itself; this row says which. Whoever derives something
-- from bodies holds the row, so that nothing is made of them once they are gone.

create table audit_dropped (
    org text collate "C" primary key references ledgers (org),
    -- Whole tiles of level 0.
    last_seq bigint not null constraint dropped_tiles_are_whole check (last_seq >= 0 and last_seq % 256 = 0),
    -- The id of the record, and a number before which it does not stand.
    decision text collate "C" constraint drop_has_a_decision check (decision is not null or last_seq = 0),
    decided_after bigint not null constraint decision_is_behind check (decided_after >= last_seq)
);
