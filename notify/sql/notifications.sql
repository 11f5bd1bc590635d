-- select_preferences --
-- What users have chosen. Params: $1 user ids.
SELECT user_id, choices::text AS choices, quiet_start, quiet_end, timezone, large_purchase_minor,
    low_credit_minor, max_per_hour, update_time
FROM notification_preference
WHERE user_id = ANY($1::text[])

-- lock_preferences --
-- Makes those who change what a user wants wait for each other. Params: $1 user_id.
SELECT pg_advisory_xact_lock(hashtext('notification_preference'), hashtext($1))

-- upsert_preferences --
-- Writes what a user wants. Params: $1 user_id, $2 choices, $3 quiet_start, $4 quiet_end,
-- $5 timezone, $6 large_purchase_minor, $7 low_credit_minor, $8 max_per_hour, $9 now.
INSERT INTO notification_preference (user_id, choices, quiet_start, quiet_end, timezone,
    large_purchase_minor, low_credit_minor, max_per_hour, update_time)
VALUES ($1, $2::jsonb, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (user_id) DO UPDATE
SET choices = excluded.choices, quiet_start = excluded.quiet_start, quiet_end = excluded.quiet_end,
    timezone = excluded.timezone, large_purchase_minor = excluded.large_purchase_minor,
    low_credit_minor = excluded.low_credit_minor, max_per_hour = excluded.max_per_hour,
    update_time = excluded.update_time

-- delete_preferences --
-- Forgets what users have chosen. Params: $1 user ids.
DELETE FROM notification_preference WHERE user_id = ANY($1::text[])

-- count_recent --
-- What users were told lately by each channel. Params: $1 user ids, $2 since when.
SELECT user_id, channel, count(*) AS sent
FROM notification
WHERE user_id = ANY($1::text[]) AND create_time > $2 AND state <> 'SUPPRESSED'
GROUP BY user_id, channel

-- insert_notices --
-- Adds notices, each once. Params: $1 ids, $2 source ids, $3 kinds, $4 channels, $5 user ids,
-- $6 topics, $7 account ids, $8 data, $9 secrets, $10 urgent, $11 states, $12 reasons,
-- $13 due times, $14 expire times, $15 create times, $16 finish times.
INSERT INTO notification (id, source_id, kind, channel, user_id, topic, account_id, data, secret,
    urgent, state, reason, due_time, expire_time, create_time, finish_time)
SELECT id, source_id, kind, channel, user_id, topic, account_id, data::json, secret, urgent, state,
    reason, due_time, expire_time, create_time, finish_time
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::bytea[], $10::boolean[], $11::text[], $12::text[], $13::timestamptz[],
        $14::timestamptz[], $15::timestamptz[], $16::timestamptz[])
    AS n (id, source_id, kind, channel, user_id, topic, account_id, data, secret, urgent, state,
        reason, due_time, expire_time, create_time, finish_time)
ON CONFLICT DO NOTHING

-- claim_notices --
-- Takes what is due for a while, what is urgent first; others pass over it. Params: $1 now,
-- $2 until when, $3 limit.
UPDATE notification
SET attempts = attempts + 1, due_time = $2
WHERE id IN (
    SELECT id FROM notification
    WHERE state = 'PENDING' AND due_time <= $1
    ORDER BY urgent DESC, due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
RETURNING id, source_id, kind, channel, user_id, topic, account_id, data::text AS data, secret,
    state, reason, attempts, due_time, expire_time, create_time, finish_time

-- finish_notice --
-- What has become of a notice that was taken, unless somebody else has taken it meanwhile: then
-- that one says. What was sent is sent. Params: $1 id, $2 attempts, $3 state, $4 reason, $5 now.
UPDATE notification
SET state = $3, reason = $4, finish_time = $5, secret = NULL
WHERE id = $1 AND state = 'PENDING' AND (attempts = $2 OR $3 = 'SENT')

-- postpone_notice --
-- Has a notice that was taken wait. Params: $1 id, $2 attempts, $3 until when, $4 attempts from
-- now on.
UPDATE notification
SET due_time = $3, attempts = $4
WHERE id = $1 AND state = 'PENDING' AND attempts = $2

-- list_notices --
-- What a user was told before a position, newest first. Params: $1 create_time, $2 id, $3 limit,
-- $4 user_id.
SELECT id, source_id, kind, channel, user_id, topic, account_id, data::text AS data, secret,
    state, reason, attempts, due_time, expire_time, create_time, finish_time
FROM notification
WHERE user_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- forget_notices --
-- Forgets old notices. Params: $1 before when, $2 limit.
DELETE FROM notification
WHERE id IN (SELECT id FROM notification WHERE create_time < $1 ORDER BY create_time LIMIT $2)
