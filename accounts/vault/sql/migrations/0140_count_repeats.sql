-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How often the same request has shown the number again.
ALTER TABLE reveal ADD COLUMN repeats integer NOT NULL DEFAULT 0 CHECK (repeats >= 0);

-- migrate:down
