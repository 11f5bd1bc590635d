-- select_endpoint --
-- One endpoint. Params: $1 id.
SELECT id, owner_id, url, description, types, state, secret, previous_secret, previous_expire_time,
    failing_since, version, create_time, update_time
FROM webhook_endpoint
WHERE id = $1

-- select_endpoint_for_update --
-- One endpoint, locked for a change of it. Params: $1 id.
SELECT id, owner_id, url, description, types, state, secret, previous_secret, previous_expire_time,
    failing_since, version, create_time, update_time
FROM webhook_endpoint
WHERE id = $1
FOR NO KEY UPDATE

-- list_endpoints --
-- Endpoints older than a position, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT id, owner_id, url, description, types, state, secret, previous_secret, previous_expire_time,
    failing_since, version, create_time, update_time
FROM webhook_endpoint
WHERE (create_time, id) < ($1, $2) AND state <> 'DELETED'
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_endpoints_of_owner --
-- The same of one owner. Params: $1 create_time, $2 id, $3 limit, $4 owner_id.
SELECT id, owner_id, url, description, types, state, secret, previous_secret, previous_expire_time,
    failing_since, version, create_time, update_time
FROM webhook_endpoint
WHERE (create_time, id) < ($1, $2) AND state <> 'DELETED' AND owner_id = $4
ORDER BY create_time DESC, id DESC
LIMIT $3

-- lock_owner --
-- Makes those who create endpoints of one owner wait for each other. Params: $1 owner_id.
SELECT pg_advisory_xact_lock(hashtext('webhook_endpoint'), hashtext($1))

-- count_endpoints --
-- Endpoints of an owner. Params: $1 owner_id.
SELECT count(*) FROM webhook_endpoint WHERE owner_id = $1 AND state <> 'DELETED'

-- insert_endpoint --
-- Adds an endpoint. Params: $1 id, $2 owner_id, $3 url, $4 description, $5 types, $6 state,
-- $7 secret, $8 version, $9 create_time, $10 update_time.
INSERT INTO webhook_endpoint (id, owner_id, url, description, types, state, secret, version,
    create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- update_endpoint --
-- Writes the next version of a locked endpoint. Params: $1 id, $2 version, $3 url, $4 description,
-- $5 types, $6 state, $7 secret, $8 previous_secret, $9 previous_expire_time, $10 failing_since,
-- $11 update_time.
UPDATE webhook_endpoint
SET version = $2, url = $3, description = $4, types = $5, state = $6, secret = $7,
    previous_secret = $8, previous_expire_time = $9, failing_since = $10, update_time = $11
WHERE id = $1 AND version = $2 - 1

-- list_deliveries --
-- Deliveries to an endpoint below a number, latest event first. Params: $1 endpoint_id, $2 number,
-- $3 limit, $4 state or NULL.
SELECT d.endpoint_id, e.id AS event_id, e.type AS event_type, d.event_number, d.state, d.attempts,
    d.due_time, d.create_time
FROM webhook_delivery d JOIN event e ON e.number = d.event_number
WHERE d.endpoint_id = $1 AND d.event_number < $2 AND ($4::text IS NULL OR d.state = $4)
ORDER BY d.event_number DESC
LIMIT $3

-- select_event_of_owner --
-- An event that an endpoint with this owner may be told. Params: $1 event id, $2 owner_id or ''.
SELECT number, type, account_id, owner_id FROM event
WHERE id = $1 AND ($2 = '' OR owner_id = $2)

-- list_attempts --
-- The last attempts to deliver an event, last one first. Params: $1 endpoint_id, $2 event_number,
-- $3 limit.
SELECT number, start_time, duration_ms, status, error, response
FROM webhook_attempt
WHERE endpoint_id = $1 AND event_number = $2
ORDER BY number DESC
LIMIT $3

-- resend_delivery --
-- Lets an event be sent now, whatever became of it. Params: $1 endpoint_id, $2 event_number,
-- $3 order_key, $4 now.
INSERT INTO webhook_delivery (endpoint_id, event_number, order_key, state, due_time, create_time)
VALUES ($1, $2, $3, 'PENDING', $4, $4)
ON CONFLICT (endpoint_id, event_number)
    DO UPDATE SET state = 'PENDING', tries = 0, due_time = excluded.due_time
RETURNING state, attempts, due_time, create_time

-- replay_events --
-- Lets events be sent that were not delivered, earliest first; returns how many. Params:
-- $1 endpoint_id, $2 owner_id or '', $3 types or NULL, $4 from when, $5 before when, $6 now,
-- $7 limit.
WITH missing AS (
    SELECT e.number, coalesce(nullif(e.account_id, ''), e.owner_id) AS order_key
    FROM event e
    LEFT JOIN webhook_delivery d ON d.endpoint_id = $1 AND d.event_number = e.number
    WHERE ($2 = '' OR e.owner_id = $2) AND ($3::text[] IS NULL OR e.type = ANY($3))
        AND e.create_time >= $4 AND e.create_time < $5
        AND (d.state IS NULL OR d.state = 'FAILED')
    ORDER BY e.number
    LIMIT $7
), sent AS (
    INSERT INTO webhook_delivery
        (endpoint_id, event_number, order_key, state, due_time, create_time)
    SELECT $1, number, order_key, 'PENDING', $6, $6 FROM missing ORDER BY number
    ON CONFLICT (endpoint_id, event_number)
        DO UPDATE SET state = 'PENDING', tries = 0, due_time = excluded.due_time
    RETURNING 1
)
SELECT count(*) FROM sent

-- forget_deliveries --
-- Forgets old deliveries. Params: $1 before when, $2 limit.
DELETE FROM webhook_delivery
WHERE (endpoint_id, event_number) IN (
    SELECT endpoint_id, event_number FROM webhook_delivery WHERE create_time < $1 LIMIT $2
)

-- forget_attempts --
-- Forgets old attempts. Params: $1 before when, $2 limit.
DELETE FROM webhook_attempt
WHERE (endpoint_id, event_number, number) IN (
    SELECT endpoint_id, event_number, number FROM webhook_attempt WHERE start_time < $1 LIMIT $2
)
