-- take_turns --
-- Followers of one service take turns with their share, until the end of the transaction. No row is
-- locked: who finds nothing new writes nothing. Params: $1 the share.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.ledger_position', $1))

-- select_positions --
-- How far this follower has come. Params: $1 the share, $2 how many there are.
SELECT partition, pseq FROM ledger_position WHERE partition % $2::integer = $1::integer
ORDER BY partition

-- move_positions --
-- Params: $1 partitions, $2 the pseq of each.
UPDATE ledger_position p SET pseq = n.pseq
FROM unnest($1::smallint[], $2::bigint[]) AS n (partition, pseq)
WHERE p.partition = n.partition
