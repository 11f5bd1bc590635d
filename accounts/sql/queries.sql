-- select_account --
-- One account. Params: $1 id.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE id = $1

-- select_account_for_update --
-- One account, locked for a change of it. Params: $1 id.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE id = $1
FOR NO KEY UPDATE

-- select_account_for_share --
-- One account whose state must stand still while something depends on it. Params: $1 id.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE id = $1
FOR SHARE

-- list_accounts --
-- Accounts older than a position, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_accounts_of_owner --
-- The same of one owner. Params: $1 create_time, $2 id, $3 limit, $4 owner_id.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE owner_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_account --
-- Records a new account. Params: $1 id, $2 owner_id, $3 programme_id, $4 parent_account_id,
-- $5 state, $6 currency_code, $7 credit_limit_minor, $8 version, $9 create_time, $10 update_time.
INSERT INTO account (id, owner_id, programme_id, parent_account_id, state, currency_code,
    credit_limit_minor, version, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- update_account --
-- Writes the next version of an account. Params: $1 id, $2 version, $3 state,
-- $4 credit_limit_minor, $5 update_time, $6 controls.
UPDATE account
SET version = $2, state = $3, credit_limit_minor = $4, update_time = $5, controls = $6,
    closing_check_time = CASE WHEN $3 = 'CLOSING' THEN coalesce(closing_check_time, $5) END
WHERE id = $1 AND version = $2 - 1

-- list_closing --
-- Closing accounts that are due to be looked at. Params: $1 now, $2 limit.
SELECT id FROM account
WHERE state = 'CLOSING' AND closing_check_time <= $1
ORDER BY closing_check_time
LIMIT $2

-- postpone_closing --
-- When to look at a closing account again: the longer it takes, the later. Params: $1 id, $2 now,
-- $3 shortest and $4 longest pause in ms.
UPDATE account
SET closing_check_time = $2::timestamptz
    + greatest(least(($2 - update_time) / 10, $4 * interval '1 ms'), $3 * interval '1 ms')
WHERE id = $1

-- select_bin --
-- First digits of a programme's card numbers. Params: $1 programme_id.
SELECT bin FROM programme WHERE id = $1

-- select_card --
-- One card. Params: $1 id.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended
FROM card
WHERE id = $1

-- select_card_for_update --
-- One card, locked for a change of it. Params: $1 id.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended
FROM card
WHERE id = $1
FOR NO KEY UPDATE

-- select_cards_of_user_for_update --
-- The cards that a user has on an account, locked for a change. Params: $1 account_id, $2 user_id.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended
FROM card
WHERE account_id = $1 AND user_id = $2
ORDER BY id
FOR NO KEY UPDATE

-- select_cards_held_for_update --
-- The living cards of an account that are a user's, its owner's if they are nobody's in particular;
-- locked for a change. Params: $1 account_id, $2 user_id.
SELECT card.id, card.account_id, card.root_card_id, card.kind, card.state, card.last4,
    card.expiry_month, card.expiry_year, card.version, card.create_time, card.update_time,
    card.controls, card.user_id, card.nickname, card.shipping, card.carrier, card.tracking_number,
    card.received, card.replaces_card_id, card.replaced_by_card_id, card.suspicion_clear_time,
    card.bin, card.holder_suspended
FROM card
JOIN account ON account.id = card.account_id
WHERE card.account_id = $1 AND coalesce(card.user_id, account.owner_id) = $2
    AND card.state IN ('INACTIVE', 'ACTIVE', 'FROZEN')
ORDER BY card.id
FOR NO KEY UPDATE OF card

-- list_held_accounts --
-- Accounts that a user owns or shares, unless they are closed, or has living cards on. Params:
-- $1 user_id.
SELECT id FROM account WHERE owner_id = $1 AND state <> 'CLOSED'
UNION
SELECT account_id FROM account_user WHERE user_id = $1 AND state = 'ACTIVE'
UNION
SELECT account_id FROM card WHERE user_id = $1 AND state IN ('INACTIVE', 'ACTIVE', 'FROZEN')
ORDER BY id

-- list_shared_accounts --
-- Others' accounts that a user shares or has living cards on. Params: $1 user_id,
-- $2 owner_id or ''.
SELECT id
FROM account
WHERE id IN (
    SELECT account_id FROM account_user WHERE user_id = $1 AND state = 'ACTIVE'
    UNION
    SELECT account_id FROM card
    WHERE user_id = $1 AND state IN ('INACTIVE', 'ACTIVE', 'FROZEN')
) AND owner_id <> $1 AND (owner_id = $2 OR $2 = '')
ORDER BY id

-- list_cards --
-- Cards of an account older than a position, newest first. Params: $1 create_time, $2 id, $3 limit,
-- $4 account_id.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended
FROM card
WHERE account_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_all_cards --
-- Cards older than a position, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended
FROM card
WHERE (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- select_held_card --
-- Whose card it is (NULL: of somebody who was removed from the account), its state and expiry.
-- Params: $1 id.
SELECT card.state, card.expiry_month, card.expiry_year, CASE
        WHEN card.user_id IS NULL OR card.user_id = account.owner_id THEN account.owner_id
        ELSE account_user.user_id
    END AS holder_id
FROM card
JOIN account ON account.id = card.account_id
LEFT JOIN account_user ON account_user.account_id = card.account_id
    AND account_user.user_id = card.user_id AND account_user.state = 'ACTIVE'
WHERE card.id = $1

-- insert_card --
-- Records a new card. Params: $1 id, $2 account_id, $3 root_card_id, $4 kind, $5 state, $6 last4,
-- $7 expiry_month, $8 expiry_year, $9 version, $10 create_time, $11 update_time, $12 user_id,
-- $13 controls, $14 nickname, $15 shipping, $16 replaces_card_id, $17 suspicion_clear_time,
-- $18 bin, $19 holder_suspended.
INSERT INTO card (id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year,
    version, create_time, update_time, user_id, controls, nickname, shipping, replaces_card_id,
    suspicion_clear_time, bin, holder_suspended)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)

-- update_card --
-- Writes the next version of a card. Params: $1 id, $2 version, $3 state, $4 update_time,
-- $5 controls, $6 user_id, $7 expiry_month, $8 expiry_year, $9 nickname, $10 shipping, $11 carrier,
-- $12 tracking_number, $13 received, $14 replaced_by_card_id, $15 suspicion_clear_time,
-- $16 holder_suspended.
UPDATE card
SET version = $2, state = $3, update_time = $4, controls = $5, user_id = $6, expiry_month = $7,
    expiry_year = $8, nickname = $9, shipping = $10, carrier = $11, tracking_number = $12,
    received = $13, replaced_by_card_id = $14, suspicion_clear_time = $15, holder_suspended = $16,
    activation_tries = CASE WHEN $10 = 'ORDERED' THEN 0 ELSE activation_tries END
WHERE id = $1 AND version = $2 - 1

-- count_activation --
-- Counts wrong tries to activate a card, unless there were too many. Params: $1 id, $2 most,
-- $3 how many.
UPDATE card SET activation_tries = activation_tries + $3
WHERE id = $1 AND activation_tries < $2
RETURNING activation_tries

-- list_expiring --
-- Cards in use, of open accounts, that expire in a month or before, behind a card: the first first.
-- Params: $1 year, $2 month, $3 limit, $4 year, $5 month and $6 id of that card.
SELECT c.expiry_year, c.expiry_month, c.id FROM card c JOIN account a ON a.id = c.account_id
WHERE c.state IN ('ACTIVE', 'FROZEN') AND c.kind <> 'SINGLE_USE' AND a.state = 'OPEN'
  AND (c.expiry_year, c.expiry_month) <= ($1, $2)
  AND (c.expiry_year, c.expiry_month, c.id) > ($4, $5, $6)
ORDER BY c.expiry_year, c.expiry_month, c.id
LIMIT $3

-- select_account_user --
-- What a user may use an account for. Params: $1 account_id, $2 user_id.
SELECT account_id, user_id, version, create_time, update_time, controls, state
FROM account_user
WHERE account_id = $1 AND user_id = $2

-- ensure_account_user --
-- Makes a user of an account that was never set, so that it can be locked. Params: $1 account_id,
-- $2 user_id, $3 update_time.
INSERT INTO account_user (account_id, user_id, create_time, update_time)
VALUES ($1, $2, $3, $3)
ON CONFLICT (account_id, user_id) DO NOTHING

-- select_account_user_for_update --
-- The same as `select_account_user`, locked for a change. Params: $1 account_id, $2 user_id.
SELECT account_id, user_id, version, create_time, update_time, controls, state
FROM account_user
WHERE account_id = $1 AND user_id = $2
FOR NO KEY UPDATE

-- update_account_user --
-- Writes the next version of a user of an account. Params: $1 account_id, $2 user_id, $3 version,
-- $4 update_time, $5 controls, $6 state.
UPDATE account_user
SET version = $3, update_time = $4, controls = $5, state = $6
WHERE account_id = $1 AND user_id = $2 AND version = $3 - 1

-- list_users_of_account --
-- Users of an account who were ever added, newest first, older than a position. Params:
-- $1 create_time, $2 user_id, $3 limit, $4 account_id.
SELECT account_id, user_id, version, create_time, update_time, controls, state
FROM account_user
WHERE account_id = $4 AND (create_time, user_id) < ($1, $2) AND state <> 'UNSPECIFIED'
ORDER BY create_time DESC, user_id DESC
LIMIT $3

-- insert_change --
-- Records a change. Params: $1 line_id, $2 subject_id, $3 user_id, $4 version, $5 change_time,
-- $6 principal, $7 request_id, $8 method, $9 fields.
INSERT INTO change (line_id, subject_id, user_id, version, change_time, principal, request_id,
    method, fields)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- list_changes --
-- Changes of an account or a line of cards, newest first, before one. Params: $1 id, $2 limit,
-- $3 line_id.
SELECT id, subject_id, user_id, version, change_time, principal, request_id, method, fields
FROM change
WHERE line_id = $3 AND id < $1
ORDER BY id DESC
LIMIT $2

-- select_rules --
-- The rules of a programme or company. Params: $1 scope_id.
SELECT scope_id, version, update_time, rules
FROM default_rules
WHERE scope_id = $1

-- ensure_rules --
-- Makes rules that were never set, so that they can be locked. Params: $1 scope_id, $2 update_time.
INSERT INTO default_rules (scope_id, update_time)
VALUES ($1, $2)
ON CONFLICT (scope_id) DO NOTHING

-- select_rules_for_update --
-- The same as `select_rules`, locked for a change. Params: $1 scope_id.
SELECT scope_id, version, update_time, rules
FROM default_rules
WHERE scope_id = $1
FOR NO KEY UPDATE

-- update_rules --
-- Writes the next version of rules. Params: $1 scope_id, $2 version, $3 update_time, $4 rules.
UPDATE default_rules
SET version = $2, update_time = $3, rules = $4
WHERE scope_id = $1 AND version = $2 - 1

-- select_request --
-- What was answered to a request id. Params: $1 principal, $2 request_id.
SELECT method, fingerprint, response, account_id AS outbox_key
FROM request_record
WHERE principal = $1 AND request_id = $2

-- answer_request --
-- Stores the answer to a claimed request id. Params: $1 principal, $2 request_id, $3 response,
-- $4 key of its outbox rows: an account, a programme or a company.
UPDATE request_record
SET response = $3, account_id = $4
WHERE principal = $1 AND request_id = $2
