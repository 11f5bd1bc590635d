-- list_accounts_of_person --
-- Accounts that a person owns. Params: $1 id, $2 limit.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE owner_id = $1
ORDER BY create_time DESC, id DESC
LIMIT $2

-- list_cards_of_person --
-- Cards of those accounts, and cards that were issued to a person. Params: $1 id, $2 limit.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin
FROM card
WHERE user_id = $1 OR account_id IN (SELECT id FROM account WHERE owner_id = $1)
ORDER BY create_time DESC, id DESC
LIMIT $2

-- list_memberships_of_person --
-- Companies that a person works for, or did. Params: $1 id, $2 limit.
SELECT company_id, user_id, role, department_id, active, version, create_time, update_time
FROM company_member
WHERE user_id = $1
ORDER BY create_time DESC, company_id DESC
LIMIT $2

-- list_shares_of_person --
-- Others' accounts that a person may use, or might. Params: $1 id, $2 limit.
SELECT account_id, user_id, version, create_time, update_time, controls, state
FROM account_user
WHERE user_id = $1 AND version > 0
ORDER BY create_time DESC, account_id DESC
LIMIT $2

-- list_changes_of_person --
-- Changes of accounts and lines of cards, and those of others' accounts that are about a person.
-- Params: $1 lines, $2 others' accounts, $3 id, $4 limit.
SELECT id, subject_id, user_id, version, change_time, principal, request_id, method, fields
FROM change
WHERE line_id = ANY($1::text[]) OR (line_id = ANY($2::text[]) AND user_id = $3)
ORDER BY id DESC
LIMIT $4

-- list_showings_of_person --
-- When a person was shown in full, and to whom. Params: $1 id, $2 limit.
SELECT user_id AS subject_id, principal, method, '' AS reason, create_time
FROM person_reveal
WHERE user_id = $1
ORDER BY create_time DESC
LIMIT $2

-- list_acts --
-- What was done about a person, by the service's own audit log. Params: $1 id, $2 limit.
SELECT actor, method, code, record_time
FROM audit.entry
WHERE targets @> ARRAY[$1::text]
ORDER BY record_time DESC, id DESC
LIMIT $2
