-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Which accounts a user shares.
CREATE INDEX account_user_accounts ON account_user (user_id) WHERE state = 'ACTIVE';

-- migrate:down
