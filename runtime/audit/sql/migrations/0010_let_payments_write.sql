-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

GRANT USAGE ON SCHEMA audit TO holdfast_payments;
GRANT SELECT, INSERT ON entry, link TO holdfast_payments;
GRANT SELECT, INSERT, DELETE ON unsealed TO holdfast_payments;

-- migrate:down
