-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Stats has an audit log of its own like accounts and gateway.
GRANT USAGE ON SCHEMA audit TO holdfast_stats;
GRANT SELECT, INSERT ON entry, link TO holdfast_stats;
GRANT SELECT, INSERT, DELETE ON unsealed TO holdfast_stats;

-- migrate:down
