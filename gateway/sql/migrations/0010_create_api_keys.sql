-- migrate:up

-- Keys of merchants and partners. A secret is kept as HMAC-SHA256, with the version of the key that
-- it was made with (runtime/key_ring.py). `version` grows by one with every change.
CREATE TABLE api_key (
    id text PRIMARY KEY CHECK (id ~ '^key_[0-9a-f]{34}$'),
    owner_id text NOT NULL CHECK (owner_id ~ '^mer_[A-Za-z0-9_-]{1,60}$'),
    display_name text NOT NULL CHECK (length(display_name) <= 100),
    state text NOT NULL CHECK (state IN ('ACTIVE', 'REVOKED')),
    scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 64),
    allowed_networks text[] NOT NULL CHECK (cardinality(allowed_networks) <= 32),
    -- 0: as many as everybody.
    limit_per_minute integer NOT NULL CHECK (limit_per_minute BETWEEN 0 AND 6000),
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    secret_key text NOT NULL,
    -- The secret before the last rotation, while it works.
    previous_hash bytea CHECK (octet_length(previous_hash) = 32),
    previous_key text,
    previous_expire_time timestamptz,
    expire_time timestamptz,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK ((previous_hash IS NULL) = (previous_key IS NULL)),
    CHECK ((previous_hash IS NULL) = (previous_expire_time IS NULL))
);

CREATE INDEX api_key_newest ON api_key (create_time DESC, id DESC);
CREATE INDEX api_key_owner ON api_key (owner_id, create_time DESC, id DESC);

-- migrate:down
