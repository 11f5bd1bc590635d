-- lock_address --
-- Lets nobody else give an address to anybody until the commit. Params: $1 its hashes.
SELECT pg_advisory_xact_lock(hashtext('gateway.address'), hashtext(encode(sorted.hash, 'hex')))
FROM (SELECT hash FROM unnest($1::bytea []) AS hash ORDER BY hash) AS sorted

-- select_other_holder --
-- Whether somebody else has an address, or is about to. Params: $1 its hashes, $2 user_id, $3 now.
SELECT EXISTS (
    SELECT FROM credential
    WHERE email_hash = ANY ($1::bytea []) AND user_id <> $2
) OR EXISTS (
    SELECT FROM reserved_address
    WHERE email_hash = ANY ($1::bytea []) AND user_id <> $2 AND expire_time > $3
)

-- reserve_address --
-- Keeps an address for a user. Params: $1 user_id, $2 email_hash, $3 email_key, $4 expire_time.
INSERT INTO reserved_address (user_id, email_hash, email_key, expire_time)
VALUES ($1, $2, $3, $4)
ON CONFLICT (email_hash, user_id) DO UPDATE
SET expire_time = greatest(reserved_address.expire_time, excluded.expire_time)

-- release_address --
-- Keeps an address no longer. Params: $1 user_id, $2 its hashes.
DELETE FROM reserved_address
WHERE user_id = $1 AND email_hash = ANY ($2::bytea [])

-- delete_reservations --
-- Forgets some of the addresses that nobody was given in time. Params: $1 instant, $2 limit.
DELETE FROM reserved_address
WHERE (email_hash, user_id) IN (
    SELECT email_hash, user_id FROM reserved_address
    WHERE expire_time < $1
    ORDER BY expire_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
