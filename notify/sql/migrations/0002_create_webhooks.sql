-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Answers by the caller's request id: the same request gets the same answer.
CREATE TABLE request_record (
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    method text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    response bytea,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);
CREATE INDEX request_record_age ON request_record (create_time);

-- Where companies want to be told. Secrets are sealed (runtime/key_ring.py). `version` grows by one
-- with every change that somebody makes.
CREATE TABLE webhook_endpoint (
    id text PRIMARY KEY CHECK (id ~ '^whe_[0-9a-f]{34}$'),
    -- '': whoever runs the installation, who is told everything.
    owner_id text NOT NULL,
    url text NOT NULL CHECK (length(url) <= 2048),
    description text NOT NULL CHECK (length(description) <= 200),
    types text[] NOT NULL CHECK (cardinality(types) <= 20),
    state text NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED', 'DISABLED', 'DELETED')),
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_expire_time timestamptz,
    -- Since when nothing was taken; NULL: the last attempt succeeded.
    failing_since timestamptz,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_expire_time IS NULL))
);
CREATE INDEX webhook_endpoint_newest ON webhook_endpoint (create_time DESC, id DESC)
    WHERE state <> 'DELETED';
CREATE INDEX webhook_endpoint_owner ON webhook_endpoint (owner_id, create_time DESC, id DESC)
    WHERE state <> 'DELETED';

-- An event on its way to an endpoint. `tries` counts attempts since it was last asked for,
-- `attempts` all of them.
CREATE TABLE webhook_delivery (
    endpoint_id text NOT NULL,
    event_number bigint NOT NULL,
    -- One at a time is under way to an endpoint: an account, or an owner.
    order_key text NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    tries integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    due_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (endpoint_id, event_number)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, due_time, event_number)
    WHERE state = 'PENDING';
CREATE INDEX webhook_delivery_age ON webhook_delivery (create_time);

-- What an endpoint said.
CREATE TABLE webhook_attempt (
    endpoint_id text NOT NULL,
    event_number bigint NOT NULL,
    number integer NOT NULL,
    start_time timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    -- 0: it did not answer; `error` says why.
    status integer NOT NULL,
    error text NOT NULL,
    -- The beginning of its answer.
    response text NOT NULL CHECK (length(response) <= 1024),
    PRIMARY KEY (endpoint_id, event_number, number)
);
CREATE INDEX webhook_attempt_age ON webhook_attempt (start_time);

-- migrate:down
