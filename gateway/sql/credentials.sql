-- insert_credential --
-- Adds a user who can sign in; returns nothing if the address or the user is there already.
-- Params: $1 user_id, $2 email_hash, $3 email_key, $4 password_hash, $5 roles, $6 company_id,
-- $7 create_time, $8 merchant_id.
INSERT INTO credential (
    user_id, email_hash, email_key, password_hash, roles, company_id, merchant_id, state, version,
    create_time, update_time
)
VALUES ($1, $2, $3, $4, $5, $6, $8, 'ACTIVE', 1, $7, $7)
ON CONFLICT DO NOTHING
RETURNING true

-- select_credential --
-- One user. Params: $1 user_id.
SELECT
    user_id, email_hash, email_key, password_hash, roles, company_id, merchant_id, state, version,
    create_time, update_time, barred, person_version, email_version,
    EXISTS (
        SELECT FROM membership AS m
        WHERE m.user_id = credential.user_id AND m.company_id = credential.company_id
            AND NOT m.manages
    ) AS dismissed
FROM credential
WHERE user_id = $1

-- select_credential_for_update --
-- One user, locked for a change. Params: $1 user_id.
SELECT
    user_id, email_hash, email_key, password_hash, roles, company_id, merchant_id, state, version,
    create_time, update_time, barred, person_version, email_version,
    EXISTS (
        SELECT FROM membership AS m
        WHERE m.user_id = credential.user_id AND m.company_id = credential.company_id
            AND NOT m.manages
    ) AS dismissed
FROM credential
WHERE user_id = $1
FOR UPDATE

-- select_credential_of_email --
-- The user of an address, hashed with any version of the key. Params: $1 hashes.
SELECT
    user_id, email_hash, email_key, password_hash, roles, company_id, merchant_id, state, version,
    create_time, update_time, barred, person_version, email_version,
    EXISTS (
        SELECT FROM membership AS m
        WHERE m.user_id = credential.user_id AND m.company_id = credential.company_id
            AND NOT m.manages
    ) AS dismissed
FROM credential
WHERE email_hash = ANY ($1::bytea [])

-- update_credential --
-- Writes the next version of a user. Params: $1 user_id, $2 version, $3 password_hash, $4 roles,
-- $5 company_id, $6 state, $7 update_time, $8 merchant_id.
UPDATE credential
SET
    version = $2, password_hash = $3, roles = $4, company_id = $5, merchant_id = $8,
    state = $6, update_time = $7
WHERE user_id = $1 AND version = $2 - 1

-- bar_credential --
-- Writes the next version of a locked user, as a person's version says. Params: $1 user_id,
-- $2 version, $3 barred, $4 person_version, $5 update_time.
UPDATE credential
SET version = $2, barred = $3, person_version = $4, update_time = $5
WHERE user_id = $1 AND version = $2 - 1

-- set_email --
-- Writes the next version of a locked user, who signs in with another address. Params: $1 user_id,
-- $2 version, $3 email_hash, $4 email_key, $5 email_version, $6 update_time.
UPDATE credential
SET version = $2, email_hash = $3, email_key = $4, email_version = $5, update_time = $6
WHERE user_id = $1 AND version = $2 - 1

-- delete_identities --
-- Forgets who a user is elsewhere. Params: $1 user_id.
DELETE FROM identity WHERE user_id = $1

-- delete_external_identities --
-- The same, of the table before. Params: $1 user_id.
DELETE FROM external_identity WHERE user_id = $1

-- delete_credential --
-- Forgets a user, of whom nothing else is left. Params: $1 user_id.
DELETE FROM credential WHERE user_id = $1

-- rehash_credential --
-- Replaces hashes by newer ones of the same things, unless they have changed meanwhile.
-- Params: $1 user_id, $2 version, $3 email_hash, $4 email_key, $5 password_hash.
UPDATE credential
SET email_hash = $3, email_key = $4, password_hash = $5
WHERE user_id = $1 AND version = $2
