-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Lines are written in the transaction that writes their entries, and never changed. That a line's
-- account is in the chart is what ledger_total demands: the same transaction adds the line to it.
ALTER TABLE journal_line
    DROP CONSTRAINT journal_line_partition_pseq_fkey,
    DROP CONSTRAINT journal_line_ledger_account_fkey;

-- Request ids hardly repeat: the principal in front of them only made every key longer.
CREATE INDEX journal_entry_request_id ON journal_entry (request_id);
DROP INDEX journal_entry_request;

-- Payments are found in their own table.
DROP INDEX journal_entry_payment;

-- Authorizations of one millisecond are sorted when they are read.
CREATE INDEX card_authorization_account_time ON card_authorization (account_id, create_time DESC);
CREATE INDEX card_authorization_card_time ON card_authorization (card_id, create_time DESC);
DROP INDEX card_authorization_account, card_authorization_card;

-- Room for the next version of a row on its own page: no index has to learn of it.
ALTER TABLE card_authorization SET (fillfactor = 80);
ALTER TABLE account_balance SET (fillfactor = 50);
ALTER TABLE ledger_total SET (fillfactor = 50);
ALTER TABLE partition SET (fillfactor = 40);

-- migrate:down
