-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What authz changes is in its journal; what it refuses to administrators and to our own services
-- is not, so it has entries here. The settler, which has the same login, seals them.
GRANT USAGE ON SCHEMA audit TO holdfast_authz;
GRANT SELECT, INSERT ON entry, link TO holdfast_authz;
GRANT SELECT, INSERT, DELETE ON unsealed TO holdfast_authz;

-- migrate:down
