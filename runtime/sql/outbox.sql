-- append_row --
-- Adds a row to be delivered. Params: $1 topic, $2 key, $3 payload, $4 trace id.
INSERT INTO outbox (topic, key, payload, trace_id) VALUES ($1, $2, $3, $4)
RETURNING id, create_time

-- has_rows --
-- Whether any row waits for delivery.
SELECT EXISTS (SELECT FROM outbox)

-- lock_keys --
-- Locks the oldest row of each key that is due and that no other relay works on: whoever holds a
-- key's oldest row holds the key. Params: $1 limit.
SELECT oldest.key
FROM outbox AS oldest
WHERE oldest.due_time <= clock_timestamp()
    AND NOT EXISTS (
        SELECT FROM outbox AS older WHERE older.key = oldest.key AND older.id < oldest.id
    )
ORDER BY oldest.due_time
LIMIT $1
FOR UPDATE OF oldest SKIP LOCKED

-- select_rows --
-- The rows of some keys, oldest first. Params: $1 keys, $2 limit.
SELECT id, topic, key, payload, create_time, attempts, trace_id
FROM outbox
WHERE key = ANY($1)
ORDER BY id
LIMIT $2

-- delete_rows --
-- Removes what was delivered. The commit waits for no disk: a row that comes back after a crash is
-- delivered again. Params: $1 ids.
DELETE FROM outbox
WHERE id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'

-- delete_free_rows --
-- The same, without those that a relay works on: it will remove them. Params: $1 ids.
DELETE FROM outbox
WHERE id IN (SELECT id FROM outbox WHERE id = ANY($1) FOR UPDATE SKIP LOCKED)
    AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'

-- postpone_rows --
-- Lets failed rows wait, each time twice as long. Params: $1 ids, $2 first wait in ms, $3 longest
-- wait in ms.
UPDATE outbox
SET attempts = attempts + 1,
    due_time = clock_timestamp()
        + least($2::int * power(2, least(attempts, 20)), $3::int) * interval '1 millisecond'
WHERE id = ANY($1)

-- select_pending_ids --
-- Rows of one key that wait for delivery. Params: $1 key.
SELECT id FROM outbox WHERE key = $1

-- count_rows --
-- Rows that wait for delivery, counted up to a limit. Params: $1 limit.
SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS waiting
