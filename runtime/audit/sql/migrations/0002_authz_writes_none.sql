-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Authz writes no entries: its movements are journal entries. What 0001 gave it was never used.
REVOKE ALL ON entry, link, unsealed FROM holdfast_authz;
REVOKE USAGE ON SCHEMA audit FROM holdfast_authz;

-- There is no RPC that lists entries, as 0001 says there is. `holdfast audit` reads those of all
-- services with gateway's login; that is what the policies `reader` are for.

-- migrate:down
