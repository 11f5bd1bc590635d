-- take_turns --
-- Followers of one service take turns, until the end of the transaction. No row is locked: who
-- finds nothing new writes nothing.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.ledger_position', 0))

-- select_positions --
-- How far this follower has come.
SELECT partition, pseq FROM ledger_position ORDER BY partition

-- move_positions --
-- Params: $1 partitions, $2 the pseq of each.
UPDATE ledger_position p SET pseq = n.pseq
FROM unnest($1::smallint[], $2::bigint[]) AS n (partition, pseq)
WHERE p.partition = n.partition
