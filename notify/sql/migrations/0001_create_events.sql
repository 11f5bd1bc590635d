-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How far the ledger has been followed (runtime/follower.py).
CREATE TABLE ledger_position (
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    pseq bigint NOT NULL CHECK (pseq >= 0)
);
INSERT INTO ledger_position SELECT number, 0 FROM generate_series(0, 63) AS number;

-- How far the events of another service have been taken in.
CREATE TABLE feed_position (
    source text PRIMARY KEY,
    number bigint NOT NULL CHECK (number >= 0)
);

-- Owners of accounts, as accounts has told. An account never changes its owner.
CREATE TABLE account_owner (
    account_id text PRIMARY KEY,
    owner_id text NOT NULL
);

-- The last number that was given to an event of an account, or of an owner.
CREATE TABLE sequence_head (
    key text PRIMARY KEY,
    last bigint NOT NULL
);

-- What happened, in the order in which it became known: whoever adds events holds a lock, so that
-- numbers become visible in their order.
CREATE TABLE event (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE CHECK (id ~ '^evt_[0-9a-f]{34}$'),
    type text NOT NULL,
    sequence bigint NOT NULL,
    -- '': none; an owner is unknown if accounts does not know the account.
    account_id text NOT NULL,
    owner_id text NOT NULL,
    user_id text NOT NULL,
    data json NOT NULL,
    create_time timestamptz NOT NULL,
    -- It did not happen: somebody tries out what they have built.
    test boolean NOT NULL
);

CREATE INDEX event_account ON event (account_id, number);
CREATE INDEX event_owner ON event (owner_id, number);
CREATE INDEX event_user ON event (user_id, number);
CREATE INDEX event_age ON event (create_time);

-- migrate:down
