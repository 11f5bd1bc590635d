-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Transfers that have arrived and belong to nobody. `remittance` is what the payer has written: it
-- may be personal, so what is done with leaves the text behind.
CREATE TABLE unmatched_transfer (
    -- Follows from source and bank_reference.
    id text PRIMARY KEY,
    source text NOT NULL,
    bank_reference text NOT NULL CHECK (length(bank_reference) BETWEEN 1 AND 64),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0 AND amount_minor < 9007199254740992),
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    receive_date date NOT NULL,
    remittance text NOT NULL CHECK (length(remittance) <= 140),
    reason text NOT NULL,
    -- True: it has found its account, or was sent back.
    done boolean NOT NULL DEFAULT false,
    create_time timestamptz NOT NULL
);

CREATE INDEX unmatched_transfer_newest ON unmatched_transfer (create_time DESC, id DESC)
    WHERE NOT done;

-- migrate:down
