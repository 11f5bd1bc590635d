-- touch --
-- Says that days of accounts are to be looked at. Params, each a column with its values one behind
-- the other: $1 account ids, $2 days, $3 countries, which may be empty.
INSERT INTO touched (account_ids, days, countries) VALUES (
    string_to_array($1, E'\x1f'), string_to_array($2, E'\x1f')::date[],
    CASE $3 WHEN '' THEN ARRAY[''] ELSE string_to_array($3, E'\x1f') END
)

-- take_touched --
-- Takes some of what was counted; nobody else looks at the same. Params: $1 limit.
DELETE FROM touched WHERE number IN (
    SELECT number FROM touched ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING account_ids, days, countries

-- select_days --
-- Days of accounts, by currency. Params: $1 account ids, $2 the day of each.
SELECT subject_id AS account_id, currency, t.day,
    sum(authorized_minor - reversed_minor)::bigint AS spent_minor,
    sum(authorized_count)::bigint AS approved_count,
    sum(declined_count)::bigint AS declined_count
FROM unnest($1::text[], $2::date[]) AS n (account_id, day)
JOIN live_total t ON t.subject_id = n.account_id AND t.day = n.day
GROUP BY 1, 2, 3

-- select_histories --
-- Days of accounts in one currency each, before a day. Params, of all: $1 account ids,
-- $2 currencies, $3 first days, $4 the day.
SELECT n.account_id, n.currency, n.before, t.day,
    sum(t.authorized_minor - t.reversed_minor)::bigint AS spent_minor,
    sum(t.authorized_count)::bigint AS approved_count,
    sum(t.declined_count)::bigint AS declined_count
FROM unnest($1::text[], $2::text[], $3::date[], $4::date[])
    AS n (account_id, currency, first, before)
JOIN live_total t ON t.subject_id = n.account_id AND t.currency = n.currency
    AND t.day >= n.first AND t.day < n.before
GROUP BY n.account_id, n.currency, n.before, t.day

-- select_countries --
-- Where accounts were used, and since when. Params: $1 account ids.
SELECT account_id, country, first_day FROM account_country WHERE account_id = ANY($1::text[])

-- find_countries --
-- The same of accounts of which nothing is known yet, from what was counted. Params: $1 account
-- ids, $2 first day.
INSERT INTO account_country AS c (account_id, country, first_day)
SELECT account_id, country, min(day) FROM live_cell
WHERE account_id = ANY($1::text[]) AND day >= $2 AND country <> ''
    AND (authorized_count > 0 OR declined_count > 0)
GROUP BY account_id, country
ORDER BY account_id, country
ON CONFLICT (account_id, country) DO UPDATE SET first_day = least(c.first_day, excluded.first_day)
RETURNING account_id, country, first_day

-- put_countries --
-- Where accounts are used from some day on. Params, of all: $1 account ids, $2 countries, $3 days.
INSERT INTO account_country AS c (account_id, country, first_day)
SELECT account_id, country, min(day) FROM unnest($1::text[], $2::text[], $3::date[])
    AS n (account_id, country, day)
GROUP BY account_id, country
ORDER BY account_id, country
ON CONFLICT (account_id, country) DO UPDATE SET first_day = least(c.first_day, excluded.first_day)
RETURNING account_id, country, first_day

-- select_attempts --
-- What was asked for on a day of an account in some countries. Params: $1 account id, $2 day,
-- $3 countries.
SELECT country, sum(authorized_count + declined_count)::bigint AS attempt_count FROM live_cell
WHERE account_id = $1 AND day = $2 AND country = ANY($3::text[])
GROUP BY country

-- insert_anomalies --
-- Keeps what is unusual, unless that is done; returns what is new. Params, of all: $1 ids,
-- $2 account ids, $3 kinds, $4 bodies, $5 now.
INSERT INTO anomaly (id, account_id, kind, body, create_time)
SELECT id, account_id, kind, body, $5::timestamptz
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS n (id, account_id, kind, body)
ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id

-- list_anomalies --
-- What was unusual, newest first. Params: $1 account id or '', $2 kind or '', $3 time and $4 id of
-- the one before the page, $5 limit.
SELECT id, body, create_time FROM anomaly
WHERE ($1 = '' OR account_id = $1) AND ($2 = '' OR kind = $2)
    AND (create_time, id) < ($3::timestamptz, $4)
ORDER BY create_time DESC, id DESC
LIMIT $5
