-- select_refund --
-- One refund. Params: $1 id.
SELECT * FROM refund WHERE id = $1

-- select_refund_for_update --
-- The same, locked for a change. Params: $1 id.
SELECT * FROM refund WHERE id = $1 FOR UPDATE

-- select_sent_for_update --
-- The refund that Stripe knows by a reference, locked for a change. Params: $1 reference.
SELECT * FROM refund WHERE reference = $1 AND source IN ('STRIPE_CARD', 'ACH') FOR UPDATE

-- list_refunds --
-- Refunds of an account, newest first. Params: $1 create_time, $2 id, $3 limit, $4 account id.
SELECT * FROM refund
WHERE account_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_outgoing --
-- Refunds that wait for staff, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT * FROM refund
WHERE step = 'CONFIRM' AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_refundable --
-- Payments of an account of which something may be given back, and how much; the latest first.
-- Params: $1 account id, $2 limit.
SELECT found.*, found.amount_minor - found.taken_minor AS left_minor
FROM (
    SELECT payment.*, (
        SELECT coalesce(sum(refund.amount_minor), 0)::bigint FROM refund
        WHERE refund.payment_id = payment.id AND refund.state <> 'FAILED'
    ) AS taken_minor
    FROM payment
    WHERE account_id = $1 AND state = 'SUCCEEDED' AND released AND NOT going_back
) AS found
WHERE found.amount_minor > found.taken_minor
ORDER BY found.receive_time DESC, found.id DESC
LIMIT $2

-- sum_given --
-- What of a payment is given back, or about to be. Params: $1 payment id.
SELECT coalesce(sum(amount_minor), 0)::bigint FROM refund
WHERE payment_id = $1 AND state <> 'FAILED'

-- list_waiting --
-- What refunds of an account will take from its balance. Params: $1 account id.
SELECT id, amount_minor FROM refund WHERE account_id = $1 AND step = 'DEBIT'

-- insert_refund --
-- Adds a refund. Params: $1 id, $2 account_id, $3 payment_id, $4 source, $5 state, $6 step,
-- $7 amount_minor, $8 currency_code, $9 send_by, $10 reason, $11 reference, $12 debited,
-- $13 ask_time, $14 due_time, $15 version, $16 create_time, $17 update_time.
INSERT INTO refund (
    id, account_id, payment_id, source, state, step, amount_minor, currency_code, send_by, reason,
    reference, debited, ask_time, due_time, version, create_time, update_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)

-- update_refund --
-- Writes the next version of a refund, unless somebody else has. Params: $1 id, $2 version,
-- $3 state, $4 step, $5 reason, $6 reference, $7 debited, $8 ask_time, $9 due_time,
-- $10 update_time. Returns the state that it had.
UPDATE refund
SET version = $2, state = $3, step = $4, reason = $5, reference = $6, debited = $7, ask_time = $8,
    due_time = $9, update_time = $10, attempts = 0
WHERE id = $1 AND version = $2 - 1
RETURNING (SELECT state FROM refund_change WHERE refund_id = $1 AND version = $2 - 1)

-- insert_refund_change --
-- Remembers what a refund became. Params: $1 refund id, $2 version, $3 state, $4 step, $5 reason,
-- $6 when.
INSERT INTO refund_change (refund_id, version, state, step, reason, change_time)
VALUES ($1, $2, $3, $4, $5, $6)

-- claim_refunds --
-- Takes refunds that have something to do, as `claim_payments`. Params: $1 now, $2 until when they
-- are taken, $3 limit.
UPDATE refund
SET due_time = $2
WHERE id IN (
    SELECT id FROM refund
    WHERE due_time <= $1
    ORDER BY due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
RETURNING *

-- postpone_refund --
-- Lets a step that was tried in vain wait. Params: $1 id, $2 version, $3 until when.
UPDATE refund SET due_time = $3, attempts = attempts + 1
WHERE id = $1 AND version = $2 AND due_time IS NOT NULL

-- wake_refund --
-- Lets what waits for its processor be looked at now. Params: $1 id, $2 now.
UPDATE refund SET due_time = $2 WHERE id = $1 AND step = 'SEND' AND ask_time IS NOT NULL

-- insert_deposit_refund --
-- Gives a refund to the deposit that its payment came from, once. Params: $1 refund id,
-- $2 account id, $3 amount, $4 now.
WITH given AS (
    INSERT INTO deposit_refund (refund_id, account_id, amount_minor, refund_time)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING
    RETURNING account_id, amount_minor
)
UPDATE deposit SET balance_minor = balance_minor + given.amount_minor
FROM given
WHERE deposit.account_id = given.account_id

-- select_deposit_refund --
-- Whether a refund was given to a deposit. Params: $1 refund id.
SELECT true FROM deposit_refund WHERE refund_id = $1
