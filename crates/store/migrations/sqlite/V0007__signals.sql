-- What each key has done before: a bounded set of networks and endpoints, by which its first use of another one
-- is told from the rest. One row for each key that was ever used, written when something is added.
-- There is no reference: it is written behind, and a row that fits nothing any more must not keep the others out.

create table key_habits (
    key_id text primary key,
    habits text not null constraint habits_are_json check (json_valid(habits))
) strict, without rowid;
