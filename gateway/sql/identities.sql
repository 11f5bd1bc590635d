-- select_identity --
-- The user of an identity, hashed with any version of the key. Params: $1 hashes.
SELECT user_id FROM identity WHERE subject_hash = ANY ($1::bytea [])

-- insert_identity --
-- Links an identity; nothing if it is somebody's, or the user has another one of this issuer.
-- Params: $1 issuer, $2 subject_hash, $3 subject_key, $4 user_id, $5 create_time.
INSERT INTO identity (issuer, subject_hash, subject_key, user_id, create_time)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING true

-- list_identities --
-- What a user can sign in by; at most one of each issuer. Params: $1 user_id.
SELECT issuer, create_time FROM identity WHERE user_id = $1

-- delete_identity --
-- Unlinks the identity of an issuer. Params: $1 user_id, $2 issuer.
DELETE FROM identity WHERE user_id = $1 AND issuer = $2

-- delete_identities --
-- Unlinks all. Params: $1 user_id.
DELETE FROM identity WHERE user_id = $1
