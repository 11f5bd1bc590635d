-- claim_request --
-- Takes a request id; waits for a transaction that has taken the same one and is still running.
-- Returns nothing if it was used before. Params: $1 principal, $2 request_id, $3 method,
-- $4 fingerprint, $5 create_time.
INSERT INTO request_record (principal, request_id, method, fingerprint, create_time)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (principal, request_id) DO NOTHING
RETURNING true

-- select_request --
-- What a request id was used for, and the answer. Params: $1 principal, $2 request_id.
SELECT method, fingerprint, response
FROM request_record
WHERE principal = $1 AND request_id = $2

-- answer_request --
-- Stores the answer to a claimed request id. Params: $1 principal, $2 request_id, $3 response.
UPDATE request_record
SET response = $3
WHERE principal = $1 AND request_id = $2

-- delete_requests --
-- Forgets some of the answers given before an instant. Params: $1 instant, $2 limit.
DELETE FROM request_record
WHERE (principal, request_id) IN (
    SELECT principal, request_id FROM request_record
    WHERE create_time < $1
    ORDER BY create_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
