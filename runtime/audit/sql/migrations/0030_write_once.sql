-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- An entry that waited in a file for PostgreSQL (runtime/audit/spool.py) is written once, however
-- often that is tried: nobody knows what became of a transaction whose end was not heard of.
ALTER TABLE entry ADD COLUMN write_id uuid;
CREATE UNIQUE INDEX entry_write_id ON entry (write_id) WHERE write_id IS NOT NULL;

-- Such an entry is as old as what it tells of; it has waited for its link since it came here.
ALTER TABLE unsealed ADD COLUMN add_time timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE POLICY reader ON unsealed FOR SELECT TO holdfast_gateway USING (true);

-- migrate:down
