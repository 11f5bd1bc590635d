-- tape_accounts --
-- Accounts whose cycles have begun, in order. Params: $1 after this account_id, $2 limit.
SELECT b.account_id, b.phase, b.state, b.work_time, a.programme_id, a.currency_code, a.create_time,
    a.state AS account_state
FROM billing_account b JOIN account a ON a.id = b.account_id
WHERE b.account_id > $1 AND b.state IS NOT NULL
ORDER BY b.account_id
LIMIT $2

-- covering_statements --
-- The first statements whose cycles end on a day or later. Params: $1 account ids, $2 day.
SELECT DISTINCT ON (account_id) account_id, number, before FROM statement
WHERE account_id = ANY ($1) AND cycle_end >= $2
ORDER BY account_id, number

-- previous_statements --
-- The last statements whose cycles ended before a day. Params: $1 account ids, $2 day.
SELECT DISTINCT ON (account_id) account_id, cycle_start, cycle_end, due_date FROM statement
WHERE account_id = ANY ($1) AND cycle_end < $2
ORDER BY account_id, number DESC

-- numbered_entries --
-- The lines of statements that were posted before an instant. Params: $1 account ids, $2 the number
-- of each, $3 instant.
SELECT e.* FROM unnest($1::text[], $2::integer[]) AS n (account_id, number)
JOIN billing_entry e ON e.account_id = n.account_id AND e.number = n.number
WHERE e.post_time < $3
ORDER BY e.account_id, e.seq

-- unnumbered_entries --
-- What is on no statement yet and was posted before an instant. Params: $1 account ids, $2 instant.
SELECT * FROM billing_entry
WHERE account_id = ANY ($1) AND number IS NULL AND post_time < $2
ORDER BY account_id, seq

-- latest_rows --
-- Params: $1 day, $2 account ids.
SELECT DISTINCT ON (account_id) account_id, version, body FROM loan_tape
WHERE day = $1 AND account_id = ANY ($2)
ORDER BY account_id, version DESC

-- list_rows --
-- The latest versions of a day's rows. Params: $1 day, $2 after this account_id, $3 limit.
SELECT DISTINCT ON (account_id) account_id, version, body FROM loan_tape
WHERE day = $1 AND account_id > $2
ORDER BY account_id, version DESC
LIMIT $3

-- insert_rows --
-- Params: $1 day, $2 account ids, and for each: $3 version, $4 body; $5 create_time.
INSERT INTO loan_tape (day, account_id, version, body, create_time)
SELECT $1, n.account_id, n.version, n.body, $5
FROM unnest($2::text[], $3::integer[], $4::text[]) AS n (account_id, version, body)
ON CONFLICT DO NOTHING

-- complete_day --
-- Params: $1 day, $2 create_time.
INSERT INTO loan_tape_day (day, create_time) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- last_day --
-- The last day of which every account has its row.
SELECT max(day) FROM loan_tape_day

-- is_complete --
-- Params: $1 day.
SELECT EXISTS (SELECT FROM loan_tape_day WHERE day = $1)
