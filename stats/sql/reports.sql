-- lock_subject --
-- Lets one report of a subject after the other be asked for. Params: $1 subject.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.report.' || $1, 0))

-- count_open --
-- Reports of a subject that are not done. Params: $1 subject.
SELECT count(*) FROM report WHERE subject_id = $1 AND due_time IS NOT NULL

-- insert_report --
-- Adds a report, unless it is there. Params: $1 id, $2 subject, $3 type, $4 format, $5 currency,
-- $6 groups, $7 books, $8 first day, $9 last day, $10 key, $11 schedule, $12 principal, $13 the
-- subject's owner or '', $14 now, $15 when it is removed.
INSERT INTO report (
    id, subject_id, type, format, currency_code, groups, books, start_date, end_date, state, key,
    schedule_id, principal, owner_id, due_time, create_time, expire_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'QUEUED', $10, $11, $12, $13, $14, $14, $15)
ON CONFLICT DO NOTHING

-- select_report --
-- One report. Params: $1 id.
SELECT * FROM report WHERE id = $1

-- list_reports --
-- Reports whose time is not over, newest first. Params: $1 create_time, $2 id, $3 limit,
-- $4 subject or '', $5 now.
SELECT * FROM report
WHERE ($4 = '' OR subject_id = $4) AND (create_time, id) < ($1, $2) AND state <> 'DELETED'
    AND (due_time IS NOT NULL OR expire_time > $5)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- claim_report --
-- Takes the report that has waited longest, also from who does nothing more about it. Params:
-- $1 now, $2 until when it is taken.
UPDATE report SET state = 'RUNNING', attempts = attempts + 1, due_time = $2, progress_percent = 0,
    row_count = 0
WHERE id = (
    SELECT id FROM report WHERE due_time <= $1 ORDER BY due_time LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING *

-- keep_report --
-- Says how far it is, and that it is worked on. Params: $1 id, $2 attempt, $3 until when it is
-- taken, $4 percent, $5 rows.
UPDATE report SET due_time = $3, progress_percent = $4, row_count = $5
WHERE id = $1 AND attempts = $2 AND state = 'RUNNING'
RETURNING true

-- finish_report --
-- The file is there. Params: $1 id, $2 attempt, $3 now, $4 when it is removed, $5 rows, $6 bytes,
-- $7 parts, $8 digest.
UPDATE report SET state = 'READY', due_time = NULL, progress_percent = 100, end_time = $3,
    expire_time = $4, row_count = $5, size_bytes = $6, part_count = $7, sha256 = $8
WHERE id = $1 AND attempts = $2 AND state = 'RUNNING'
RETURNING true

-- fail_report --
-- It cannot be made. Params: $1 id, $2 attempt, $3 now, $4 why.
UPDATE report SET state = 'FAILED', due_time = NULL, end_time = $3, failure = $4
WHERE id = $1 AND attempts = $2 AND state = 'RUNNING'
RETURNING true

-- delete_report --
-- Removes a report: without its key, nobody reads the file any more. Params: $1 id, $2 now.
UPDATE report SET state = 'DELETED', due_time = NULL, end_time = $2,
    key = decode(repeat('00', 32), 'hex')
WHERE id = $1 AND state <> 'DELETED'
RETURNING true

-- take_expired --
-- Removes reports whose time is over. Params: $1 now, $2 limit.
DELETE FROM report WHERE id IN (
    SELECT id FROM report WHERE expire_time <= $1 AND due_time IS NULL
    ORDER BY expire_time LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING id

-- insert_leftovers --
-- Folders that are to be removed. Params: $1 folders, $2 now.
INSERT INTO report_leftover (folder, create_time)
SELECT folder, $2::timestamptz FROM unnest($1::text[]) AS f (folder)
ON CONFLICT DO NOTHING

-- list_leftovers --
-- Folders that are to be removed. Params: $1 limit.
SELECT folder FROM report_leftover ORDER BY create_time LIMIT $1

-- delete_leftover --
-- A folder is gone. Params: $1 the folder.
DELETE FROM report_leftover WHERE folder = $1

-- lock_schedules --
-- Lets one report of a subject after the other be scheduled. Params: $1 subject.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.schedule.' || $1, 0))

-- count_schedules --
-- What is scheduled about a subject. Params: $1 subject.
SELECT count(*) FROM report_schedule WHERE subject_id = $1 AND due_time IS NOT NULL

-- insert_schedule --
-- Schedules reports. Params: $1 id, $2 subject, $3 its owner, $4 type, $5 format, $6 currency,
-- $7 groups, $8 books, $9 interval, $10 user, $11 first day of the next period, $12 when it is due,
-- $13 now.
INSERT INTO report_schedule (
    id, subject_id, owner_id, type, format, currency_code, groups, books, interval, user_id,
    next_date, due_time, create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- select_schedule --
-- One schedule. Params: $1 id.
SELECT * FROM report_schedule WHERE id = $1

-- list_schedules --
-- What is scheduled, newest first. Params: $1 create_time, $2 id, $3 limit, $4 subject or ''.
SELECT * FROM report_schedule
WHERE ($4 = '' OR subject_id = $4) AND (create_time, id) < ($1, $2) AND due_time IS NOT NULL
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_due_schedules --
-- What is due. Params: $1 by when, $2 limit.
SELECT * FROM report_schedule WHERE due_time <= $1 ORDER BY due_time, id LIMIT $2

-- take_schedules --
-- What still is due of these, until the end of the transaction. Params: $1 by when, $2 ids.
SELECT * FROM report_schedule WHERE due_time <= $1 AND id = ANY($2::text[])
ORDER BY due_time, id FOR UPDATE SKIP LOCKED

-- move_schedule --
-- Goes on to the next period. Params: $1 id, $2 its first day, $3 when it is due.
UPDATE report_schedule SET next_date = $2, due_time = $3 WHERE id = $1

-- end_schedule --
-- Ends a schedule. Params: $1 id.
UPDATE report_schedule SET due_time = NULL WHERE id = $1 AND due_time IS NOT NULL RETURNING true
