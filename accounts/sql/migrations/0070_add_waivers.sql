-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Fees and interest that staff gave back, each with its posting.
CREATE TABLE charge_waiver (
    account_id text NOT NULL,
    request_id text NOT NULL,
    entry_id text NOT NULL REFERENCES billing_entry (entry_id),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    reason text NOT NULL CHECK (reason IN ('GOODWILL', 'ERROR', 'HARDSHIP', 'LEGAL')),
    note text NOT NULL,
    principal text NOT NULL,
    create_time timestamptz NOT NULL,
    -- The account's state knows of it: it is the late fee of the cycle that ran.
    in_state boolean NOT NULL,
    PRIMARY KEY (account_id, request_id),
    FOREIGN KEY (account_id, request_id) REFERENCES billing_posting (account_id, request_id)
);

CREATE INDEX charge_waiver_entry ON charge_waiver (account_id, entry_id);

-- Nothing was ever looked for by it.
DROP INDEX billing_account_late;

-- migrate:down
