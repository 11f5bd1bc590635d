-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Where each account stood at the end of each day (billing/tape.py). Rows are never changed: one
-- that comes out otherwise is another version.
CREATE TABLE loan_tape (
    day date NOT NULL,
    account_id text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    body text NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (day, account_id, version)
);

-- Days of which every account has its row.
CREATE TABLE loan_tape_day (
    day date PRIMARY KEY,
    create_time timestamptz NOT NULL
);

-- migrate:down
