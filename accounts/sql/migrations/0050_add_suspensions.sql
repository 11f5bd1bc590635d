-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Why accounts take no purchases, and took none: rows end, and are never removed. One version back
-- writes none: what it does to an account's state counts more than the rows.
CREATE TABLE account_suspension (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id text NOT NULL REFERENCES account (id),
    cause text NOT NULL CHECK (cause IN ('ISSUER', 'PAST_DUE', 'FRAUD_SUSPECTED',
        'CARDHOLDER_REQUEST', 'DECEASED', 'BANKRUPTCY', 'LEGAL_HOLD', 'SANCTIONS')),
    -- Found by billing, which alone ends it.
    by_billing boolean NOT NULL,
    principal text NOT NULL,
    begin_time timestamptz NOT NULL,
    end_time timestamptz,
    end_principal text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX account_suspension_lasting ON account_suspension (account_id, cause)
    WHERE end_time IS NULL;
CREATE INDEX account_suspension_newest ON account_suspension (account_id, id DESC);

-- For exports: also what was shared once.
CREATE INDEX account_user_of_user ON account_user (user_id);

-- migrate:down
