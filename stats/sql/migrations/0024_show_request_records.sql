-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- The name that every other service's have (runtime/request_records.py). The table keeps its own:
-- processes of the release before, which are still at work, find what they look for.
CREATE VIEW request_record AS
SELECT principal, request_id, method, fingerprint, response, create_time
FROM report_request;

-- migrate:down
