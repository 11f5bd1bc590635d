-- add_totals --
-- Adds to the totals of days. Params, each a column with its values one behind the other, or
-- nothing for a column of zeros (stats/adding.py):
-- $1 subject_id, $2 day, $3 currency, $4 partition, $5 authorized_count, $6 authorized_minor,
-- $7 reversed_count, $8 reversed_minor, $9 expired_count, $10 expired_minor, $11 declined_count,
-- $12 purchase_count, $13 purchase_minor, $14 cash_count, $15 cash_minor, $16 refund_count,
-- $17 refund_minor, $18 payment_count, $19 payment_minor, $20 fee_count, $21 fee_minor,
-- $22 interest_count, $23 interest_minor, $24 adjustment_count, $25 adjustment_minor,
-- $26 charge_off_count, $27 charge_off_minor, $28 recovery_count, $29 recovery_minor,
-- $30 correction_count, $31 largest_minor, $32 corrected_ms.
INSERT INTO live_total AS t (
    subject_id, day, currency, partition, authorized_count, authorized_minor, reversed_count,
    reversed_minor, expired_count, expired_minor, declined_count, purchase_count, purchase_minor,
    cash_count, cash_minor, refund_count, refund_minor, payment_count, payment_minor, fee_count,
    fee_minor, interest_count, interest_minor, adjustment_count, adjustment_minor, charge_off_count,
    charge_off_minor, recovery_count, recovery_minor, correction_count, largest_minor, corrected_ms
)
SELECT
    subject_id, day, currency, partition, coalesce(authorized_count, 0),
    coalesce(authorized_minor, 0), coalesce(reversed_count, 0), coalesce(reversed_minor, 0),
    coalesce(expired_count, 0), coalesce(expired_minor, 0), coalesce(declined_count, 0),
    coalesce(purchase_count, 0), coalesce(purchase_minor, 0), coalesce(cash_count, 0),
    coalesce(cash_minor, 0), coalesce(refund_count, 0), coalesce(refund_minor, 0),
    coalesce(payment_count, 0), coalesce(payment_minor, 0), coalesce(fee_count, 0),
    coalesce(fee_minor, 0), coalesce(interest_count, 0), coalesce(interest_minor, 0),
    coalesce(adjustment_count, 0), coalesce(adjustment_minor, 0), coalesce(charge_off_count, 0),
    coalesce(charge_off_minor, 0), coalesce(recovery_count, 0), coalesce(recovery_minor, 0),
    coalesce(correction_count, 0), coalesce(largest_minor, 0), coalesce(corrected_ms, 0)
FROM unnest(
    string_to_array($1, E'\x1f'), string_to_array($2, E'\x1f')::date[],
    string_to_array($3, E'\x1f'), string_to_array($4, E'\x1f')::smallint[],
    string_to_array($5, E'\x1f')::bigint[], string_to_array($6, E'\x1f')::bigint[],
    string_to_array($7, E'\x1f')::bigint[], string_to_array($8, E'\x1f')::bigint[],
    string_to_array($9, E'\x1f')::bigint[], string_to_array($10, E'\x1f')::bigint[],
    string_to_array($11, E'\x1f')::bigint[], string_to_array($12, E'\x1f')::bigint[],
    string_to_array($13, E'\x1f')::bigint[], string_to_array($14, E'\x1f')::bigint[],
    string_to_array($15, E'\x1f')::bigint[], string_to_array($16, E'\x1f')::bigint[],
    string_to_array($17, E'\x1f')::bigint[], string_to_array($18, E'\x1f')::bigint[],
    string_to_array($19, E'\x1f')::bigint[], string_to_array($20, E'\x1f')::bigint[],
    string_to_array($21, E'\x1f')::bigint[], string_to_array($22, E'\x1f')::bigint[],
    string_to_array($23, E'\x1f')::bigint[], string_to_array($24, E'\x1f')::bigint[],
    string_to_array($25, E'\x1f')::bigint[], string_to_array($26, E'\x1f')::bigint[],
    string_to_array($27, E'\x1f')::bigint[], string_to_array($28, E'\x1f')::bigint[],
    string_to_array($29, E'\x1f')::bigint[], string_to_array($30, E'\x1f')::bigint[],
    string_to_array($31, E'\x1f')::bigint[], string_to_array($32, E'\x1f')::bigint[]
) AS n (
    subject_id, day, currency, partition, authorized_count, authorized_minor, reversed_count,
    reversed_minor, expired_count, expired_minor, declined_count, purchase_count, purchase_minor,
    cash_count, cash_minor, refund_count, refund_minor, payment_count, payment_minor, fee_count,
    fee_minor, interest_count, interest_minor, adjustment_count, adjustment_minor, charge_off_count,
    charge_off_minor, recovery_count, recovery_minor, correction_count, largest_minor, corrected_ms
)
ON CONFLICT (subject_id, day, currency, partition) DO UPDATE SET
    authorized_count = t.authorized_count + excluded.authorized_count,
    authorized_minor = t.authorized_minor + excluded.authorized_minor,
    reversed_count = t.reversed_count + excluded.reversed_count,
    reversed_minor = t.reversed_minor + excluded.reversed_minor,
    expired_count = t.expired_count + excluded.expired_count,
    expired_minor = t.expired_minor + excluded.expired_minor,
    declined_count = t.declined_count + excluded.declined_count,
    purchase_count = t.purchase_count + excluded.purchase_count,
    purchase_minor = t.purchase_minor + excluded.purchase_minor,
    cash_count = t.cash_count + excluded.cash_count,
    cash_minor = t.cash_minor + excluded.cash_minor,
    refund_count = t.refund_count + excluded.refund_count,
    refund_minor = t.refund_minor + excluded.refund_minor,
    payment_count = t.payment_count + excluded.payment_count,
    payment_minor = t.payment_minor + excluded.payment_minor,
    fee_count = t.fee_count + excluded.fee_count,
    fee_minor = t.fee_minor + excluded.fee_minor,
    interest_count = t.interest_count + excluded.interest_count,
    interest_minor = t.interest_minor + excluded.interest_minor,
    adjustment_count = t.adjustment_count + excluded.adjustment_count,
    adjustment_minor = t.adjustment_minor + excluded.adjustment_minor,
    charge_off_count = t.charge_off_count + excluded.charge_off_count,
    charge_off_minor = t.charge_off_minor + excluded.charge_off_minor,
    recovery_count = t.recovery_count + excluded.recovery_count,
    recovery_minor = t.recovery_minor + excluded.recovery_minor,
    correction_count = t.correction_count + excluded.correction_count,
    largest_minor = greatest(t.largest_minor, excluded.largest_minor),
    corrected_ms = greatest(t.corrected_ms, excluded.corrected_ms)

-- add_cells --
-- Adds to the cells of days. Params as above:
-- $1 digest, $2 day, $3 account_id, $4 card_id, $5 user_id, $6 company_id, $7 department_id,
-- $8 programme_id, $9 currency, $10 merchant, $11 category, $12 country, $13 channel,
-- $14 merchant_currency, $15 decline_reason, $16 authorized_count, $17 authorized_minor,
-- $18 declined_count, $19 purchase_count, $20 purchase_minor, $21 cash_count, $22 cash_minor,
-- $23 refund_count, $24 refund_minor.
INSERT INTO live_cell AS t (
    digest, day, account_id, card_id, user_id, company_id, department_id, programme_id, currency,
    merchant, category, country, channel, merchant_currency, decline_reason, authorized_count,
    authorized_minor, declined_count, purchase_count, purchase_minor, cash_count, cash_minor,
    refund_count, refund_minor
)
SELECT
    digest, day, coalesce(account_id, ''), coalesce(card_id, ''), coalesce(user_id, ''),
    coalesce(company_id, ''), coalesce(department_id, ''), coalesce(programme_id, ''),
    coalesce(currency, ''), coalesce(merchant, ''), coalesce(category, ''), coalesce(country, ''),
    coalesce(channel, ''), coalesce(merchant_currency, ''), coalesce(decline_reason, ''),
    coalesce(authorized_count, 0), coalesce(authorized_minor, 0), coalesce(declined_count, 0),
    coalesce(purchase_count, 0), coalesce(purchase_minor, 0), coalesce(cash_count, 0),
    coalesce(cash_minor, 0), coalesce(refund_count, 0), coalesce(refund_minor, 0)
FROM unnest(
    string_to_array($1, E'\x1f')::bytea[], string_to_array($2, E'\x1f')::date[],
    string_to_array($3, E'\x1f'), string_to_array($4, E'\x1f'), string_to_array($5, E'\x1f'),
    string_to_array($6, E'\x1f'), string_to_array($7, E'\x1f'), string_to_array($8, E'\x1f'),
    string_to_array($9, E'\x1f'), string_to_array($10, E'\x1f'), string_to_array($11, E'\x1f'),
    string_to_array($12, E'\x1f'), string_to_array($13, E'\x1f'), string_to_array($14, E'\x1f'),
    string_to_array($15, E'\x1f'), string_to_array($16, E'\x1f')::bigint[],
    string_to_array($17, E'\x1f')::bigint[], string_to_array($18, E'\x1f')::bigint[],
    string_to_array($19, E'\x1f')::bigint[], string_to_array($20, E'\x1f')::bigint[],
    string_to_array($21, E'\x1f')::bigint[], string_to_array($22, E'\x1f')::bigint[],
    string_to_array($23, E'\x1f')::bigint[], string_to_array($24, E'\x1f')::bigint[]
) AS n (
    digest, day, account_id, card_id, user_id, company_id, department_id, programme_id, currency,
    merchant, category, country, channel, merchant_currency, decline_reason, authorized_count,
    authorized_minor, declined_count, purchase_count, purchase_minor, cash_count, cash_minor,
    refund_count, refund_minor
)
ON CONFLICT (account_id, day, digest) DO UPDATE SET
    authorized_count = t.authorized_count + excluded.authorized_count,
    authorized_minor = t.authorized_minor + excluded.authorized_minor,
    declined_count = t.declined_count + excluded.declined_count,
    purchase_count = t.purchase_count + excluded.purchase_count,
    purchase_minor = t.purchase_minor + excluded.purchase_minor,
    cash_count = t.cash_count + excluded.cash_count,
    cash_minor = t.cash_minor + excluded.cash_minor,
    refund_count = t.refund_count + excluded.refund_count,
    refund_minor = t.refund_minor + excluded.refund_minor

-- put_origins --
-- Remembers what may be given back. Params as above:
-- $1 id, $2 partition, $3 account_id, $4 day, $5 digest, $6 amount_minor, $7 counted.
INSERT INTO live_origin AS o (id, partition, account_id, day, digest, amount_minor, counted)
SELECT * FROM unnest(
    string_to_array($1, E'\x1f'), string_to_array($2, E'\x1f')::smallint[],
    string_to_array($3, E'\x1f'), string_to_array($4, E'\x1f')::date[],
    string_to_array($5, E'\x1f')::bytea[], string_to_array($6, E'\x1f')::bigint[],
    string_to_array($7, E'\x1f')::boolean[]
)
ON CONFLICT (id) DO UPDATE SET day = excluded.day, digest = excluded.digest,
    amount_minor = excluded.amount_minor, counted = excluded.counted

-- select_origins --
-- What is known of some of them. Params: $1 ids, one behind the other.
SELECT o.id, o.partition, o.day, o.amount_minor, o.counted,
    c.account_id, c.card_id, c.user_id, c.company_id,
    c.department_id, c.programme_id, c.currency, c.merchant, c.category, c.country,
    c.channel, c.merchant_currency, c.decline_reason
FROM live_origin o
JOIN live_cell c ON c.account_id = o.account_id AND c.day = o.day AND c.digest = o.digest
WHERE o.id = ANY(string_to_array($1, E'\x1f'))

-- put_names --
-- What merchants are called. Params, each a column with its values one behind the other: $1 keys,
-- $2 names.
INSERT INTO merchant (key, name)
SELECT * FROM unnest(string_to_array($1, E'\x1f'), string_to_array($2, E'\x1f')) AS n (key, name)
ORDER BY key
ON CONFLICT (key) DO NOTHING

-- select_zones --
-- Timezones that are kept. Params: $1 account ids.
SELECT account_id, time_zone FROM account_zone WHERE account_id = ANY($1::text[])

-- insert_zones --
-- Keeps timezones. Params: $1 account ids, $2 the timezone of each.
INSERT INTO account_zone (account_id, time_zone)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (account_id) DO NOTHING

-- select_departments --
-- The departments that members have had. Params: $1 companies, $2 the user of each.
SELECT m.company_id, m.user_id, m.from_pseq, m.department_id
FROM unnest($1::text[], $2::text[]) AS n (company_id, user_id)
JOIN member_department m ON m.company_id = n.company_id AND m.user_id = n.user_id
ORDER BY m.company_id, m.user_id, m.from_pseq

-- insert_departments --
-- Keeps since when members count for departments. Params: $1 companies,
-- $2 users, $3 the first entry of each, $4 departments.
INSERT INTO member_department (company_id, user_id, from_pseq, department_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
ON CONFLICT (company_id, user_id, from_pseq) DO NOTHING

-- share_closing --
-- Nobody begins to close a period until the end of the transaction.
SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '.closing', 0))

-- select_closing --
-- How far periods are closed.
SELECT type, closed_until, done_until FROM closing

-- reopen --
-- Remembers what has come in for closed periods. A row that is there is locked: nobody looks at it
-- and takes it away before what has come in can be seen. Params: $1 subjects, $2 types, $3 first
-- days, $4 when they are looked at.
INSERT INTO reopened AS r (subject_id, type, start_date, due_time)
SELECT n.*, $4::timestamptz FROM unnest($1::text[], $2::text[], $3::date[]) AS n
ORDER BY 1, 2, 3
ON CONFLICT (subject_id, type, start_date) DO UPDATE SET due_time = r.due_time
