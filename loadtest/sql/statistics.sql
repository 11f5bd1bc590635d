-- positions --
-- How far entries are counted.
SELECT partition, pseq FROM stats.ledger_position

-- uncounted --
-- Entries that are settled and not counted.
SELECT coalesce(sum(p.position - n.pseq), 0)::bigint
FROM authz.partition p JOIN stats.ledger_position n USING (partition)

-- recorded --
-- When entries were written. Params: $1 partitions, $2 after which pseq of each.
SELECT e.partition, e.pseq, extract(epoch FROM e.recorded_time)::float8 AS recorded_s
FROM authz.journal_entry e
JOIN unnest($1::smallint[], $2::bigint[]) AS n (partition, pseq)
    ON e.partition = n.partition AND e.pseq > n.pseq
