-- list_active_endpoints --
-- Endpoints that are told.
SELECT id, owner_id, url, description, types, state, secret, previous_secret, previous_expire_time,
    failing_since, version, create_time, update_time
FROM webhook_endpoint
WHERE state = 'ACTIVE'

-- select_due --
-- What is due at endpoints, what waits longest first. Params: $1 endpoint ids, $2 how many of each
-- at most, $3 now, $4 endpoints and $5 numbers of those that are held already.
SELECT d.endpoint_id, d.event_number, d.order_key, d.tries, d.attempts, d.due_time, e.id, e.type,
    e.sequence, e.account_id, e.owner_id, e.user_id, e.data::text AS data, e.create_time, e.test
FROM unnest($1::text[], $2::integer[]) AS asked (endpoint_id, room)
CROSS JOIN LATERAL (
    SELECT endpoint_id, event_number, order_key, tries, attempts, due_time
    FROM webhook_delivery
    WHERE endpoint_id = asked.endpoint_id AND state = 'PENDING' AND due_time <= $3
        AND (endpoint_id, event_number) NOT IN (SELECT * FROM unnest($4::text[], $5::bigint[]))
    ORDER BY due_time, event_number
    LIMIT asked.room
) AS d
JOIN event e ON e.number = d.event_number
ORDER BY d.due_time, d.event_number

-- update_deliveries --
-- Writes what became of attempts. What was asked for again meanwhile stays due. Params: $1 endpoint
-- ids, $2 event numbers, $3 states, $4 tries, $5 attempts, $6 when each is due again, $7 when each
-- was due.
UPDATE webhook_delivery d
SET attempts = n.attempts,
    state = CASE WHEN d.due_time = n.was_due THEN n.state ELSE d.state END,
    tries = CASE WHEN d.due_time = n.was_due THEN n.tries ELSE d.tries END,
    due_time = CASE WHEN d.due_time = n.was_due THEN n.due_time ELSE d.due_time END
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::integer[], $6::timestamptz[],
        $7::timestamptz[])
    AS n (endpoint_id, event_number, state, tries, attempts, due_time, was_due)
WHERE d.endpoint_id = n.endpoint_id AND d.event_number = n.event_number

-- insert_attempts --
-- Records attempts. Params: $1 endpoint ids, $2 event numbers, $3 their numbers, $4 starts,
-- $5 durations, $6 statuses, $7 errors, $8 answers.
INSERT INTO webhook_attempt (endpoint_id, event_number, number, start_time, duration_ms, status,
    error, response)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::timestamptz[], $5::integer[],
    $6::integer[], $7::text[], $8::text[])
ON CONFLICT DO NOTHING

-- set_failing --
-- Since when an endpoint has taken nothing. Params: $1 id, $2 when, or NULL.
UPDATE webhook_endpoint SET failing_since = $2 WHERE id = $1 AND state = 'ACTIVE'

-- disable_endpoint --
-- Gives an endpoint up. Params: $1 id, $2 version, $3 now.
UPDATE webhook_endpoint SET state = 'DISABLED', version = version + 1, update_time = $3
WHERE id = $1 AND version = $2 AND state = 'ACTIVE'

-- take_lead --
-- True for the one process that delivers, as long as its connection lives.
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.webhooks', 0))
