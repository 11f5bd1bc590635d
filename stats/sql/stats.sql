-- select_totals --
-- The days of a subject. Params: $1 subject, $2 first day, $3 last day, $4 currency or ''.
SELECT currency, day,
    sum(authorized_count)::bigint AS authorized_count,
    sum(authorized_minor)::bigint AS authorized_minor,
    sum(reversed_count)::bigint AS reversed_count, sum(reversed_minor)::bigint AS reversed_minor,
    sum(expired_count)::bigint AS expired_count, sum(expired_minor)::bigint AS expired_minor,
    sum(declined_count)::bigint AS declined_count, sum(purchase_count)::bigint AS purchase_count,
    sum(purchase_minor)::bigint AS purchase_minor, sum(cash_count)::bigint AS cash_count,
    sum(cash_minor)::bigint AS cash_minor, sum(refund_count)::bigint AS refund_count,
    sum(refund_minor)::bigint AS refund_minor, sum(payment_count)::bigint AS payment_count,
    sum(payment_minor)::bigint AS payment_minor, sum(fee_count)::bigint AS fee_count,
    sum(fee_minor)::bigint AS fee_minor, sum(interest_count)::bigint AS interest_count,
    sum(interest_minor)::bigint AS interest_minor,
    sum(adjustment_count)::bigint AS adjustment_count,
    sum(adjustment_minor)::bigint AS adjustment_minor,
    sum(charge_off_count)::bigint AS charge_off_count,
    sum(charge_off_minor)::bigint AS charge_off_minor,
    sum(recovery_count)::bigint AS recovery_count,
    sum(recovery_minor)::bigint AS recovery_minor,
    sum(correction_count)::bigint AS correction_count, max(largest_minor) AS largest_minor,
    max(corrected_ms) AS corrected_ms
FROM live_total
WHERE subject_id = $1 AND day BETWEEN $2 AND $3 AND ($4 = '' OR currency = $4)
GROUP BY currency, day
ORDER BY currency, day

-- select_slices --
-- The largest slices of some days by each dimension, and how many there are; those of the same
-- size by their bytes, whatever the database's language: closed again, they are in the same order.
-- `subject_column` is the column that the subject is in, `dimension_columns` are those of all
-- dimensions, null where nobody asked, `dimension_sets` are those that somebody asked for. Params:
-- $1 subject, $2 first day, $3 last day, $4 currency, $5 how many of each dimension.
WITH cells AS MATERIALIZED (
    SELECT dimension_columns,
        sum(authorized_count) AS authorized_count, sum(authorized_minor) AS authorized_minor,
        sum(declined_count) AS declined_count, sum(purchase_count) AS purchase_count,
        sum(purchase_minor) AS purchase_minor, sum(cash_count) AS cash_count,
        sum(cash_minor) AS cash_minor, sum(refund_count) AS refund_count,
        sum(refund_minor) AS refund_minor
    FROM live_cell
    WHERE subject_column = $1 AND day BETWEEN $2 AND $3 AND currency = $4
        AND (authorized_count <> 0 OR declined_count <> 0 OR purchase_count <> 0
            OR refund_count <> 0 OR refund_minor <> 0 OR authorized_minor <> 0)
    GROUP BY GROUPING SETS (dimension_sets)
), numbered AS (
    SELECT CASE
            WHEN category IS NOT NULL THEN 'CATEGORY'
            WHEN merchant IS NOT NULL THEN 'MERCHANT'
            WHEN country IS NOT NULL THEN 'COUNTRY'
            WHEN channel IS NOT NULL THEN 'CHANNEL'
            WHEN merchant_currency IS NOT NULL THEN 'CURRENCY'
            WHEN decline_reason IS NOT NULL THEN 'DECLINE_REASON'
            WHEN card_id IS NOT NULL THEN 'CARD'
            ELSE 'USER'
        END AS dimension,
        coalesce(category, merchant, country, channel, merchant_currency, decline_reason, card_id,
            user_id) AS key,
        c.*
    FROM cells c
), ranked AS (
    SELECT n.*, row_number() OVER (
            PARTITION BY dimension
            ORDER BY CASE dimension
                    WHEN 'DECLINE_REASON' THEN declined_count
                    ELSE purchase_minor
                END DESC, authorized_minor DESC, key COLLATE "C"
        ) AS place, count(*) OVER (PARTITION BY dimension) AS number
    FROM numbered n
    -- Whatever was not declined has no reason.
    WHERE dimension <> 'DECLINE_REASON' OR key <> ''
)
SELECT r.dimension, r.key, coalesce(m.name, '') AS label, r.number,
    authorized_count::bigint, authorized_minor::bigint, declined_count::bigint,
    purchase_count::bigint, purchase_minor::bigint, cash_count::bigint, cash_minor::bigint,
    refund_count::bigint, refund_minor::bigint
FROM ranked r
LEFT JOIN merchant m ON r.dimension = 'MERCHANT' AND m.key = r.key
WHERE place <= $5
ORDER BY r.dimension, place

-- select_stat --
-- One closed period. Params: $1 id.
SELECT id, subject_id, version, body, create_time, start_date FROM stat WHERE id = $1

-- list_stats --
-- Closed periods of a subject, higher versions before lower ones. Params: $1 subject, $2 type or
-- '', $3 first day, $4 version and $5 id of the one before the page, $6 limit.
SELECT id, subject_id, version, body, create_time, start_date FROM stat
WHERE subject_id = $1 AND ($2 = '' OR type = $2)
    AND start_date <= $3 AND (start_date, version, id) < ($3, $4, $5)
ORDER BY start_date DESC, version DESC, id DESC
LIMIT $6
