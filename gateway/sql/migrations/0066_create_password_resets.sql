-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What resets a password: the last token that was mailed, hashed. It is worth nothing once its user
-- has another version.
CREATE TABLE password_reset (
    user_id text PRIMARY KEY REFERENCES credential ON DELETE CASCADE,
    -- SHA-256 of 256 random bits.
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    -- Of the user, when it was made.
    version bigint NOT NULL,
    expire_time timestamptz NOT NULL
);

-- migrate:down
