-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What posted on an account or card that had ended: somebody should look at it.
ALTER TABLE journal_entry ADD COLUMN late text NOT NULL DEFAULT ''
    CHECK (late IN ('', 'ACCOUNT_CLOSED', 'CARD_CLOSED'));
CREATE INDEX journal_entry_late ON journal_entry (recorded_time DESC, id DESC) WHERE late <> '';

-- migrate:down
