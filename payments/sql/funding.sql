-- select_source --
-- One funding source. Params: $1 id.
SELECT * FROM funding_source WHERE id = $1

-- select_source_for_update --
-- The same, locked for a change. Params: $1 id.
SELECT * FROM funding_source WHERE id = $1 FOR UPDATE

-- select_default --
-- The default of an account, locked. Params: $1 account id.
SELECT * FROM funding_source WHERE account_id = $1 AND is_default FOR UPDATE

-- count_sources --
-- How many an account has. Params: $1 account id.
SELECT count(*) FROM funding_source WHERE account_id = $1 AND state <> 'REMOVED'

-- list_sources --
-- Those of an account that were not removed, newest first. Params: $1 create_time, $2 id, $3 limit,
-- $4 account id.
SELECT * FROM funding_source
WHERE account_id = $4 AND state <> 'REMOVED' AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_source --
-- Adds a funding source. Params: $1 id, $2 account_id, $3 source, $4 state, $5 is_default,
-- $6 display_name, $7 token, $8 customer, $9 verification, $10 attempts, $11 version,
-- $12 create_time, $13 update_time.
INSERT INTO funding_source (
    id, account_id, source, state, is_default, display_name, token, customer, verification,
    attempts, version, create_time, update_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- update_source --
-- Writes the next version of a locked funding source. Params: $1 id, $2 version, $3 state,
-- $4 is_default, $5 attempts, $6 update_time.
UPDATE funding_source
SET version = $2, state = $3, is_default = $4, attempts = $5, update_time = $6
WHERE id = $1 AND version = $2 - 1

-- add_deposit --
-- Adds to a deposit; nothing if it is of another currency, or too much. Params: $1 account id,
-- $2 currency, $3 amount.
INSERT INTO deposit AS kept (account_id, currency_code, balance_minor) VALUES ($1, $2, $3)
ON CONFLICT (account_id) DO UPDATE SET balance_minor = kept.balance_minor + EXCLUDED.balance_minor
WHERE kept.currency_code = EXCLUDED.currency_code
    AND kept.balance_minor + EXCLUDED.balance_minor < 9007199254740992
RETURNING balance_minor

-- take_deposit --
-- Takes from a deposit what it has. Params: $1 account id, $2 amount.
UPDATE deposit SET balance_minor = balance_minor - $2
WHERE account_id = $1 AND balance_minor >= $2

-- insert_charge --
-- Remembers a charge, unless it is there. Params: $1 payment id, $2 account id, $3 amount, $4 now.
INSERT INTO deposit_charge (payment_id, account_id, amount_minor, taken, charge_time)
VALUES ($1, $2, $3, true, $4)
ON CONFLICT DO NOTHING

-- refuse_charge --
-- Says of a charge that nothing was taken. Params: $1 payment id.
UPDATE deposit_charge SET taken = false WHERE payment_id = $1

-- select_charge --
-- What became of a charge. Params: $1 payment id.
SELECT taken, charge_time FROM deposit_charge WHERE payment_id = $1

-- return_charge --
-- Gives back what was taken, once. Params: $1 payment id.
WITH given AS (
    UPDATE deposit_charge SET returned = true
    WHERE payment_id = $1 AND taken AND NOT returned
    RETURNING account_id, amount_minor
)
UPDATE deposit SET balance_minor = balance_minor + given.amount_minor
FROM given
WHERE deposit.account_id = given.account_id
