-- make_days --
-- Makes the partitions that are needed next. Params: $1 today.
SELECT make_usage_days($1)

-- old_days --
-- Names of the partitions of the days before one. Params: $1 the first day to keep.
SELECT c.relname AS name
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'usage'::regclass AND c.relname < 'usage_' || to_char($1::date, 'YYYYMMDD')

-- take_turn --
-- Whoever writes does so alone until its rows are to be seen, so that ids are seen in their order.
SELECT pg_advisory_xact_lock(hashtextextended('gateway.usage_ids', 0))

-- follow_usage --
-- Requests as they were written. Params: $1 after this id, $2 limit.
SELECT
    id, start_time, listener, method, http_method, http_status, grpc_status, request_bytes,
    response_bytes, duration_us, service_us, caller, trace_id, api_key_id
FROM usage
WHERE id > $1
ORDER BY id
LIMIT $2

-- list_usage --
-- Requests, newest first, after a place. Empty filters: all. Params: $1 time, $2 id of the place,
-- $3 limit, $4 caller, $5 method, $6 trace_id, $7 from this time on.
SELECT
    id, start_time, listener, method, http_method, http_status, grpc_status, request_bytes,
    response_bytes, duration_us, service_us, caller, trace_id, api_key_id
FROM usage
WHERE (start_time, id) < ($1, $2)
    AND start_time <= $1
    AND start_time >= $7
    AND ($4 = '' OR caller = $4)
    AND ($5 = '' OR method = $5)
    AND ($6 = '' OR trace_id = $6)
ORDER BY start_time DESC, id DESC
LIMIT $3

-- sum_usage --
-- Totals by method. Params: $1 from, $2 to (exclusive), $3 caller or empty, $4 limit.
SELECT
    method,
    count(*) AS calls,
    count(*) FILTER (WHERE http_status >= 400 OR grpc_status > 0) AS errors,
    sum(request_bytes)::bigint AS request_bytes,
    sum(response_bytes)::bigint AS response_bytes,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_us) AS duration_p50_us,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_us) AS duration_p95_us
FROM usage
WHERE start_time >= $1 AND start_time < $2 AND ($3 = '' OR caller = $3)
GROUP BY method
ORDER BY calls DESC, method
LIMIT $4
