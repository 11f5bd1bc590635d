-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- A rebuilding of Valkey reads what cards remember of their purchases (flags of include/hold.lua).
CREATE INDEX journal_entry_remembered ON journal_entry (partition, pseq)
    WHERE type IN ('A', 'D', 'F') AND hold_flags ~ '[bgn]';

-- migrate:down
