-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How far the file has been read in which Envoy tells what it refused: written with the audit
-- entries of what was read. One row.
CREATE TABLE refusal_place (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- Digest of the file's first line.
    file text NOT NULL,
    -- Where the next line begins.
    place bigint NOT NULL CHECK (place >= 0)
);

-- migrate:down
