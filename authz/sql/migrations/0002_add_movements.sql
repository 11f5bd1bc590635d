-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

ALTER TABLE journal_entry
    ADD COLUMN hold_refunded_minor  bigint NOT NULL DEFAULT 0,
    -- What a repetition of the clearing under another request id must equal.
    ADD COLUMN clearing_fingerprint text;
CREATE INDEX journal_entry_payment ON journal_entry (payment_id) WHERE payment_id IS NOT NULL;

ALTER TABLE card_authorization
    ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0;

-- Each payment as of its last settled entry.
CREATE TABLE payment (
    id           text        PRIMARY KEY,
    account_id   text        NOT NULL,
    amount_minor bigint      NOT NULL,
    state        text        NOT NULL CHECK (state IN ('CREDITED', 'RELEASED', 'RETURNED')),
    update_time  timestamptz NOT NULL
);
CREATE INDEX payment_account ON payment (account_id);

-- migrate:down
