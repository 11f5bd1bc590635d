-- select_event --
-- One event. Params: $1 id.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE id = $1

-- select_last_number --
-- The number of the last event.
SELECT coalesce(max(number), 0) FROM event

-- newest_of_all --
-- Events below a number, newest first. Params: $1 number, $2 limit, $3 types or NULL,
-- $4 from when, $5 before when.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE number < $1 AND ($3::text[] IS NULL OR type = ANY($3))
    AND create_time >= $4 AND create_time < $5
ORDER BY number DESC
LIMIT $2

-- newest_of_owner --
-- The same of one owner. Params: $1 number, $2 limit, $3 types or NULL,
-- $4 from when, $5 before when, $6 owner_id.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE owner_id = $6 AND number < $1 AND ($3::text[] IS NULL OR type = ANY($3))
    AND create_time >= $4 AND create_time < $5
ORDER BY number DESC
LIMIT $2

-- newest_of_account --
-- The same of one account, as far as somebody may see it. Params: $1 number, $2 limit,
-- $3 types or NULL, $4 from when, $5 before when,
-- $6 account_id, $7 owner_id or '', $8 whether all may be seen, $9 owner ids, $10 user_id.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE account_id = $6 AND number < $1 AND ($3::text[] IS NULL OR type = ANY($3))
    AND create_time >= $4 AND create_time < $5
    AND ($7 = '' OR owner_id = $7)
    AND ($8 OR owner_id = ANY($9::text[]) OR (user_id = $10 AND $10 <> ''))
ORDER BY number DESC
LIMIT $2

-- newest_of_caller --
-- The same of some owners, and about a user: a page of each, so that nobody else's are looked at.
-- Params: $1 number, $2 limit, $3 types or NULL,
-- $4 from when, $5 before when, $6 owner ids, $7 user_id, $8 owner_id or ''.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data, create_time, test
FROM (
    SELECT owned.*
    FROM unnest($6::text[]) AS owner (name)
    CROSS JOIN LATERAL (
        SELECT number, id, type, sequence, account_id, owner_id, user_id,
            data::text AS data, create_time, test
        FROM event
        WHERE owner_id = owner.name AND number < $1 AND ($3::text[] IS NULL OR type = ANY($3))
            AND create_time >= $4 AND create_time < $5
            AND ($8 = '' OR owner_id = $8)
        ORDER BY number DESC
        LIMIT $2
    ) AS owned
    UNION
    (
        SELECT number, id, type, sequence, account_id, owner_id, user_id,
            data::text AS data, create_time, test
        FROM event
        WHERE user_id = $7 AND $7 <> '' AND number < $1 AND ($3::text[] IS NULL OR type = ANY($3))
            AND create_time >= $4 AND create_time < $5
            AND ($8 = '' OR owner_id = $8)
        ORDER BY number DESC
        LIMIT $2
    )
) AS theirs
ORDER BY number DESC
LIMIT $2

-- oldest_of_all --
-- Events above a number, oldest first. Params: $1 number, $2 limit, $3 types or NULL,
-- $4 from when, $5 before when.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE number > $1 AND ($3::text[] IS NULL OR type = ANY($3))
    AND create_time >= $4 AND create_time < $5
ORDER BY number ASC
LIMIT $2

-- oldest_of_owner --
-- The same of one owner. Params: $1 number, $2 limit, $3 types or NULL,
-- $4 from when, $5 before when, $6 owner_id.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE owner_id = $6 AND number > $1 AND ($3::text[] IS NULL OR type = ANY($3))
    AND create_time >= $4 AND create_time < $5
ORDER BY number ASC
LIMIT $2

-- oldest_of_account --
-- The same of one account, as far as somebody may see it. Params: $1 number, $2 limit,
-- $3 types or NULL, $4 from when, $5 before when,
-- $6 account_id, $7 owner_id or '', $8 whether all may be seen, $9 owner ids, $10 user_id.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data::text AS data, create_time,
    test
FROM event
WHERE account_id = $6 AND number > $1 AND ($3::text[] IS NULL OR type = ANY($3))
    AND create_time >= $4 AND create_time < $5
    AND ($7 = '' OR owner_id = $7)
    AND ($8 OR owner_id = ANY($9::text[]) OR (user_id = $10 AND $10 <> ''))
ORDER BY number ASC
LIMIT $2

-- oldest_of_caller --
-- The same of some owners, and about a user: a page of each, so that nobody else's are looked at.
-- Params: $1 number, $2 limit, $3 types or NULL,
-- $4 from when, $5 before when, $6 owner ids, $7 user_id, $8 owner_id or ''.
SELECT number, id, type, sequence, account_id, owner_id, user_id, data, create_time, test
FROM (
    SELECT owned.*
    FROM unnest($6::text[]) AS owner (name)
    CROSS JOIN LATERAL (
        SELECT number, id, type, sequence, account_id, owner_id, user_id,
            data::text AS data, create_time, test
        FROM event
        WHERE owner_id = owner.name AND number > $1 AND ($3::text[] IS NULL OR type = ANY($3))
            AND create_time >= $4 AND create_time < $5
            AND ($8 = '' OR owner_id = $8)
        ORDER BY number ASC
        LIMIT $2
    ) AS owned
    UNION
    (
        SELECT number, id, type, sequence, account_id, owner_id, user_id,
            data::text AS data, create_time, test
        FROM event
        WHERE user_id = $7 AND $7 <> '' AND number > $1 AND ($3::text[] IS NULL OR type = ANY($3))
            AND create_time >= $4 AND create_time < $5
            AND ($8 = '' OR owner_id = $8)
        ORDER BY number ASC
        LIMIT $2
    )
) AS theirs
ORDER BY number ASC
LIMIT $2

-- forget_events --
-- Forgets old events, but none that a sink does not have yet. Params: $1 before when, $2 limit,
-- $3 the sink, or ''.
DELETE FROM event
WHERE number IN (
    SELECT number FROM event
    WHERE create_time < $1
        AND ($3 = '' OR number <= (SELECT p.number FROM sink_position p WHERE p.sink = $3))
    ORDER BY create_time
    LIMIT $2
)
