-- migrate:up

-- Who can sign in, and as what. Neither the address nor anything else that names a person: profiles
-- are the accounts service's. `version` grows by one with every change.
CREATE TABLE credential (
    user_id text PRIMARY KEY CHECK (user_id ~ '^usr_[0-9a-f]{34}$'),
    -- HMAC-SHA256 of the address, and the version of the key it was made with. None for those who
    -- sign in elsewhere.
    email_hash bytea UNIQUE CHECK (octet_length(email_hash) = 32),
    email_key text,
    -- Argon2id with its parameters. None for those who sign in elsewhere.
    password_hash text CHECK (length(password_hash) BETWEEN 1 AND 512),
    roles text[] NOT NULL
        CHECK (roles <@ '{admin,manager,cardholder,merchant,auditor}' AND cardinality(roles) > 0),
    company_id text CHECK (company_id ~ '^co_[0-9a-f]{34}$'),
    state text NOT NULL CHECK (state IN ('ACTIVE', 'DISABLED')),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK ((email_hash IS NULL) = (email_key IS NULL)),
    CHECK (password_hash IS NULL OR email_hash IS NOT NULL),
    -- A manager manages one company.
    CHECK (company_id IS NOT NULL OR NOT 'manager' = ANY (roles))
);

-- Answers by the caller's request id: the same request gets the same answer.
CREATE TABLE request_record (
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    method text NOT NULL,
    -- HMAC-SHA256 of the request without its id: it may hold a password, so the hash is keyed.
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- The answer; filled in by the transaction that inserts the row.
    response bytea,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);

CREATE INDEX request_record_age ON request_record (create_time);

-- Profiles that accounts has yet to be told (runtime/outbox.py); payloads are encrypted.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    payload bytea NOT NULL,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    due_time timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX outbox_key ON outbox (key, id);

-- migrate:down
