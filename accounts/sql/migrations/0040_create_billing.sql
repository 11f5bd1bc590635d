-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How far billing has followed the ledger (runtime/follower.py).
CREATE TABLE ledger_position (
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    pseq bigint NOT NULL CHECK (pseq >= 0)
);

INSERT INTO ledger_position SELECT number, 0 FROM generate_series(0, 63) AS number;

-- Accounts of programmes that have terms. `state` is what the rules go on from (billing/stored.py);
-- what is searched for stands beside it.
CREATE TABLE billing_account (
    account_id text PRIMARY KEY REFERENCES account (id),
    phase text NOT NULL CHECK (phase IN ('NEW', 'RUNNING', 'POSTING', 'ENDED')),
    -- When there is something to do; NULL: not before something comes in.
    work_time timestamptz,
    bucket text NOT NULL DEFAULT 'CURRENT',
    state jsonb
);

CREATE INDEX billing_account_due ON billing_account (work_time) WHERE work_time IS NOT NULL;
CREATE INDEX billing_account_late ON billing_account (bucket) WHERE bucket <> 'CURRENT';

-- Ledger entries that changed what an account owes, each once. `number` is the statement that it
-- stands on, and never changes once it is set.
CREATE TABLE billing_entry (
    entry_id text PRIMARY KEY,
    account_id text NOT NULL,
    seq bigint NOT NULL,
    type text NOT NULL,
    change text NOT NULL CHECK (change IN ('DEBIT', 'CREDIT', 'PAYMENT', 'RETURN')),
    category text NOT NULL CHECK (category IN ('PURCHASE', 'CASH', 'FEE', 'INTEREST')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    value_time timestamptz NOT NULL,
    post_time timestamptz NOT NULL,
    card_id text NOT NULL,
    user_id text NOT NULL,
    authorization_id text NOT NULL,
    payment_id text NOT NULL,
    related_entry_id text NOT NULL,
    descriptor text NOT NULL,
    category_code text NOT NULL,
    is_foreign boolean NOT NULL,
    number integer
);

CREATE INDEX billing_entry_open ON billing_entry (account_id, seq) WHERE number IS NULL;
CREATE INDEX billing_entry_number ON billing_entry (account_id, number, seq);

-- What billing has the ledger post: once per request id. `entry_id` is filled in when the entry
-- comes back from the ledger.
CREATE TABLE billing_posting (
    account_id text NOT NULL REFERENCES billing_account (account_id),
    request_id text NOT NULL,
    charge text NOT NULL,
    change text NOT NULL CHECK (change IN ('DEBIT', 'CREDIT')),
    category text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency_code text NOT NULL,
    value_time timestamptz NOT NULL,
    number integer,
    related_entry_id text NOT NULL,
    interest_on text,
    posted boolean NOT NULL DEFAULT false,
    entry_id text,
    due_time timestamptz NOT NULL,
    PRIMARY KEY (account_id, request_id)
);

CREATE INDEX billing_posting_due ON billing_posting (due_time) WHERE NOT posted;
CREATE INDEX billing_posting_number ON billing_posting (account_id, number);

-- Statements, numbered within their account, never changed once they are issued. `body` is
-- holdfast.accounts.v1.Statement, serialized; `before` is what the cycle is computed from again.
CREATE TABLE statement (
    account_id text NOT NULL REFERENCES billing_account (account_id),
    number integer NOT NULL CHECK (number >= 1),
    id text NOT NULL UNIQUE CHECK (id ~ '^stmt_[0-9a-f]{34}$'),
    cycle_start date NOT NULL,
    cycle_end date NOT NULL,
    due_date date NOT NULL,
    opening_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    terms_version bigint NOT NULL,
    before jsonb NOT NULL,
    body bytea NOT NULL,
    create_time timestamptz NOT NULL,
    -- NULL: its interest and fees are not all in the ledger yet.
    issue_time timestamptz,
    PRIMARY KEY (account_id, number)
);

CREATE INDEX statement_day ON statement (account_id, cycle_end);

-- Each change of how late an account is.
CREATE TABLE delinquency_change (
    account_id text NOT NULL REFERENCES billing_account (account_id),
    change_time timestamptz NOT NULL,
    bucket_before text NOT NULL,
    bucket text NOT NULL,
    days_past_due integer NOT NULL,
    past_due_minor bigint NOT NULL,
    PRIMARY KEY (account_id, change_time, bucket)
);

-- migrate:down
