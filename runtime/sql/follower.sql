-- lock_positions --
-- How far this follower has come; locked, so that two followers of one service take turns.
SELECT partition, pseq FROM ledger_position ORDER BY partition FOR UPDATE

-- move_positions --
-- Params: $1 partitions, $2 the pseq of each.
UPDATE ledger_position p SET pseq = n.pseq
FROM unnest($1::smallint[], $2::bigint[]) AS n (partition, pseq)
WHERE p.partition = n.partition
