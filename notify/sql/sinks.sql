-- take_sink_lead --
-- True for the one process that relays to a sink, as long as its connection lives. Params: $1 sink.
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.sink_position.' || $1, 0))

-- insert_sink_position --
-- A sink that was never met begins with the oldest event that is kept. Params: $1 sink.
INSERT INTO sink_position (sink, number) VALUES ($1, 0) ON CONFLICT DO NOTHING

-- select_sink_position --
-- Params: $1 sink.
SELECT number FROM sink_position WHERE sink = $1

-- move_sink_position --
-- Params: $1 sink, $2 where it was, $3 number of the last event that it has.
UPDATE sink_position SET number = $3 WHERE sink = $1 AND number = $2

-- select_events_after --
-- Events that follow a number. Params: $1 number, $2 limit.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE number > $1
ORDER BY number
LIMIT $2

-- select_sink_lag --
-- How many events a sink does not have, about (numbers may be missing), and when the oldest of them
-- happened. Params: $1 sink.
SELECT (SELECT max(number) FROM event) - p.number AS behind,
    (SELECT create_time FROM event WHERE number > p.number ORDER BY number LIMIT 1) AS oldest
FROM sink_position p
WHERE p.sink = $1
