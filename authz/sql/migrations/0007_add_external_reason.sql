-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Why an external decision was as it was, in the issuer's words.
ALTER TABLE journal_entry ADD COLUMN external_reason text NOT NULL DEFAULT '';

-- migrate:down
