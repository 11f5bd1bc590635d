-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Where the money comes from. `token` and `customer` are what its processor knows it by: numbers of
-- cards and bank accounts are never here.
CREATE TABLE funding_source (
    id text PRIMARY KEY CHECK (id ~ '^src_[0-9a-f]{34}$'),
    account_id text NOT NULL CHECK (account_id ~ '^acct_[0-9a-f]{34}$'),
    source text NOT NULL,
    state text NOT NULL,
    is_default boolean NOT NULL,
    display_name text NOT NULL,
    token text NOT NULL,
    customer text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK (substr(id, 5, 2) = substr(account_id, 6, 2)),
    CHECK (state = 'VERIFIED' OR NOT is_default)
);

CREATE INDEX funding_source_newest ON funding_source (account_id, create_time DESC, id DESC);
CREATE UNIQUE INDEX funding_source_default ON funding_source (account_id) WHERE is_default;

-- Payments. The row is the queue: `step` is what is to be done next, `due_time` when. A worker that
-- takes a row moves `due_time` on; if it dies, another takes it then.
CREATE TABLE payment (
    id text PRIMARY KEY CHECK (id ~ '^pay_[0-9a-f]{34}$'),
    account_id text NOT NULL CHECK (account_id ~ '^acct_[0-9a-f]{34}$'),
    state text NOT NULL,
    step text NOT NULL,
    source text NOT NULL,
    funding_source_id text REFERENCES funding_source (id),
    basis text NOT NULL,
    amount_minor bigint CHECK (amount_minor > 0 AND amount_minor < 9007199254740992),
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    cause text NOT NULL,
    time_zone text NOT NULL,
    scheduled_date date,
    repeats text NOT NULL,
    end_date date,
    series_id text NOT NULL,
    series_date date,
    reason text NOT NULL,
    processor_reference text NOT NULL,
    bank_reference text NOT NULL,
    hold_days smallint NOT NULL CHECK (hold_days BETWEEN 0 AND 30),
    receive_time timestamptz,
    release_time timestamptz,
    released boolean NOT NULL,
    going_back boolean NOT NULL,
    charge_time timestamptz,
    due_time timestamptz,
    -- How often the step was tried in vain.
    attempts integer NOT NULL DEFAULT 0,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK (substr(id, 5, 2) = substr(account_id, 6, 2)),
    CHECK ((step = 'NONE') = (due_time IS NULL)),
    CHECK (amount_minor IS NOT NULL OR state IN ('SCHEDULED', 'CANCELED', 'FAILED'))
);

CREATE INDEX payment_newest ON payment (account_id, create_time DESC, id DESC);
CREATE INDEX payment_due ON payment (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX payment_open ON payment (account_id) WHERE step <> 'NONE';
CREATE INDEX payment_credited ON payment (account_id, receive_time) WHERE state = 'SUCCEEDED';
CREATE UNIQUE INDEX payment_transfer ON payment (source, bank_reference)
    WHERE bank_reference <> '';
CREATE UNIQUE INDEX payment_processed ON payment (source, processor_reference)
    WHERE processor_reference <> '';

-- Each version of each payment: what it became, when and why. Never altered.
CREATE TABLE payment_change (
    payment_id text NOT NULL REFERENCES payment (id),
    version bigint NOT NULL,
    state text NOT NULL,
    step text NOT NULL,
    reason text NOT NULL,
    change_time timestamptz NOT NULL,
    PRIMARY KEY (payment_id, version)
);

-- What is paid by itself; the row is the queue, as of payments.
CREATE TABLE autopay (
    account_id text PRIMARY KEY CHECK (account_id ~ '^acct_[0-9a-f]{34}$'),
    enabled boolean NOT NULL,
    basis text NOT NULL,
    amount_minor bigint CHECK (amount_minor > 0),
    currency_code text NOT NULL,
    days_before_due smallint NOT NULL CHECK (days_before_due BETWEEN 0 AND 20),
    funding_source_id text REFERENCES funding_source (id),
    last_number integer NOT NULL,
    due_time timestamptz,
    version bigint NOT NULL CHECK (version >= 1),
    CHECK (enabled = (due_time IS NOT NULL)),
    CHECK (NOT enabled OR funding_source_id IS NOT NULL)
);

CREATE INDEX autopay_due ON autopay (due_time) WHERE due_time IS NOT NULL;

-- How long payments of an account are held, where it is not as the settings say.
CREATE TABLE hold_days (
    account_id text NOT NULL,
    source text NOT NULL,
    days smallint NOT NULL CHECK (days BETWEEN 0 AND 30),
    PRIMARY KEY (account_id, source)
);

-- Deposits that the issuer keeps itself, and what was paid from them: once per payment.
CREATE TABLE deposit (
    account_id text PRIMARY KEY,
    currency_code text NOT NULL,
    balance_minor bigint NOT NULL
        CHECK (balance_minor >= 0 AND balance_minor < 9007199254740992)
);

CREATE TABLE deposit_charge (
    payment_id text PRIMARY KEY,
    account_id text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    -- False: the deposit did not have it, and nothing was taken.
    taken boolean NOT NULL,
    -- True: it was given back.
    returned boolean NOT NULL DEFAULT false,
    charge_time timestamptz NOT NULL
);

-- Answers by the caller's request id: the same request gets the same answer.
CREATE TABLE request_record (
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    method text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    response bytea,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);

CREATE INDEX request_record_oldest ON request_record (create_time);

-- migrate:down
