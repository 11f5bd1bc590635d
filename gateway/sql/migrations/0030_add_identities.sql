-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Who a user is elsewhere. The subject is a keyed hash: issuers' names for people are theirs.
CREATE TABLE identity (
    -- `iss` of the ID tokens: an issuer that is configured under another name is the same.
    issuer text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 256),
    -- HMAC-SHA256 of issuer and subject, and the version of the key it was made with.
    subject_hash bytea NOT NULL CHECK (octet_length(subject_hash) = 32),
    subject_key text NOT NULL,
    user_id text NOT NULL REFERENCES credential,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (subject_hash),
    -- One identity of each issuer: whoever links a second one is more likely not its owner.
    UNIQUE (user_id, issuer)
);

-- migrate:down
