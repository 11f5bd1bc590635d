-- upsert_reset --
-- A user's only token. Params: $1 user_id, $2 token_hash, $3 version, $4 expire_time.
INSERT INTO password_reset (user_id, token_hash, version, expire_time)
VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE
SET token_hash = excluded.token_hash, version = excluded.version,
    expire_time = excluded.expire_time

-- take_reset --
-- Uses a token up. Params: $1 token_hash.
DELETE FROM password_reset
WHERE token_hash = $1
RETURNING user_id, version, expire_time
