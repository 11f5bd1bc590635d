-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- The x-request-id of the call that a row is delivered for.
ALTER TABLE outbox ADD COLUMN trace_id text NOT NULL DEFAULT '';

-- migrate:down
