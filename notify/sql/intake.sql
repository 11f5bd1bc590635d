-- lock_intake --
-- Lets one add events at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.event', 0))

-- select_owners --
-- Owners that are known here. Params: $1 account ids.
SELECT account_id, owner_id FROM account_owner WHERE account_id = ANY($1::text[])

-- insert_owners --
-- Remembers owners. Params: $1 account ids, $2 the owner of each.
INSERT INTO account_owner (account_id, owner_id)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (account_id) DO NOTHING

-- advance_sequences --
-- Takes the next numbers of accounts and owners; returns the last of each. Params: $1 keys, $2 how
-- many of each.
INSERT INTO sequence_head (key, last)
SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (key) DO UPDATE SET last = sequence_head.last + excluded.last
RETURNING key, last

-- insert_events --
-- Adds events in this order. Params: $1 ids, $2 types, $3 sequences, $4 account ids, $5 owner ids,
-- $6 user ids, $7 data, $8 times, $9 whether they are tests.
INSERT INTO event (id, type, sequence, account_id, owner_id, user_id, data, create_time, test)
SELECT id, type, sequence, account_id, owner_id, user_id, data::json, create_time, test
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::timestamptz[], $9::boolean[])
    WITH ORDINALITY AS n (id, type, sequence, account_id, owner_id, user_id, data, create_time,
        test, place)
ORDER BY place
RETURNING id, number

-- list_listeners --
-- Endpoints for which what happens is kept.
SELECT id, owner_id, types FROM webhook_endpoint WHERE state IN ('ACTIVE', 'PAUSED')

-- insert_deliveries --
-- Lets events be sent. Params: $1 endpoint ids, $2 event numbers, $3 what each is ordered by,
-- $4 now.
INSERT INTO webhook_delivery (endpoint_id, event_number, order_key, state, due_time, create_time)
SELECT endpoint_id, event_number, order_key, 'PENDING', $4, $4
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (endpoint_id, event_number, order_key)

-- take_feed_turn --
-- Followers of one source take turns, until the end of the transaction. Params: $1 source.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.feed_position.' || $1, 0))

-- select_feed_position --
-- How far a source was taken in; nothing: it was never met. Params: $1 source.
SELECT number FROM feed_position WHERE source = $1

-- move_feed_position --
-- Params: $1 source, $2 number of the last event that was taken in.
INSERT INTO feed_position (source, number) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET number = excluded.number
