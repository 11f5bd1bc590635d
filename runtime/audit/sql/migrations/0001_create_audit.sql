-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Who did what, allowed or refused: administrative calls of every service. The tables belong to
-- `holdfast_audit`, as which no service logs in. Services may add rows and read their own; none may
-- change or remove one. `service` is whoever is logged in.
CREATE TABLE entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL DEFAULT substr(current_user, length('holdfast_') + 1),
    record_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The principal; empty: nobody was established.
    actor text NOT NULL CHECK (length(actor) <= 256),
    roles text[] NOT NULL,
    -- The address that the call came from.
    peer text NOT NULL CHECK (length(peer) <= 64),
    method text NOT NULL CHECK (length(method) <= 256),
    -- Ids of what it was about.
    targets text[] NOT NULL CHECK (cardinality(targets) <= 32),
    -- The caller's own id of the mutation.
    request_id text NOT NULL CHECK (length(request_id) <= 256),
    -- x-request-id: what the logs of all processes say of this call.
    trace_id text NOT NULL CHECK (length(trace_id) <= 64),
    -- A gRPC status, and the stable reason of a refusal.
    code text NOT NULL CHECK (length(code) <= 32),
    reason text NOT NULL CHECK (length(reason) <= 64),
    -- The resource before and after, without what is secret or personal.
    before jsonb,
    after jsonb
);

CREATE INDEX entry_newest ON entry (record_time DESC, id DESC);
CREATE INDEX entry_targets ON entry USING gin (targets);

-- One chain per service: the hash of a link is keyed, and covers the link before and the entry.
CREATE TABLE link (
    service text NOT NULL DEFAULT substr(current_user, length('holdfast_') + 1),
    number bigint NOT NULL CHECK (number >= 1),
    entry_id bigint NOT NULL UNIQUE,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    seal_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (service, number)
);

-- Entries that wait for their link. An entry that left without one is found by `audit verify`.
CREATE TABLE unsealed (
    service text NOT NULL DEFAULT substr(current_user, length('holdfast_') + 1),
    entry_id bigint PRIMARY KEY
);

ALTER TABLE entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE link ENABLE ROW LEVEL SECURITY;
ALTER TABLE unsealed ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON entry
    USING (current_user = 'holdfast_' || service)
    WITH CHECK (current_user = 'holdfast_' || service);
CREATE POLICY own ON link
    USING (current_user = 'holdfast_' || service)
    WITH CHECK (current_user = 'holdfast_' || service);
CREATE POLICY own ON unsealed
    USING (current_user = 'holdfast_' || service)
    WITH CHECK (current_user = 'holdfast_' || service);
-- Gateway answers ListAuditEntries for all of them.
CREATE POLICY reader ON entry FOR SELECT TO holdfast_gateway USING (true);
CREATE POLICY reader ON link FOR SELECT TO holdfast_gateway USING (true);

GRANT USAGE ON SCHEMA audit TO holdfast_accounts, holdfast_gateway, holdfast_authz;
GRANT SELECT, INSERT ON entry, link TO holdfast_accounts, holdfast_gateway, holdfast_authz;
GRANT SELECT, INSERT, DELETE ON unsealed TO holdfast_accounts, holdfast_gateway, holdfast_authz;

-- migrate:down
