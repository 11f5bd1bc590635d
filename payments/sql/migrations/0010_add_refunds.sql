-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What of a payment was given back.
ALTER TABLE payment ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0
    CHECK (refunded_minor >= 0);

-- Credit balances that are paid back, each to one payment. The row is the queue, as of payments;
-- what waits for staff (CONFIRM) is never due.
CREATE TABLE refund (
    id text PRIMARY KEY CHECK (id ~ '^rfd_[0-9a-f]{34}$'),
    account_id text NOT NULL CHECK (account_id ~ '^acct_[0-9a-f]{34}$'),
    payment_id text NOT NULL REFERENCES payment (id),
    source text NOT NULL,
    state text NOT NULL,
    step text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0 AND amount_minor < 9007199254740992),
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    send_by date NOT NULL,
    reason text NOT NULL,
    reference text NOT NULL,
    debited boolean NOT NULL,
    ask_time timestamptz,
    due_time timestamptz,
    -- How often the step was tried in vain.
    attempts integer NOT NULL DEFAULT 0,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK (substr(id, 5, 2) = substr(account_id, 6, 2)),
    CHECK ((step IN ('NONE', 'CONFIRM')) = (due_time IS NULL))
);

CREATE INDEX refund_newest ON refund (account_id, create_time DESC, id DESC);
CREATE INDEX refund_payment ON refund (payment_id);
CREATE INDEX refund_due ON refund (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX refund_to_send ON refund (create_time DESC, id DESC) WHERE step = 'CONFIRM';
CREATE UNIQUE INDEX refund_processed ON refund (source, reference) WHERE reference <> '';

-- Each version of each refund: what it became, when and why. Never altered.
CREATE TABLE refund_change (
    refund_id text NOT NULL REFERENCES refund (id),
    version bigint NOT NULL,
    state text NOT NULL,
    step text NOT NULL,
    reason text NOT NULL,
    change_time timestamptz NOT NULL,
    PRIMARY KEY (refund_id, version)
);

-- What was given back to deposits: once per refund.
CREATE TABLE deposit_refund (
    refund_id text PRIMARY KEY,
    account_id text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    refund_time timestamptz NOT NULL
);

-- migrate:down
