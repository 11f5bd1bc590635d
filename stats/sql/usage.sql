-- take_turn --
-- One process at a time counts the usage log.
SELECT pg_advisory_xact_lock(hashtextextended('stats.usage_position', 0))

-- select_position --
-- How far the usage log has been counted.
SELECT place FROM usage_position

-- select_counted_until --
-- When the last request that was counted began.
SELECT counted_until FROM usage_position

-- move_position --
-- Params: $1 how far it has been counted, $2 when the last of these requests began.
UPDATE usage_position SET place = $1, counted_until = greatest(counted_until, $2)

-- add_usage --
-- Adds to the requests of a day. Params: $1 everybody, $2 caller, $3 day, $4 api_key_id, $5 method,
-- $6 calls, $7 errors, $8 refused, $9 failed, $10 request_bytes, $11 response_bytes,
-- $12 duration_us, $13 longest_us, $14 ranges, $15 how many in each.
INSERT INTO api_usage AS u (
    everybody, caller, day, api_key_id, method, calls, errors, refused, failed, request_bytes,
    response_bytes, duration_us, longest_us, ranges, range_calls
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (everybody, caller, day, api_key_id, method) DO UPDATE SET
    calls = u.calls + excluded.calls,
    errors = u.errors + excluded.errors,
    refused = u.refused + excluded.refused,
    failed = u.failed + excluded.failed,
    request_bytes = u.request_bytes + excluded.request_bytes,
    response_bytes = u.response_bytes + excluded.response_bytes,
    duration_us = u.duration_us + excluded.duration_us,
    longest_us = greatest(u.longest_us, excluded.longest_us),
    (ranges, range_calls) = (
        SELECT
            array_agg(merged.range ORDER BY merged.range),
            array_agg(merged.calls ORDER BY merged.range)
        FROM (
            SELECT
                pair.range,
                sum(pair.calls)::bigint AS calls
            FROM unnest(
                u.ranges || excluded.ranges, u.range_calls || excluded.range_calls
            ) AS pair (range, calls)
            GROUP BY pair.range
        ) AS merged
    )

-- sum_usage --
-- Sums, with the ranges in which percentiles end. Params: $1 everybody, $2 first day, $3 last day,
-- $4 callers, null: all, $5 method, $6 API key, empty: all; $7 DAY, WEEK or empty, then by what it
-- is summed: $8 method, $9 caller, $10 API key; $11 order, $12 limit.
WITH kept AS (
    SELECT
        CASE $7::text WHEN 'DAY' THEN day WHEN 'WEEK' THEN date_trunc('week', day)::date END
            AS start_date,
        CASE WHEN $8::boolean THEN method ELSE '' END AS method,
        CASE WHEN $9::boolean THEN caller ELSE '' END AS caller,
        CASE WHEN $10::boolean THEN api_key_id ELSE '' END AS api_key_id,
        calls, errors, refused, failed, request_bytes, response_bytes, duration_us, longest_us,
        ranges, range_calls
    FROM api_usage
    WHERE everybody = $1
        AND day BETWEEN $2 AND $3
        AND ($4::text[] IS NULL OR caller = ANY($4))
        AND ($5 = '' OR method = $5)
        AND ($6 = '' OR api_key_id = $6)
),
sums AS (
    SELECT
        start_date, method, caller, api_key_id,
        sum(calls)::bigint AS calls,
        sum(errors)::bigint AS errors,
        sum(refused)::bigint AS refused,
        sum(failed)::bigint AS failed,
        sum(request_bytes)::bigint AS request_bytes,
        sum(response_bytes)::bigint AS response_bytes,
        sum(duration_us)::bigint AS duration_us,
        max(longest_us) AS longest_us
    FROM kept
    GROUP BY start_date, method, caller, api_key_id
),
merged AS (
    SELECT
        start_date, method, caller, api_key_id, pair.range, sum(pair.calls) AS calls
    FROM kept, unnest(ranges, range_calls) AS pair (range, calls)
    GROUP BY start_date, method, caller, api_key_id, pair.range
),
counted AS (
    SELECT
        start_date, method, caller, api_key_id, range,
        sum(calls) OVER (
            PARTITION BY start_date, method, caller, api_key_id ORDER BY range
        ) AS until_here,
        sum(calls) OVER (PARTITION BY start_date, method, caller, api_key_id) AS whole
    FROM merged
),
percentiles AS (
    SELECT
        start_date, method, caller, api_key_id,
        min(range) FILTER (WHERE 100 * until_here >= 50 * whole) AS p50,
        min(range) FILTER (WHERE 100 * until_here >= 95 * whole) AS p95,
        min(range) FILTER (WHERE 100 * until_here >= 99 * whole) AS p99
    FROM counted
    GROUP BY start_date, method, caller, api_key_id
)
SELECT
    s.start_date, s.method, s.caller, s.api_key_id, s.calls, s.errors, s.refused, s.failed,
    s.request_bytes, s.response_bytes, s.duration_us, s.longest_us, p.p50, p.p95, p.p99,
    count(*) OVER () AS number
FROM sums AS s
JOIN percentiles AS p
    ON p.start_date IS NOT DISTINCT FROM s.start_date
    AND (p.method, p.caller, p.api_key_id) = (s.method, s.caller, s.api_key_id)
ORDER BY
    CASE $11::text
        WHEN 'CALLS' THEN s.calls
        WHEN 'ERRORS' THEN s.errors
        WHEN 'REFUSED' THEN s.refused
        WHEN 'FAILED' THEN s.failed
        WHEN 'SLOWEST' THEN p.p95
    END DESC,
    s.start_date, s.calls DESC, s.method, s.caller, s.api_key_id
LIMIT $12

-- forget_usage --
-- Removes what is too old, some at a time.
-- Params: $1 everybody, $2 the first day to keep, $3 limit.
DELETE FROM api_usage
WHERE (everybody, caller, day, api_key_id, method) IN (
    SELECT everybody, caller, day, api_key_id, method
    FROM api_usage
    WHERE everybody = $1 AND day < $2
    LIMIT $3
)
