-- select_payment --
-- One payment. Params: $1 id.
SELECT * FROM payment WHERE id = $1

-- select_payment_for_update --
-- The same, locked for a change. Params: $1 id.
SELECT * FROM payment WHERE id = $1 FOR UPDATE

-- select_transfer --
-- The payment of a transfer. Params: $1 source, $2 what the bank calls it.
SELECT * FROM payment WHERE source = $1 AND bank_reference = $2 AND bank_reference <> ''

-- select_scheduled --
-- The payment of a series that waits for its day, locked. Params: $1 account id, $2 series id.
SELECT * FROM payment
WHERE account_id = $1 AND series_id = $2 AND state = 'SCHEDULED' AND step <> 'NONE'
FOR UPDATE

-- list_payments --
-- Payments of an account, newest first. Params: $1 create_time, $2 id, $3 limit, $4 account id.
SELECT * FROM payment
WHERE account_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_payment --
-- Adds a payment, unless it is there. Params: $1 id, $2 account_id, $3 state, $4 step, $5 source,
-- $6 funding_source_id, $7 basis, $8 amount_minor, $9 currency_code, $10 cause, $11 time_zone,
-- $12 scheduled_date, $13 repeats, $14 end_date, $15 series_id, $16 series_date, $17 reason,
-- $18 processor_reference, $19 bank_reference, $20 hold_days, $21 receive_time, $22 release_time,
-- $23 released, $24 going_back, $25 charge_time, $26 due_time, $27 version, $28 create_time,
-- $29 update_time.
INSERT INTO payment (
    id, account_id, state, step, source, funding_source_id, basis, amount_minor, currency_code,
    cause, time_zone, scheduled_date, repeats, end_date, series_id, series_date, reason,
    processor_reference, bank_reference, hold_days, receive_time, release_time, released,
    going_back, charge_time, due_time, version, create_time, update_time
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28, $29
)
ON CONFLICT DO NOTHING

-- update_payment --
-- Writes the next version of a payment, unless somebody else has. Params: $1 id, $2 version,
-- $3 state, $4 step, $5 amount_minor, $6 reason, $7 processor_reference, $8 hold_days,
-- $9 receive_time, $10 release_time, $11 released, $12 going_back, $13 charge_time, $14 due_time,
-- $15 update_time, $16 refunded_minor. Returns the state that it had.
UPDATE payment
SET version = $2, state = $3, step = $4, amount_minor = $5, reason = $6, processor_reference = $7,
    hold_days = $8, receive_time = $9, release_time = $10, released = $11, going_back = $12,
    charge_time = $13, due_time = $14, update_time = $15, refunded_minor = $16, attempts = 0
WHERE id = $1 AND version = $2 - 1
RETURNING (SELECT state FROM payment_change WHERE payment_id = $1 AND version = $2 - 1)

-- insert_change --
-- Remembers what a payment became. Params: $1 payment id, $2 version, $3 state, $4 step, $5 reason,
-- $6 when.
INSERT INTO payment_change (payment_id, version, state, step, reason, change_time)
VALUES ($1, $2, $3, $4, $5, $6)

-- claim_payments --
-- Takes payments that have something to do, oldest first, each for one worker: nobody else takes
-- them before their time has come again. Params: $1 now, $2 until when they are taken, $3 limit.
UPDATE payment
SET due_time = $2
WHERE id IN (
    SELECT id FROM payment
    WHERE due_time <= $1
    ORDER BY due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
RETURNING *

-- postpone_payment --
-- Lets a step that was tried in vain wait. Params: $1 id, $2 version, $3 until when.
UPDATE payment SET due_time = $3, attempts = attempts + 1
WHERE id = $1 AND version = $2 AND step <> 'NONE'

-- wake_payment --
-- Lets what waits for its processor be looked at now: it has told us something. Params: $1 id,
-- $2 now.
UPDATE payment SET due_time = $2 WHERE id = $1 AND step = 'CHARGE' AND state = 'PROCESSING'

-- insert_event --
-- Remembers an event of a processor, unless it is known. Params: $1 id, $2 type, $3 now.
INSERT INTO processor_event (id, type, receive_time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- select_charged --
-- The payment that a processor knows by a reference, locked for a change. Params: $1 reference.
SELECT * FROM payment WHERE processor_reference = $1 AND source IN ('STRIPE_CARD', 'ACH') FOR UPDATE

-- list_under_way --
-- Payments of an account that were begun and have not lowered its balance yet. Params: $1 account.
SELECT id, amount_minor FROM payment
WHERE account_id = $1 AND step IN ('CHARGE', 'CREDIT') AND amount_minor IS NOT NULL

-- count_credited --
-- How many payments of an account have ever lowered its balance; that only grows. Params:
-- $1 account, $2 ids of those that do not count.
SELECT count(*) FROM payment
WHERE account_id = $1 AND state IN ('SUCCEEDED', 'RETURNED', 'REFUNDED') AND id <> ALL($2::text[])

-- count_open --
-- How many payments of an account are scheduled or under way. Params: $1 account id.
SELECT count(*) FROM payment WHERE account_id = $1 AND step <> 'NONE'

-- select_last_change --
-- When a payment of an account last lowered its balance, or went back. Params: $1 account id.
SELECT max(update_time) FROM payment
WHERE account_id = $1 AND state IN ('SUCCEEDED', 'RETURNED', 'REFUNDED')

-- lock_account --
-- Lets one payment of an account after the other be decided, until the commit. Params: $1 account.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))

-- select_hold_days --
-- How long payments of an account are held. Params: $1 account id, $2 source.
SELECT days FROM hold_days WHERE account_id = $1 AND source = $2

-- set_hold_days --
-- Sets it. Params: $1 account id, $2 source, $3 days.
INSERT INTO hold_days (account_id, source, days) VALUES ($1, $2, $3)
ON CONFLICT (account_id, source) DO UPDATE SET days = EXCLUDED.days

-- unset_hold_days --
-- Leaves it to the settings. Params: $1 account id, $2 source.
DELETE FROM hold_days WHERE account_id = $1 AND source = $2

-- select_autopay --
-- What is paid for an account by itself. Params: $1 account id.
SELECT * FROM autopay WHERE account_id = $1

-- select_autopay_for_update --
-- The same, locked for a change. Params: $1 account id.
SELECT * FROM autopay WHERE account_id = $1 FOR UPDATE

-- set_autopay --
-- Sets it. Params: $1 account_id, $2 enabled, $3 basis, $4 amount_minor, $5 currency_code,
-- $6 days_before_due, $7 funding_source_id, $8 last_number, $9 due_time, $10 version.
INSERT INTO autopay (
    account_id, enabled, basis, amount_minor, currency_code, days_before_due, funding_source_id,
    last_number, due_time, version
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (account_id) DO UPDATE
SET enabled = EXCLUDED.enabled, basis = EXCLUDED.basis, amount_minor = EXCLUDED.amount_minor,
    currency_code = EXCLUDED.currency_code, days_before_due = EXCLUDED.days_before_due,
    funding_source_id = EXCLUDED.funding_source_id, last_number = EXCLUDED.last_number,
    due_time = EXCLUDED.due_time, version = EXCLUDED.version
WHERE autopay.version = EXCLUDED.version - 1

-- claim_autopays --
-- Takes settings that are to be looked at, as `claim_payments`. Params: $1 now, $2 until when they
-- are taken, $3 limit.
UPDATE autopay
SET due_time = $2
WHERE account_id IN (
    SELECT account_id FROM autopay
    WHERE due_time <= $1
    ORDER BY due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
RETURNING *
