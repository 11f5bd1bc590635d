-- insert_events --
-- Adds events, in this order. Params: $1 types, $2 account ids, $3 owner ids, $4 user ids, $5 data,
-- $6 times.
INSERT INTO event (type, account_id, owner_id, user_id, data, create_time)
SELECT type, account_id, owner_id, user_id, data::json, create_time
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    WITH ORDINALITY AS n (type, account_id, owner_id, user_id, data, create_time, place)
ORDER BY place

-- has_events --
-- Whether there are events that have no number yet, and events that follow one. Params: $1 number.
SELECT
    EXISTS (SELECT FROM event WHERE number IS NULL) AS unnumbered,
    EXISTS (SELECT FROM event WHERE number > $1) AS numbered

-- lock_event_head --
-- The last number that was given; nobody else gives one until the end of the transaction.
SELECT last FROM event_head FOR UPDATE

-- number_events --
-- Numbers events in the order of their ids; returns how many. Params: $1 the last number, $2 limit.
WITH fresh AS (
    SELECT id, row_number() OVER (ORDER BY id) AS place
    FROM (SELECT id FROM event WHERE number IS NULL ORDER BY id LIMIT $2) AS oldest
), numbered AS (
    UPDATE event SET number = $1::bigint + fresh.place FROM fresh WHERE event.id = fresh.id
    RETURNING 1
)
SELECT count(*) FROM numbered

-- move_event_head --
-- Params: $1 the last number that was given.
UPDATE event_head SET last = $1

-- select_events --
-- Events that follow a number. Params: $1 number, $2 limit.
SELECT number, type, account_id, owner_id, user_id, data::text AS data, create_time
FROM event
WHERE number > $1
ORDER BY number
LIMIT $2

-- forget_events --
-- Forgets old events. Params: $1 before when, $2 limit.
DELETE FROM event
WHERE id IN (SELECT id FROM event WHERE create_time < $1 ORDER BY id LIMIT $2)
