-- try_turn --
-- One closes at a time, until the end of the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.closer', 0))

-- keep_intake_out --
-- Waits until nobody is counting, and lets nobody begin until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.closing', 0))

-- select_closing --
-- How far periods of one length are closed. Params: $1 type.
SELECT closed_until, done_until FROM closing WHERE type = $1

-- select_first_day --
-- The first day that has anything.
SELECT min(day) FROM live_total

-- insert_closing --
-- Nothing is closed yet. Params: $1 type, $2 first day of the first period.
INSERT INTO closing (type, closed_until, done_until) VALUES ($1, $2, NULL)

-- move_closing --
-- Says how far periods are closed. Params: $1 type, $2 the first day that is not closed,
-- $3 the last subject that is done, or null.
UPDATE closing SET closed_until = $2, done_until = $3 WHERE type = $1

-- list_subjects --
-- Subjects that have something in a period. Params: $1 first day, $2 last day, $3 the subject
-- before, $4 limit.
SELECT DISTINCT subject_id FROM live_total
WHERE day BETWEEN $1 AND $2 AND subject_id > $3
ORDER BY subject_id LIMIT $4

-- take_reopened --
-- What has come in for closed periods. Params: $1 now, $2 limit.
DELETE FROM reopened WHERE (subject_id, type, start_date) IN (
    SELECT subject_id, type, start_date FROM reopened WHERE due_time <= $1
    ORDER BY due_time LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING subject_id, type, start_date

-- select_last --
-- The last version of a closed period by currency. Params: $1 subject, $2 type, $3 first day.
SELECT DISTINCT ON (currency) currency, version, body FROM stat
WHERE subject_id = $1 AND type = $2 AND start_date = $3
ORDER BY currency, version DESC

-- insert_stat --
-- Adds a version. Params: $1 id, $2 subject, $3 type, $4 first day, $5 currency, $6 version,
-- $7 body, $8 now.
INSERT INTO stat (id, subject_id, type, start_date, currency, version, body, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
