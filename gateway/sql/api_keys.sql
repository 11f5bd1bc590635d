-- select_api_key --
-- One key. Params: $1 id.
SELECT id, owner_id, display_name, state, scopes, allowed_networks, limit_per_minute, secret_hash,
    secret_key, previous_hash, previous_key, previous_expire_time, expire_time, version,
    create_time, update_time
FROM api_key
WHERE id = $1

-- select_api_key_for_update --
-- One key, locked for a change of it. Params: $1 id.
SELECT id, owner_id, display_name, state, scopes, allowed_networks, limit_per_minute, secret_hash,
    secret_key, previous_hash, previous_key, previous_expire_time, expire_time, version,
    create_time, update_time
FROM api_key
WHERE id = $1
FOR NO KEY UPDATE

-- list_api_keys --
-- Keys older than a position, newest first. Params: $1 create_time, $2 id, $3 limit, $4 owner_id or
-- NULL for all.
SELECT id, owner_id, display_name, state, scopes, allowed_networks, limit_per_minute, secret_hash,
    secret_key, previous_hash, previous_key, previous_expire_time, expire_time, version,
    create_time, update_time
FROM api_key
WHERE (create_time, id) < ($1, $2) AND ($4::text IS NULL OR owner_id = $4)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- select_merchant --
-- The merchant whose keys a user manages. Params: $1 user_id.
SELECT merchant_id
FROM credential
WHERE user_id = $1 AND state = 'ACTIVE' AND 'merchant' = ANY (roles)

-- lock_owner --
-- Makes those who create keys of one owner wait for each other. Params: $1 owner_id.
SELECT pg_advisory_xact_lock(hashtext('api_key'), hashtext($1))

-- count_api_keys --
-- Active keys of an owner. Params: $1 owner_id.
SELECT count(*) FROM api_key WHERE owner_id = $1 AND state = 'ACTIVE'

-- insert_api_key --
-- Records a new key. Params: $1 id, $2 owner_id, $3 display_name, $4 state, $5 scopes,
-- $6 allowed_networks, $7 limit_per_minute, $8 secret_hash, $9 secret_key, $10 expire_time,
-- $11 version, $12 create_time, $13 update_time.
INSERT INTO api_key (id, owner_id, display_name, state, scopes, allowed_networks, limit_per_minute,
    secret_hash, secret_key, expire_time, version, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- update_api_key --
-- Writes the next version of a key. Params: $1 id, $2 version, $3 state, $4 secret_hash,
-- $5 secret_key, $6 previous_hash, $7 previous_key, $8 previous_expire_time, $9 update_time.
UPDATE api_key
SET version = $2, state = $3, secret_hash = $4, secret_key = $5, previous_hash = $6,
    previous_key = $7, previous_expire_time = $8, update_time = $9
WHERE id = $1 AND version = $2 - 1
