-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Notify has an audit log of its own like accounts and gateway.
GRANT USAGE ON SCHEMA audit TO holdfast_notify;
GRANT SELECT, INSERT ON entry, link TO holdfast_notify;
GRANT SELECT, INSERT, DELETE ON unsealed TO holdfast_notify;

-- migrate:down
