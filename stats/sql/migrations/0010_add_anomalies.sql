-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Days of accounts for which decisions have been counted and that nobody has looked at since: one
-- row for each page of entries, deleted by whoever looks.
CREATE TABLE touched (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_ids text[] NOT NULL,
    days date[] NOT NULL,
    -- Where; '': nobody knows.
    countries text[] NOT NULL
);

-- On which day an account was used in a country for the first time.
CREATE TABLE account_country (
    account_id text NOT NULL,
    country text NOT NULL,
    first_day date NOT NULL,
    PRIMARY KEY (account_id, country)
);

-- What was unusual: never changed, each kind once for a day of an account. `body` is
-- holdfast.stats.v1.Anomaly.
CREATE TABLE anomaly (
    id text PRIMARY KEY CHECK (id ~ '^anom_[0-9a-f]{34}$'),
    account_id text NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE INDEX anomaly_of_account ON anomaly (account_id, create_time DESC, id DESC);
CREATE INDEX anomaly_newest ON anomaly (create_time DESC, id DESC);

-- What happened, for `notify` (runtime/events/outbox.py). `number` is given when it is handed over:
-- in the order of the ids among those that are committed.
CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint,
    type text NOT NULL,
    account_id text NOT NULL,
    owner_id text NOT NULL,
    user_id text NOT NULL,
    data json NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE UNIQUE INDEX event_number ON event (number);
CREATE INDEX event_unnumbered ON event (id) WHERE number IS NULL;

-- The last number that was given.
CREATE TABLE event_head (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    last bigint NOT NULL
);
INSERT INTO event_head (last) VALUES (0);

-- migrate:down
