-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- The merchant whose API keys a user of role merchant makes and ends.
ALTER TABLE credential
ADD COLUMN merchant_id text CHECK (merchant_id ~ '^mer_[A-Za-z0-9_-]{1,60}$');

-- migrate:down
