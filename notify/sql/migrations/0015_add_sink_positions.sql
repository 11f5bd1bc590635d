-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How far a sink has come: it has every event up to this number. A sink that is configured keeps
-- what it does not have yet from being forgotten.
CREATE TABLE sink_position (
    sink text PRIMARY KEY CHECK (length(sink) BETWEEN 1 AND 300),
    number bigint NOT NULL CHECK (number >= 0)
);

-- migrate:down
