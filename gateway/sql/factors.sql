-- upsert_factor --
-- Begins a second factor in place of one that was never confirmed; nothing if one is confirmed.
-- Params: $1 user_id, $2 secret (sealed), $3 create_time.
INSERT INTO second_factor (user_id, secret, confirmed, last_step, create_time)
VALUES ($1, $2, false, 0, $3)
ON CONFLICT (user_id) DO UPDATE SET secret = $2, last_step = 0, create_time = $3
WHERE NOT second_factor.confirmed
RETURNING true

-- select_factor --
-- The second factor of a user. Params: $1 user_id.
SELECT secret, confirmed, last_step FROM second_factor WHERE user_id = $1

-- use_step --
-- Takes a time step, once; nothing if it or a later one was used. Params: $1 user_id, $2 step.
UPDATE second_factor SET last_step = $2 WHERE user_id = $1 AND last_step < $2 RETURNING true

-- confirm_factor --
-- From now on it is asked for. Params: $1 user_id, $2 confirm_time.
UPDATE second_factor SET confirmed = true, confirm_time = $2 WHERE user_id = $1

-- insert_recovery_codes --
-- Adds codes. Params: $1 user_id, $2 hashes.
INSERT INTO recovery_code (user_id, code_hash) SELECT $1, unnest($2::bytea [])

-- use_recovery_code --
-- Uses up a code, hashed with any version of the key. Params: $1 user_id, $2 hashes.
DELETE FROM recovery_code WHERE user_id = $1 AND code_hash = ANY ($2::bytea []) RETURNING true

-- delete_recovery_codes --
-- Forgets the codes of a user. Params: $1 user_id.
DELETE FROM recovery_code WHERE user_id = $1

-- delete_factor --
-- Forgets the second factor of a user. Params: $1 user_id.
DELETE FROM second_factor WHERE user_id = $1
