-- write_entry --
-- Adds an entry, to be sealed. Params: $1 actor, $2 roles, $3 peer, $4 method, $5 targets,
-- $6 request_id, $7 trace_id, $8 code, $9 reason, $10 before, $11 after.
WITH written AS (
    INSERT INTO audit.entry (
        actor, roles, peer, method, targets, request_id, trace_id, code, reason, before, after
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    RETURNING id
)
INSERT INTO audit.unsealed (entry_id) SELECT id FROM written

-- write_entry_once --
-- The same of an entry that may have been written before. Params: $1 actor, $2 roles, $3 peer,
-- $4 method, $5 targets, $6 request_id, $7 trace_id, $8 code, $9 reason, $10 before, $11 after,
-- $12 write_id, $13 when it was made, or null: now.
WITH written AS (
    INSERT INTO audit.entry (
        actor, roles, peer, method, targets, request_id, trace_id, code, reason, before, after,
        write_id, record_time
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, coalesce($13, clock_timestamp()))
    ON CONFLICT (write_id) WHERE write_id IS NOT NULL DO NOTHING
    RETURNING id
)
INSERT INTO audit.unsealed (entry_id) SELECT id FROM written

-- try_lock_chain --
-- Takes the right to seal this service's entries until the commit; false if another has it.
SELECT pg_try_advisory_xact_lock(hashtextextended('audit.' || current_user, 0))

-- has_unsealed --
-- Whether entries of the service wait for their links.
SELECT EXISTS (SELECT FROM audit.unsealed WHERE current_user = 'holdfast_' || service)

-- select_unsealed --
-- The service's oldest entries without a link. Params: $1 limit.
SELECT
    e.id, e.service, e.record_time, e.actor, e.roles, e.peer, e.method, e.targets, e.request_id,
    e.trace_id, e.code, e.reason, e.before, e.after
FROM audit.unsealed AS u
JOIN audit.entry AS e ON e.id = u.entry_id
WHERE current_user = 'holdfast_' || u.service
ORDER BY u.entry_id
LIMIT $1

-- select_head --
-- The last link of the service's chain.
SELECT number, hash
FROM audit.link
WHERE current_user = 'holdfast_' || service
ORDER BY number DESC
LIMIT 1

-- write_links --
-- Continues the chain. Params: $1 numbers, $2 entry ids, $3 hashes.
INSERT INTO audit.link (number, entry_id, hash)
SELECT number, entry_id, hash
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS linked (number, entry_id, hash)

-- delete_unsealed --
-- Takes sealed entries from the list of those that wait. Params: $1 entry ids.
DELETE FROM audit.unsealed WHERE entry_id = ANY($1)

-- list_chains --
-- Services that have entries or links.
SELECT service FROM audit.link UNION SELECT service FROM audit.entry ORDER BY service

-- select_chain --
-- A service's chain in order, each link with its entry, null where that is gone. Params: $1
-- service.
SELECT
    l.number, l.hash, l.entry_id,
    e.id, e.service, e.record_time, e.actor, e.roles, e.peer, e.method, e.targets, e.request_id,
    e.trace_id, e.code, e.reason, e.before, e.after
FROM audit.link AS l
LEFT JOIN audit.entry AS e ON e.id = l.entry_id
WHERE l.service = $1
ORDER BY l.number

-- select_never_sealed --
-- The first entry of a service that has had no link for too long, and how many wait.
-- Params: $1 service, $2 seconds after which an entry must have one.
SELECT
    min(e.id) FILTER (
        WHERE coalesce(u.add_time, e.record_time) < clock_timestamp() - make_interval(secs => $2)
    ) AS first_id,
    count(*) AS waiting
FROM audit.entry AS e
LEFT JOIN audit.unsealed AS u ON u.entry_id = e.id
WHERE e.service = $1 AND NOT EXISTS (SELECT FROM audit.link AS l WHERE l.entry_id = e.id)

-- find_link --
-- Whether some chain has a link with this hash. Params: $1 hash.
SELECT EXISTS (SELECT FROM audit.link WHERE hash = $1)

-- list_entries --
-- Entries, newest first, after a place. Empty filters: all. Params: $1 time, $2 id of the place,
-- $3 limit, $4 service, $5 actor, $6 target, $7 method, $8 trace_id, $9 true: only refusals.
SELECT
    id, service, record_time, actor, roles, peer, method, targets, request_id, trace_id, code,
    reason, before, after
FROM audit.entry
WHERE (record_time, id) < ($1, $2)
    AND ($4 = '' OR service = $4)
    AND ($5 = '' OR actor = $5)
    AND ($6 = '' OR targets @> ARRAY[$6])
    AND ($7 = '' OR method = $7)
    AND ($8 = '' OR trace_id = $8)
    AND (NOT $9 OR code <> 'OK')
ORDER BY record_time DESC, id DESC
LIMIT $3

-- select_archived --
-- The last link of a service's chain that was archived. Params: $1 service.
SELECT number, hash, seal FROM audit.archived WHERE service = $1

-- select_last_before --
-- The last link of a service's chain whose entry, and all before it, are older than an instant; the
-- end of the chain stays, for what comes next follows it. Params: $1 service, $2 instant.
SELECT least(
    coalesce(min(l.number) FILTER (WHERE e.record_time >= $2), max(l.number) + 1) - 1,
    max(l.number) - 1
)
FROM audit.link AS l
JOIN audit.entry AS e ON e.id = l.entry_id
WHERE l.service = $1

-- delete_archived_entries --
-- Removes what stands in a file now. Params: $1 service, $2 number of the last link there.
DELETE FROM audit.entry AS e
USING audit.link AS l
WHERE l.entry_id = e.id AND l.service = $1 AND l.number <= $2

-- delete_archived_links --
-- The same of its links. Params: $1 service, $2 number of the last one.
DELETE FROM audit.link WHERE service = $1 AND number <= $2

-- mark_archived --
-- Says where the chain begins from now on. Params: $1 service, $2 number, $3 hash, $4 seal.
INSERT INTO audit.archived (service, number, hash, seal)
VALUES ($1, $2, $3, $4)
ON CONFLICT (service) DO UPDATE
SET number = $2, hash = $3, seal = $4, archive_time = clock_timestamp()
