-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Numbers that cards had before their holder was erased, so that none is given to anybody again:
-- HMAC-SHA-256 of the number with a key of its own. Nothing says whose it was, nor when.
CREATE TABLE used_number (
    pan_hash bytea PRIMARY KEY CHECK (octet_length(pan_hash) = 32)
);

-- migrate:down
