-- migrate:up

-- Accounts: the credit limit that cards spend from. `version` grows by one with every change; the
-- authorizer ignores what is older than what it has.
CREATE TABLE account (
    id text PRIMARY KEY CHECK (id ~ '^acct_[0-9a-f]{34}$'),
    owner_id text NOT NULL CHECK (owner_id ~ '^(usr|co)_[0-9a-f]{34}$'),
    programme_id text NOT NULL CHECK (programme_id ~ '^prog_[a-z0-9_]{1,32}$'),
    parent_account_id text REFERENCES account (id),
    state text NOT NULL CHECK (state IN ('OPEN', 'CLOSING', 'CLOSED')),
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    credit_limit_minor bigint NOT NULL
        CHECK (credit_limit_minor >= 0 AND credit_limit_minor < 9007199254740992),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    -- An account lives in its owner's partition: the two hex digits after the prefix.
    CHECK (substr(id, 6, 2) = left(split_part(owner_id, '_', 2), 2)),
    CHECK (substr(id, 6, 2) = substr(parent_account_id, 6, 2)),
    CHECK (id <> parent_account_id)
);

CREATE INDEX account_newest ON account (create_time DESC, id DESC);
CREATE INDEX account_newest_of_owner ON account (owner_id, create_time DESC, id DESC);
CREATE INDEX account_parent ON account (parent_account_id) WHERE parent_account_id IS NOT NULL;

-- Cards. `root_card_id` is the first card of a line of replacements: counters belong to the line.
CREATE TABLE card (
    id text PRIMARY KEY CHECK (id ~ '^card_[0-9a-f]{34}$'),
    account_id text NOT NULL REFERENCES account (id),
    root_card_id text NOT NULL REFERENCES card (id),
    kind text NOT NULL CHECK (kind IN ('VIRTUAL', 'PHYSICAL', 'SINGLE_USE')),
    state text NOT NULL CHECK (state IN ('INACTIVE', 'ACTIVE', 'FROZEN', 'CLOSED')),
    last4 text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    expiry_month smallint NOT NULL CHECK (expiry_month BETWEEN 1 AND 12),
    expiry_year smallint NOT NULL CHECK (expiry_year BETWEEN 2000 AND 2999),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK (substr(id, 6, 2) = substr(account_id, 6, 2)),
    CHECK (substr(id, 6, 2) = substr(root_card_id, 6, 2))
);

CREATE INDEX card_newest_of_account ON card (account_id, create_time DESC, id DESC);
CREATE INDEX card_root ON card (root_card_id);

-- Answers by the caller's request id: the same request gets the same answer.
CREATE TABLE request_record (
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    method text NOT NULL,
    -- SHA-256 of the request without its id.
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- The resource as it was answered; both are filled in by the transaction that inserts the row.
    response bytea,
    account_id text,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);

CREATE INDEX request_record_age ON request_record (create_time);

-- What the authorizer has yet to be told (runtime/outbox.py).
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
