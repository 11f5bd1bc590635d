-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- How far gateway's usage log has been counted.
CREATE TABLE usage_position (
    place bigint NOT NULL CHECK (place >= 0),
    -- When the last request that was counted began.
    counted_until timestamptz
);
INSERT INTO usage_position VALUES (0, NULL);

-- Requests of a day (UTC): everybody's by method, and each caller's by API key and method.
CREATE TABLE api_usage (
    everybody boolean NOT NULL,
    caller text NOT NULL,
    day date NOT NULL,
    api_key_id text NOT NULL,
    method text NOT NULL,
    calls bigint NOT NULL,
    errors bigint NOT NULL,
    refused bigint NOT NULL,
    failed bigint NOT NULL,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    duration_us bigint NOT NULL,
    longest_us bigint NOT NULL,
    -- Ranges of durations (stats/usage_fold.py), and how many requests were in each.
    ranges smallint[] NOT NULL,
    range_calls bigint[] NOT NULL,
    PRIMARY KEY (everybody, caller, day, api_key_id, method)
);
CREATE INDEX api_usage_day ON api_usage (everybody, day);

-- migrate:down
