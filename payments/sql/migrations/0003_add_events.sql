-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

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
