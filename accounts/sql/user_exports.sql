-- list_accounts_of_person --
-- Accounts that a person owns, those that were there at an instant. Params: $1 id, $2 instant,
-- $3 offset, $4 limit.
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM account
WHERE owner_id = $1 AND create_time <= $2
ORDER BY create_time DESC, id DESC
OFFSET $3 LIMIT $4

-- list_cards_of_person --
-- Cards of those accounts, and cards that were issued to a person. Params: $1 id,
-- $2 instant, $3 offset, $4 limit.
SELECT id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year, version,
    create_time, update_time, controls, user_id, nickname, shipping, carrier, tracking_number,
    received, replaces_card_id, replaced_by_card_id, suspicion_clear_time, bin,
    holder_suspended
FROM card
WHERE (user_id = $1 OR account_id IN (SELECT id FROM account WHERE owner_id = $1))
    AND create_time <= $2
ORDER BY create_time DESC, id DESC
OFFSET $3 LIMIT $4

-- list_card_ids_of_person --
-- The ids of all of them. Params: $1 id.
SELECT id
FROM card
WHERE user_id = $1 OR account_id IN (SELECT id FROM account WHERE owner_id = $1)

-- list_memberships_of_person --
-- Companies that a person works for, or did. Params: $1 id, $2 instant, $3 offset,
-- $4 limit.
SELECT company_id, user_id, role, department_id, active, version, create_time, update_time
FROM company_member
WHERE user_id = $1 AND create_time <= $2
ORDER BY create_time DESC, company_id DESC
OFFSET $3 LIMIT $4

-- list_shares_of_person --
-- Others' accounts that a person may use, or might. Params: $1 id, $2 instant, $3 offset,
-- $4 limit.
SELECT account_id, user_id, version, create_time, update_time, controls, state
FROM account_user
WHERE user_id = $1 AND version > 0 AND create_time <= $2
ORDER BY create_time DESC, account_id DESC
OFFSET $3 LIMIT $4

-- list_changes_of_person --
-- Changes of a person's accounts and lines of cards, and those of others' accounts that are about
-- the person. Params: $1 id, $2 instant, $3 offset, $4 limit.
SELECT id, subject_id, user_id, version, change_time, principal, request_id, method, fields
FROM change
WHERE change_time <= $2 AND (
    line_id IN (
        SELECT id FROM account WHERE owner_id = $1
        UNION
        SELECT root_card_id FROM card
        WHERE user_id = $1 OR account_id IN (SELECT id FROM account WHERE owner_id = $1)
    )
    OR (user_id = $1 AND line_id IN (SELECT account_id FROM account_user WHERE user_id = $1))
)
ORDER BY id DESC
OFFSET $3 LIMIT $4

-- list_showings_of_person --
-- When a person was shown in full, and to whom. Params: $1 id, $2 instant, $3 offset, $4 limit.
SELECT user_id AS subject_id, principal, method, '' AS reason, create_time
FROM person_reveal
WHERE user_id = $1 AND create_time <= $2
ORDER BY create_time DESC, id DESC
OFFSET $3 LIMIT $4

-- list_acts --
-- What was done about a person, by the service's own audit log. Params: $1 id, $2 instant of its
-- clock, $3 offset, $4 limit.
SELECT actor, method, code, record_time
FROM audit.entry
WHERE targets @> ARRAY[$1::text] AND record_time <= $2
ORDER BY record_time DESC, id DESC
OFFSET $3 LIMIT $4

-- select_now --
-- The clock of the audit log.
SELECT clock_timestamp()
