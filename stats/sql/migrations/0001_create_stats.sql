-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How far the ledger has been followed (runtime/follower.py).
CREATE TABLE ledger_position (
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    pseq bigint NOT NULL CHECK (pseq >= 0)
);
INSERT INTO ledger_position SELECT number, 0 FROM generate_series(0, 63) AS number;

-- In which timezone the days of an account are counted: never changed, so that counting again
-- counts the same.
CREATE TABLE account_zone (
    account_id text PRIMARY KEY,
    time_zone text NOT NULL
);

-- From which entry of the company's partition on a member counts for a department; '': for none.
CREATE TABLE member_department (
    company_id text NOT NULL,
    user_id text NOT NULL,
    from_pseq bigint NOT NULL,
    department_id text NOT NULL,
    PRIMARY KEY (company_id, user_id, from_pseq)
);

-- What merchants were called first.
CREATE TABLE merchant (
    key text PRIMARY KEY,
    name text NOT NULL
);

-- What happened on a day to a subject: an account, card, user, company, department or programme.
-- Only the counter of a partition of the ledger writes its rows.
CREATE TABLE live_total (
    subject_id text NOT NULL,
    day date NOT NULL,
    currency text NOT NULL,
    partition smallint NOT NULL,
    authorized_count bigint NOT NULL,
    authorized_minor bigint NOT NULL,
    reversed_count bigint NOT NULL,
    reversed_minor bigint NOT NULL,
    expired_count bigint NOT NULL,
    expired_minor bigint NOT NULL,
    declined_count bigint NOT NULL,
    purchase_count bigint NOT NULL,
    purchase_minor bigint NOT NULL,
    refund_count bigint NOT NULL,
    refund_minor bigint NOT NULL,
    payment_count bigint NOT NULL,
    payment_minor bigint NOT NULL,
    fee_count bigint NOT NULL,
    fee_minor bigint NOT NULL,
    interest_count bigint NOT NULL,
    interest_minor bigint NOT NULL,
    adjustment_count bigint NOT NULL,
    adjustment_minor bigint NOT NULL,
    correction_count bigint NOT NULL,
    largest_minor bigint NOT NULL,
    corrected_ms bigint NOT NULL,
    PRIMARY KEY (subject_id, day, currency, partition)
) PARTITION BY RANGE (day);
CREATE TABLE live_total_before PARTITION OF live_total
    FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE live_total_after PARTITION OF live_total
    FOR VALUES FROM ('2033-01-01') TO (MAXVALUE);
DO $$
BEGIN
    FOR year IN 2024..2032 LOOP
        EXECUTE format(
            'CREATE TABLE live_total_%s PARTITION OF live_total FOR VALUES FROM (%L) TO (%L)',
            year, make_date(year, 1, 1), make_date(year + 1, 1, 1)
        );
    END LOOP;
END $$;

-- The same by everything that it is broken down by. `digest` stands for all of it.
CREATE TABLE live_cell (
    digest bytea NOT NULL,
    day date NOT NULL,
    account_id text NOT NULL,
    card_id text NOT NULL,
    user_id text NOT NULL,
    company_id text NOT NULL,
    department_id text NOT NULL,
    programme_id text NOT NULL,
    currency text NOT NULL,
    merchant text NOT NULL,
    category text NOT NULL,
    country text NOT NULL,
    channel text NOT NULL,
    merchant_currency text NOT NULL,
    decline_reason text NOT NULL,
    authorized_count bigint NOT NULL,
    authorized_minor bigint NOT NULL,
    declined_count bigint NOT NULL,
    purchase_count bigint NOT NULL,
    purchase_minor bigint NOT NULL,
    refund_count bigint NOT NULL,
    refund_minor bigint NOT NULL,
    PRIMARY KEY (account_id, day, digest)
) PARTITION BY RANGE (day);
CREATE INDEX live_cell_card ON live_cell (card_id, day) WHERE card_id <> '';
CREATE INDEX live_cell_user ON live_cell (user_id, day) WHERE user_id <> '';
CREATE INDEX live_cell_company ON live_cell (company_id, day) WHERE company_id <> '';
CREATE INDEX live_cell_department ON live_cell (department_id, day) WHERE department_id <> '';
CREATE INDEX live_cell_programme ON live_cell (programme_id, day) WHERE programme_id <> '';
CREATE TABLE live_cell_before PARTITION OF live_cell
    FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE live_cell_after PARTITION OF live_cell
    FOR VALUES FROM ('2033-01-01') TO (MAXVALUE);
DO $$
BEGIN
    FOR year IN 2024..2032 LOOP
        EXECUTE format(
            'CREATE TABLE live_cell_%s PARTITION OF live_cell FOR VALUES FROM (%L) TO (%L)',
            year, make_date(year, 1, 1), make_date(year + 1, 1, 1)
        );
    END LOOP;
END $$;

-- Authorizations, refunds and payments, for what is given back of them later.
CREATE TABLE live_origin (
    id text PRIMARY KEY,
    partition smallint NOT NULL,
    account_id text NOT NULL,
    day date NOT NULL,
    digest bytea NOT NULL,
    amount_minor bigint NOT NULL,
    counted boolean NOT NULL
);

-- Counted again from the ledger's first entry, to compare (`holdfast stats rebuild`): empty but
-- while that goes on.
CREATE UNLOGGED TABLE again_total (LIKE live_total INCLUDING INDEXES);
CREATE UNLOGGED TABLE again_cell (LIKE live_cell INCLUDING INDEXES);
CREATE UNLOGGED TABLE again_origin (LIKE live_origin INCLUDING INDEXES);

-- How far periods of each length have been closed: what comes in later for a day before that makes
-- another version of what it concerns.
CREATE TABLE closing (
    type text PRIMARY KEY CHECK (type IN ('DAY', 'WEEK', 'MONTH')),
    -- The first day that is in none of them.
    closed_until date NOT NULL,
    -- The last subject that is done of the last period; null: all are.
    done_until text
);

-- What has come in for closed periods, and when it is looked at: not each of many one by one.
CREATE TABLE reopened (
    subject_id text NOT NULL,
    type text NOT NULL,
    start_date date NOT NULL,
    due_time timestamptz NOT NULL,
    PRIMARY KEY (subject_id, type, start_date)
);
CREATE INDEX reopened_due ON reopened (due_time);

-- Closed periods: never changed. `body` is holdfast.stats.v1.PeriodStats.
CREATE TABLE stat (
    id text PRIMARY KEY CHECK (id ~ '^stat_[0-9a-f]{34}$'),
    subject_id text NOT NULL,
    type text NOT NULL,
    start_date date NOT NULL,
    currency text NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    body bytea NOT NULL,
    create_time timestamptz NOT NULL,
    UNIQUE (subject_id, type, start_date, currency, version)
);
CREATE INDEX stat_newest ON stat (subject_id, start_date DESC, id DESC);

-- migrate:down
