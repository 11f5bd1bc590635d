-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What `holdfast audit archive` has moved to files: the last link of each chain that is not here
-- any more. Nobody but the owner writes here, and `seal`, which is keyed, shows whether it was
-- archived or cut off.
CREATE TABLE archived (
    service text PRIMARY KEY,
    number bigint NOT NULL CHECK (number >= 1),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    seal bytea NOT NULL CHECK (octet_length(seal) = 32),
    archive_time timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT ON archived TO holdfast_gateway;

-- migrate:down
