-- begin_projection --
-- From a new epoch on, everything is projected again. Params: $1 epoch.
UPDATE projection SET epoch = $1, step = 0, after_place = '' WHERE epoch < $1
RETURNING epoch

-- read_projection --
-- What is projected again now; null: all of it was.
SELECT step FROM projection WHERE id = 1

-- lock_projection --
-- How far that is, for whoever goes on with it.
SELECT step, after_place FROM projection WHERE id = 1 FOR UPDATE

-- move_projection --
-- Everything of a step up to a place waits for delivery. Params: $1 step or null, $2 place.
UPDATE projection SET step = $1, after_place = $2 WHERE id = 1

-- list_rules --
-- Rules that were ever set, by their scope. Params: $1 place after, $2 limit.
SELECT scope_id, version, update_time, rules, scope_id AS place
FROM default_rules
WHERE scope_id > $1 AND version > 0
ORDER BY scope_id
LIMIT $2

-- list_accounts_by_id --
-- Accounts by their ids. Params: $1 place after, $2 limit.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls, id AS place
FROM account
WHERE id > $1
ORDER BY id
LIMIT $2

-- list_account_users --
-- What users were ever set to use accounts for, by both ids. Params: $1 place after, $2 limit.
SELECT account_id, user_id, version, create_time, update_time, controls, state,
    account_id || ' ' || user_id AS place
FROM account_user
WHERE (account_id, user_id) > (split_part($1, ' ', 1), split_part($1, ' ', 2)) AND version > 0
ORDER BY account_id, user_id
LIMIT $2

-- list_cards_by_id --
-- Cards by their ids. Params: $1 place after, $2 limit.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended, id AS place
FROM card
WHERE id > $1
ORDER BY id
LIMIT $2

-- unknown_accounts --
-- Which of these accounts are not here. Params: $1 ids.
SELECT name FROM unnest($1::text[]) AS name
WHERE NOT EXISTS (SELECT FROM account WHERE id = name)

-- unknown_cards --
-- The same of cards. Params: $1 ids.
SELECT name FROM unnest($1::text[]) AS name
WHERE NOT EXISTS (SELECT FROM card WHERE id = name)

-- unknown_account_users --
-- The same of users of accounts. Params: $1 both ids of each, with a space between.
SELECT name FROM unnest($1::text[]) AS name
WHERE NOT EXISTS (
    SELECT FROM account_user
    WHERE account_id = split_part(name, ' ', 1) AND user_id = split_part(name, ' ', 2)
)

-- unknown_rules --
-- The same of rules. Params: $1 ids of programmes and companies.
SELECT name FROM unnest($1::text[]) AS name
WHERE NOT EXISTS (SELECT FROM default_rules WHERE scope_id = name)
