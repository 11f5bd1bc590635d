-- select_person --
-- One person. Params: $1 id.
SELECT id, state, version, create_time, update_time, verify_time, erase_time, key_wrapped, name,
    email, phone, address, birth_date, tax_id
FROM person
WHERE id = $1

-- select_person_for_update --
-- One person, locked for a change. Params: $1 id.
SELECT id, state, version, create_time, update_time, verify_time, erase_time, key_wrapped, name,
    email, phone, address, birth_date, tax_id
FROM person
WHERE id = $1
FOR UPDATE

-- select_person_state_for_share --
-- The state of a person, if known, which stands still until the commit. Params: $1 id.
SELECT state
FROM person
WHERE id = $1
FOR SHARE

-- list_people --
-- People older than a position, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT id, state, version, create_time, update_time, verify_time, erase_time, key_wrapped, name,
    email, phone, address, birth_date, tax_id
FROM person
WHERE (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- find_by_email --
-- The same of those with an email. Params: $1 create_time, $2 id, $3 limit, $4 its hashes.
SELECT id, state, version, create_time, update_time, verify_time, erase_time, key_wrapped, name,
    email, phone, address, birth_date, tax_id
FROM person
WHERE email_hash = ANY($4::bytea[]) AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- find_by_phone --
-- The same of those with a phone number. Params: $1 create_time, $2 id, $3 limit, $4 its hashes.
SELECT id, state, version, create_time, update_time, verify_time, erase_time, key_wrapped, name,
    email, phone, address, birth_date, tax_id
FROM person
WHERE phone_hash = ANY($4::bytea[]) AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- find_by_tax_id --
-- The same of those with a tax number. Params: $1 create_time, $2 id, $3 limit, $4 its hashes.
SELECT id, state, version, create_time, update_time, verify_time, erase_time, key_wrapped, name,
    email, phone, address, birth_date, tax_id
FROM person
WHERE tax_id_hash = ANY($4::bytea[]) AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_people --
-- Makes people known, but those whose id is taken. Params, all arrays: $1 id, $2 state, $3 version,
-- $4 create_time, $5 update_time, $6 verify_time, $7 key_wrapped, $8 key_id, $9 name, $10 email,
-- $11 phone, $12 address, $13 birth_date, $14 tax_id, $15 email_hash, $16 phone_hash,
-- $17 tax_id_hash, $18 hash_key_id.
INSERT INTO person (id, state, version, create_time, update_time, verify_time, key_wrapped, key_id,
    name, email, phone, address, birth_date, tax_id, email_hash, phone_hash, tax_id_hash,
    hash_key_id)
SELECT *
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[],
    $6::timestamptz[], $7::bytea[], $8::text[], $9::bytea[], $10::bytea[], $11::bytea[],
    $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[], $16::bytea[], $17::bytea[], $18::text[])
ON CONFLICT (id) DO NOTHING
RETURNING id

-- select_existing_people --
-- Which of these people are known. Params: $1 ids.
SELECT id
FROM person
WHERE id = ANY($1::text[])

-- update_person --
-- Writes the next version of a person. Params: $1 id, $2 version, $3 state, $4 update_time,
-- $5 verify_time, $6 erase_time, $7 key_wrapped, $8 key_id, $9 name, $10 email, $11 phone,
-- $12 address, $13 birth_date, $14 tax_id, $15 email_hash, $16 phone_hash, $17 tax_id_hash,
-- $18 hash_key_id.
UPDATE person
SET version = $2, state = $3, update_time = $4, verify_time = $5, erase_time = $6,
    key_wrapped = $7, key_id = $8, name = $9, email = $10, phone = $11, address = $12,
    birth_date = $13, tax_id = $14, email_hash = $15, phone_hash = $16, tax_id_hash = $17,
    hash_key_id = $18
WHERE id = $1 AND version = $2 - 1

-- delete_person --
-- Removes a person. Params: $1 id.
DELETE FROM person
WHERE id = $1

-- owns_account --
-- Whether a person owns an account that is not closed. Params: $1 id.
SELECT EXISTS (SELECT 1 FROM account WHERE owner_id = $1 AND state <> 'CLOSED')

-- list_owned_accounts --
-- A person's accounts, all of them. Params: $1 id.
SELECT id FROM account WHERE owner_id = $1 ORDER BY id

-- shares_account --
-- Whether a person shares an account that is not closed. Params: $1 id.
SELECT EXISTS (
    SELECT 1 FROM account_user JOIN account ON account.id = account_user.account_id
    WHERE account_user.user_id = $1 AND account_user.state = 'ACTIVE' AND account.state <> 'CLOSED'
)

-- erase_cards --
-- Forgets what may identify a person of the cards on the person's accounts, and of those issued to
-- the person; returns them. Params: $1 id.
UPDATE card
SET nickname = '', carrier = '', tracking_number = ''
WHERE user_id = $1 OR account_id IN (SELECT id FROM account WHERE owner_id = $1)
RETURNING id, root_card_id

-- erase_former_cards --
-- The same of cards that were a person's and went to others since, but what those have set; returns
-- the first cards of their lines. Cards are given only to who shares, or shared, the account.
-- Params: $1 id.
WITH former AS (
    SELECT line_id, max(id) AS last_id
    FROM change
    WHERE line_id IN (
            SELECT root_card_id FROM card
            WHERE account_id IN (SELECT account_id FROM account_user WHERE user_id = $1)
        )
        AND fields @> jsonb_build_array(jsonb_build_array('user_id', $1::text))
    GROUP BY line_id
), since AS (
    SELECT former.line_id, array_agg(field ->> 0) AS names
    FROM former
    LEFT JOIN change ON change.line_id = former.line_id AND change.id > former.last_id
        AND change.method <> 'ReplaceCard'
    LEFT JOIN jsonb_array_elements(change.fields) AS field ON true
    GROUP BY former.line_id
)
UPDATE card
SET nickname = CASE WHEN 'nickname' = ANY (names) THEN nickname ELSE '' END,
    carrier = CASE WHEN 'carrier' = ANY (names) THEN carrier ELSE '' END,
    tracking_number = CASE WHEN 'tracking_number' = ANY (names) THEN tracking_number ELSE '' END
FROM since
WHERE card.root_card_id = since.line_id
RETURNING card.root_card_id

-- erase_changes --
-- The same of what the history of cards says. Params: $1 their first cards' ids.
UPDATE change
SET fields = (
    SELECT jsonb_agg(
        CASE
            WHEN field ->> 0 IN ('nickname', 'carrier', 'tracking_number')
                THEN jsonb_build_array(field -> 0, '', '')
            ELSE field
        END ORDER BY place)
    FROM jsonb_array_elements(fields) WITH ORDINALITY AS one (field, place)
)
WHERE line_id = ANY($1::text[]) AND jsonb_path_exists(
    fields, '$[*][0] ? (@ == "nickname" || @ == "carrier" || @ == "tracking_number")')

-- list_lines --
-- What cards of lines tell now. Params: $1 their first cards' ids.
SELECT id, nickname, carrier, tracking_number
FROM card
WHERE root_card_id = ANY($1::text[])

-- list_card_answers --
-- Answers that showed a card of these lines, or another one of their accounts. Params: $1 the first
-- cards' ids, $2 methods that answer with a card.
SELECT principal, request_id, response
FROM request_record
WHERE method = ANY($2::text[]) AND response IS NOT NULL
    AND account_id IN (SELECT account_id FROM card WHERE root_card_id = ANY($1::text[]))
ORDER BY principal, request_id

-- rewrite_answers --
-- Replaces answers. Params, all arrays: $1 principal, $2 request_id, $3 response.
UPDATE request_record
SET response = rewritten.response
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS rewritten (principal, request_id, response)
WHERE request_record.principal = rewritten.principal
    AND request_record.request_id = rewritten.request_id

-- is_in_use --
-- Whether a person ever had an account or a card, or applied. Params: $1 id.
SELECT EXISTS (SELECT 1 FROM account WHERE owner_id = $1)
    OR EXISTS (SELECT 1 FROM card WHERE user_id = $1)
    OR EXISTS (SELECT 1 FROM application WHERE user_id = $1)
    OR EXISTS (SELECT 1 FROM account_user WHERE user_id = $1 AND state = 'ACTIVE')
    OR EXISTS (
        -- Cards that have gone to somebody else since.
        SELECT 1 FROM account_user
        JOIN card ON card.account_id = account_user.account_id
        JOIN change ON change.line_id = card.root_card_id
        WHERE account_user.user_id = $1
            AND change.fields @> jsonb_build_array(jsonb_build_array('user_id', $1::text))
    )

-- has_applications --
-- Whether a person has an application that is open, or is being fulfilled. Params: $1 id.
SELECT EXISTS (
    SELECT 1 FROM application
    WHERE user_id = $1 AND (state IN ('SUBMITTED', 'IN_REVIEW', 'PENDING_DOCUMENT')
        OR fulfilment IN ('OPEN_ACCOUNT', 'ISSUE_CARD', 'CONFIRM'))
)

-- erase_applications --
-- Destroys the keys of a person's applications, and how they are found. Params: $1 id.
UPDATE application SET data_key = '', person_hash = NULL, hash_key_id = NULL
WHERE user_id = $1

-- erase_documents --
-- Forgets what the documents of a person can be recognized by: who has one could show that it is
-- the same. Params: $1 id.
UPDATE application_document SET sha256 = decode(repeat('00', 32), 'hex')
WHERE application_id IN (SELECT id FROM application WHERE user_id = $1)

-- erase_disputes --
-- Destroys the keys of what a person said about charges. Params: $1 id.
UPDATE dispute SET data_key = '' WHERE user_id = $1

-- erase_dispute_documents --
-- The same digests of what a person handed in about charges. Params: $1 id.
UPDATE dispute_document SET sha256 = decode(repeat('00', 32), 'hex')
WHERE dispute_id IN (SELECT id FROM dispute WHERE user_id = $1)

-- list_invitation_answers --
-- Answers that showed to which addresses members of the companies were invited that a person was
-- invited to. Params: $1 id.
SELECT principal, request_id, response
FROM request_record
WHERE method = 'CreateInvitation' AND response IS NOT NULL
    AND account_id IN (SELECT company_id FROM company_member WHERE user_id = $1)
ORDER BY principal, request_id

-- erase_waivers --
-- Forgets what staff noted when they gave back what a person's accounts were charged.
-- Params: $1 id.
UPDATE charge_waiver SET note = ''
WHERE note <> '' AND account_id IN (SELECT id FROM account WHERE owner_id = $1)

-- list_waiver_answers --
-- Answers that showed such notes. Params: $1 id.
SELECT principal, request_id, response
FROM request_record
WHERE method IN ('WaiveFee', 'WaiveInterest') AND response IS NOT NULL
    AND account_id IN (SELECT id FROM account WHERE owner_id = $1)
ORDER BY principal, request_id

-- erase_invitations --
-- Forgets to which addresses a person was invited; returns the invitations. Params: $1 id.
UPDATE invitation SET email = ''
WHERE user_id = $1 AND company_id IN (SELECT company_id FROM company_member WHERE user_id = $1)
RETURNING id

-- insert_person_reveals --
-- Records that people are shown in full. Params: $1 user_ids, $2 principal, $3 method, $4 now.
INSERT INTO person_reveal (user_id, principal, method, create_time)
SELECT user_id, $2, $3, $4
FROM unnest($1::text[]) AS user_id

-- list_stale_people --
-- People under an older key than the current one, after an id: ids of keys sort by age. Params:
-- $1 key_id, $2 hash_key_id, $3 id, $4 limit.
SELECT id, key_wrapped, name, email, phone, address, birth_date, tax_id
FROM person
WHERE id > $3 AND (key_id < $1 OR hash_key_id < $2)
ORDER BY id
LIMIT $4

-- rewrap_person --
-- Wraps a person's key and hashes anew, unless somebody else has. Params: $1 id, $2 the wrapped key
-- before, $3 email before, $4 phone before, $5 tax_id before, $6 key_wrapped, $7 key_id,
-- $8 email_hash, $9 phone_hash, $10 tax_id_hash, $11 hash_key_id.
UPDATE person
SET key_wrapped = $6, key_id = $7, email_hash = $8, phone_hash = $9, tax_id_hash = $10,
    hash_key_id = $11
WHERE id = $1 AND key_wrapped = $2 AND email IS NOT DISTINCT FROM $3
    AND phone IS NOT DISTINCT FROM $4 AND tax_id IS NOT DISTINCT FROM $5
