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
-- Those of these people who are known, and not gone. Params: $1 ids.
SELECT id FROM person WHERE id = ANY ($1::text[]) AND state <> 'CLOSED' ORDER BY id FOR SHARE

-- select_companies --
-- Those of these companies that are known. Params: $1 ids.
SELECT
    id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE id = ANY ($1::text[])
ORDER BY id
FOR SHARE

-- select_programmes --
-- State, currency and BIN of these programmes. Params: $1 ids.
SELECT id, state, currency_code, bin FROM programme WHERE id = ANY ($1::text[])
