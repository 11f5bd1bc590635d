-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Addresses that accounts is about to give to somebody: nobody else registers them, nor is given
-- them, until then.
CREATE TABLE reserved_address (
    user_id text NOT NULL REFERENCES credential ON DELETE CASCADE,
    -- As in credential.
    email_hash bytea NOT NULL CHECK (octet_length(email_hash) = 32),
    email_key text NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (email_hash, user_id)
);

CREATE INDEX reserved_address_user ON reserved_address (user_id);
CREATE INDEX reserved_address_age ON reserved_address (expire_time);

-- migrate:down
