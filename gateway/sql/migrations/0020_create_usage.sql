-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- One row per request at the edge, as Envoy tells it. No bodies, no query, no ids in paths. It may
-- lack some: what Envoy or we could not keep up with is dropped and counted.
CREATE TABLE usage (
    id bigint GENERATED ALWAYS AS IDENTITY,
    start_time timestamptz NOT NULL,
    listener text NOT NULL,
    -- The gRPC method; empty: the path is none of ours.
    method text NOT NULL,
    http_method text NOT NULL,
    http_status integer NOT NULL,
    grpc_status integer,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    duration_us bigint NOT NULL,
    -- Of that, from the first byte to the service until its last byte; 0: it was not asked.
    service_us bigint NOT NULL,
    -- Subject or SPIFFE id; empty: nobody was established.
    caller text NOT NULL,
    trace_id text NOT NULL,
    PRIMARY KEY (start_time, id)
) PARTITION BY RANGE (start_time);

CREATE INDEX usage_caller ON usage (caller, start_time DESC, id DESC);

-- Makes the partitions of yesterday to the day after tomorrow.
CREATE FUNCTION make_usage_days(today date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    day date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('gateway.usage', 0));
    FOR day IN SELECT today + number FROM generate_series(-1, 2) AS number LOOP
        IF to_regclass(format('%I', 'usage_' || to_char(day, 'YYYYMMDD'))) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF usage FOR VALUES FROM (%L) TO (%L)',
                'usage_' || to_char(day, 'YYYYMMDD'),
                day::timestamp AT TIME ZONE 'UTC',
                (day + 1)::timestamp AT TIME ZONE 'UTC'
            );
        END IF;
    END LOOP;
END
$$;

-- migrate:down
