-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- The last settled entry as it stands in the stream: a rebuilt stream begins with it.
ALTER TABLE partition ADD COLUMN position_entry bytea;

-- What a rebuilding of Valkey reads besides balances, authorizations and payments: configuration,
-- and what authorizations do not sum up (merchants' amounts, times of advice).
CREATE INDEX journal_entry_configuration ON journal_entry (partition, pseq)
    WHERE type IN ('K', 'L');
CREATE INDEX journal_entry_merchant_amount ON journal_entry (authorization_id, pseq)
    WHERE merchant_amount_minor IS NOT NULL OR type IN ('I', 'V');

-- migrate:down
