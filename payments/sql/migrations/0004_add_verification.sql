-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What the processor calls the verification of a bank account; empty: none is under way.
ALTER TABLE funding_source ADD COLUMN verification text NOT NULL DEFAULT '';
-- How often somebody has tried to say what was deposited.
ALTER TABLE funding_source ADD COLUMN attempts smallint NOT NULL DEFAULT 0 CHECK (attempts >= 0);

-- migrate:down
