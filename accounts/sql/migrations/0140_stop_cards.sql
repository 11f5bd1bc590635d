-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Whether whoever has the card was suspended: then nobody uses it, whatever its state.
ALTER TABLE card ADD COLUMN holder_suspended boolean NOT NULL DEFAULT false;

-- migrate:down
