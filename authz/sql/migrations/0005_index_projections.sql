-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- A rebuilding of Valkey reads rules and users' controls, too.
CREATE INDEX journal_entry_projection ON journal_entry (partition, pseq)
    WHERE type IN ('K', 'L', 'S', 'U');
DROP INDEX journal_entry_configuration;

-- migrate:down
