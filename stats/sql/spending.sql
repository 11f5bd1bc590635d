-- select_groups --
-- What was spent on some days, broken down: rows as files have them, and then how many there are.
-- `group_keys`, `group_names`, `group_numbers` and `merchant_or_nothing` are what by, `name_column`
-- is that of the merchant's name, if any, `subject_column` the column that the subject is in.
-- Params: $1 subject, $2 first day, $3 last day, $4 currency or ''.
SELECT group_names, name_column currency,
    purchase_count, purchase_minor, refund_count, refund_minor,
    purchase_minor - refund_minor AS net_minor, declined_count, cash_count, cash_minor,
    count(*) OVER () AS row_count
FROM (
    SELECT group_keys, currency, min(merchant_or_nothing) AS merchant_key,
        sum(purchase_count)::bigint AS purchase_count,
        sum(purchase_minor)::bigint AS purchase_minor,
        sum(refund_count)::bigint AS refund_count, sum(refund_minor)::bigint AS refund_minor,
        sum(declined_count)::bigint AS declined_count,
        sum(cash_count)::bigint AS cash_count, sum(cash_minor)::bigint AS cash_minor
    FROM live_cell
    WHERE subject_column = $1 AND day BETWEEN $2 AND $3 AND ($4 = '' OR currency = $4)
        AND (purchase_count <> 0 OR purchase_minor <> 0 OR refund_count <> 0 OR refund_minor <> 0
            OR declined_count <> 0)
    GROUP BY group_numbers, currency
) c
LEFT JOIN merchant m ON m.key = c.merchant_key
ORDER BY group_numbers, currency

-- plan_for_batches --
-- Whoever fetches rows in batches gets no parallel workers: plans that are made for them sort what
-- one worker would rather hash. One report at a time has this memory. Until the transaction ends.
SELECT set_config('max_parallel_workers_per_gather', '0', true),
    set_config('work_mem', '32MB', true), set_config('jit', 'off', true)

-- select_tops --
-- The largest of each kind in each currency. `subject_column` is the column that the subject is in.
-- Params: $1 subject, $2 first day, $3 last day, $4 currency or '', $5 how many.
SELECT kind, currency, key, net_minor
FROM (
    SELECT kind, currency, key, net_minor, row_number() OVER (
            PARTITION BY kind, currency ORDER BY net_minor DESC, key COLLATE "C"
        ) AS place
    FROM (
        SELECT currency, sum(purchase_minor - refund_minor)::bigint AS net_minor,
            CASE
                WHEN GROUPING(category) = 0 THEN 'CATEGORY'
                WHEN GROUPING(merchant) = 0 THEN 'MERCHANT'
                WHEN GROUPING(department_id) = 0 THEN 'DEPARTMENT'
                ELSE 'CARD'
            END AS kind,
            coalesce(category, merchant, department_id, card_id) AS key
        FROM live_cell
        WHERE subject_column = $1 AND day BETWEEN $2 AND $3 AND ($4 = '' OR currency = $4)
            AND (purchase_minor <> 0 OR refund_minor <> 0)
        GROUP BY GROUPING SETS (
            (currency, category), (currency, merchant), (currency, department_id),
            (currency, card_id)
        )
    ) summed
) found
WHERE place <= $5
ORDER BY kind, currency, place

-- select_names --
-- What merchants are called. Params: $1 keys.
SELECT key, name FROM merchant WHERE key = ANY($1::text[])

-- select_origins --
-- At which merchants authorizations were. Params: $1 authorization ids.
SELECT o.id, c.merchant, coalesce(m.name, '') AS merchant_name, c.category
FROM live_origin o
JOIN live_cell c ON c.account_id = o.account_id AND c.day = o.day AND c.digest = o.digest
LEFT JOIN merchant m ON m.key = c.merchant
WHERE o.id = ANY($1::text[])

-- select_reached --
-- How far partitions are counted. Params: $1 partitions.
SELECT partition, pseq FROM ledger_position WHERE partition = ANY($1::smallint[]) ORDER BY partition

-- select_account_zones --
-- In which timezones accounts have their days. Params: $1 account ids.
SELECT account_id, time_zone FROM account_zone WHERE account_id = ANY($1::text[])
