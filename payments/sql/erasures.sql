-- insert_erasure --
-- Remembers that an account is to be forgotten, unless it is known. Params: $1 account id, $2 now.
INSERT INTO erasure (account_id, due_time, create_time) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING

-- is_forgotten --
-- Whether an account is, or is about to be. Params: $1 account id.
SELECT EXISTS (SELECT FROM erasure WHERE account_id = $1)

-- list_waiting_payments --
-- Payments of an account that were not begun, locked for a change. Params: $1 account id.
SELECT * FROM payment WHERE account_id = $1 AND step = 'BEGIN' FOR UPDATE

-- is_charging --
-- Whether the processor is asked for money of an account. Params: $1 account id.
SELECT EXISTS (SELECT FROM payment WHERE account_id = $1 AND step = 'CHARGE')

-- remove_sources --
-- Nothing is paid from an account's funding sources any more, and nothing tells what they were.
-- Params: $1 account id, $2 now.
UPDATE funding_source
SET state = 'REMOVED', is_default = false, display_name = '', version = version + 1,
    update_time = $2
WHERE account_id = $1

-- list_known_sources --
-- Funding sources of an account that a processor knows. Params: $1 account id.
SELECT * FROM funding_source
WHERE account_id = $1 AND (token <> '' OR customer <> '')
ORDER BY id

-- wipe_source --
-- Forgets what a processor knew a funding source by. Params: $1 id, $2 now.
UPDATE funding_source
SET token = '', customer = '', verification = '', version = version + 1, update_time = $2
WHERE id = $1

-- forget_answers --
-- Forgets answers that showed an account's funding sources. Params: $1 account id.
DELETE FROM request_record
WHERE method LIKE '%FundingSource' AND position(convert_to($1, 'UTF8') IN response) > 0

-- claim_erasures --
-- Takes accounts that are to be forgotten, as `claim_payments`. Params: $1 now, $2 until when they
-- are taken, $3 limit.
UPDATE erasure
SET due_time = $2
WHERE account_id IN (
    SELECT account_id FROM erasure
    WHERE due_time <= $1
    ORDER BY due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
RETURNING account_id, attempts

-- postpone_erasure --
-- Lets what was tried in vain wait. Params: $1 account id, $2 until when.
UPDATE erasure SET due_time = $2, attempts = attempts + 1
WHERE account_id = $1 AND finish_time IS NULL

-- finish_erasure --
-- Nothing is left to do. Params: $1 account id, $2 now.
UPDATE erasure SET due_time = NULL, finish_time = $2
WHERE account_id = $1 AND finish_time IS NULL
