-- select_accounts --
-- Those of these accounts that are there, their state standing still. Params: $1 ids.
SELECT id, state, programme_id, owner_id
FROM account
WHERE id = ANY ($1::text[])
ORDER BY id
FOR SHARE

-- select_cards --
-- Those of these cards that are there. Params: $1 ids.
SELECT id FROM card WHERE id = ANY ($1::text[])

-- lock_imports --
-- Lets one import at a time write, until the commit.
SELECT pg_advisory_xact_lock(hashtextextended('accounts.import_cards', 0))

-- select_people --
-- Those of these people who are known, and not gone, their state standing still. Params: $1 ids.
SELECT id, state
FROM person
WHERE id = ANY ($1::text[]) AND state <> 'CLOSED'
ORDER BY id
FOR SHARE

-- select_companies --
-- Those of these companies that are known, and those that own these accounts, their state standing
-- still. Params: $1 ids, $2 account ids.
SELECT
    id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE id = ANY ($1::text[] || array(SELECT owner_id FROM account WHERE id = ANY ($2::text[])))
ORDER BY id
FOR SHARE

-- select_programmes --
-- State, currency and BIN of these programmes. Params: $1 ids.
SELECT id, state, currency_code, bin FROM programme WHERE id = ANY ($1::text[])

-- insert_accounts --
-- Records new accounts. Params, all arrays: $1 id, $2 owner_id, $3 programme_id,
-- $4 parent_account_id, $5 state, $6 currency_code, $7 credit_limit_minor, $8 version,
-- $9 create_time, $10 update_time.
INSERT INTO account (id, owner_id, programme_id, parent_account_id, state, currency_code,
    credit_limit_minor, version, create_time, update_time)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])

-- insert_cards --
-- Records new cards. Params, all arrays: $1 id, $2 account_id, $3 root_card_id, $4 kind, $5 state,
-- $6 last4, $7 expiry_month, $8 expiry_year, $9 version, $10 create_time, $11 update_time,
-- $12 user_id, $13 controls, $14 nickname, $15 shipping, $16 replaces_card_id,
-- $17 suspicion_clear_time, $18 bin, $19 holder_suspended.
INSERT INTO card (id, account_id, root_card_id, kind, state, last4, expiry_month, expiry_year,
    version, create_time, update_time, user_id, controls, nickname, shipping, replaces_card_id,
    suspicion_clear_time, bin, holder_suspended)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::smallint[], $8::smallint[], $9::bigint[], $10::timestamptz[], $11::timestamptz[],
    $12::text[], $13::bytea[], $14::text[], $15::text[], $16::text[], $17::timestamptz[],
    $18::text[], $19::boolean[])

-- insert_changes --
-- Records changes. Params, all arrays: $1 line_id, $2 subject_id, $3 user_id, $4 version,
-- $5 change_time, $6 principal, $7 request_id, $8 method, $9 fields.
INSERT INTO change (line_id, subject_id, user_id, version, change_time, principal, request_id,
    method, fields)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[],
    $6::text[], $7::text[], $8::text[], $9::jsonb[])
