-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Accounts whose owners were erased. The row is the queue, as of payments: due until their
-- processors have forgotten their funding sources. It stays: nothing is added to them any more.
CREATE TABLE erasure (
    account_id text PRIMARY KEY CHECK (account_id ~ '^acct_[0-9a-f]{34}$'),
    due_time timestamptz,
    -- How often it was tried in vain.
    attempts integer NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    finish_time timestamptz,
    CHECK ((due_time IS NULL) = (finish_time IS NOT NULL))
);

CREATE INDEX erasure_due ON erasure (due_time) WHERE due_time IS NOT NULL;

-- migrate:down
