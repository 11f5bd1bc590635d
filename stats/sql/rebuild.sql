-- try_rebuild --
-- One rebuilds at a time, for as long as its connection lives.
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.again', 0))

-- end_rebuild --
-- The next one may.
SELECT pg_advisory_unlock(hashtextextended(current_schema() || '.again', 0))

-- empty --
-- Whatever another one has left.
TRUNCATE again_total, again_cell, again_origin

-- stop_counting --
-- Nobody counts a share until the end of the transaction. Params: $1 the share.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.ledger_position', $1))

-- select_positions --
-- How far everything is counted.
SELECT partition, pseq FROM ledger_position ORDER BY partition

-- compare_totals --
-- Days of subjects that are not the same. Params: $1 limit.
SELECT 'total' AS what, coalesce(a.subject_id, b.subject_id) AS subject_id,
    coalesce(a.day, b.day) AS day, coalesce(a.currency, b.currency) AS currency,
    to_jsonb(a) AS found, to_jsonb(b) AS expected
FROM live_total a
FULL JOIN again_total b USING (subject_id, day, currency, partition)
WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b)
LIMIT $1

-- compare_cells --
-- Days of accounts at one place that are not the same. Params: $1 limit.
SELECT 'breakdown' AS what, coalesce(a.account_id, b.account_id) AS subject_id,
    coalesce(a.day, b.day) AS day, coalesce(a.currency, b.currency) AS currency,
    to_jsonb(a) - 'digest' AS found, to_jsonb(b) - 'digest' AS expected
FROM live_cell a
FULL JOIN again_cell b USING (account_id, day, digest)
WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b)
LIMIT $1

-- compare_origins --
-- What is remembered of authorizations, refunds and payments and is not the same. Params: $1 limit.
SELECT 'origin' AS what, coalesce(a.account_id, b.account_id) AS subject_id,
    coalesce(a.day, b.day) AS day, '' AS currency,
    to_jsonb(a) - 'digest' AS found, to_jsonb(b) - 'digest' AS expected
FROM live_origin a
FULL JOIN again_origin b USING (id)
WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b)
LIMIT $1

-- changed --
-- Days of subjects that are not the same, by themselves or in what they are broken down by.
WITH cells AS (
    SELECT coalesce(a.day, b.day) AS day, ARRAY[
            coalesce(a.account_id, b.account_id), coalesce(a.card_id, b.card_id),
            coalesce(a.user_id, b.user_id), coalesce(a.company_id, b.company_id),
            coalesce(a.department_id, b.department_id), coalesce(a.programme_id, b.programme_id)
        ] AS subjects
    FROM live_cell a
    FULL JOIN again_cell b USING (account_id, day, digest)
    WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b)
)
SELECT coalesce(a.subject_id, b.subject_id) AS subject_id, coalesce(a.day, b.day) AS day
FROM live_total a
FULL JOIN again_total b USING (subject_id, day, currency, partition)
WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(b)
UNION
SELECT subject_id, day FROM cells, unnest(subjects) AS subject_id WHERE subject_id <> ''

-- clear_totals --
-- What was counted is taken away, in the transaction that puts what was counted again there. Not
-- truncated: whoever has begun to read, such as to close a period, still has to find it.
DELETE FROM live_total

-- clear_cells --
-- The days at one place.
DELETE FROM live_cell

-- clear_origins --
-- What may be given back later.
DELETE FROM live_origin

-- adopt_totals --
-- The days of subjects.
INSERT INTO live_total SELECT * FROM again_total

-- adopt_cells --
-- The days at one place.
INSERT INTO live_cell SELECT * FROM again_cell

-- adopt_origins --
-- What may be given back later.
INSERT INTO live_origin SELECT * FROM again_origin

-- count_days --
-- Days of subjects that were counted again.
SELECT count(*) FROM again_total
