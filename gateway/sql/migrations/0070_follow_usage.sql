-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- The API key that was shown; empty: none.
ALTER TABLE usage ADD COLUMN api_key_id text NOT NULL DEFAULT '';

-- Requests are followed in the order in which they were written.
CREATE INDEX usage_id ON usage (id);

-- migrate:down
