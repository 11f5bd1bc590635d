-- insert_names --
-- Names of merchants. Params: $1 how many.
INSERT INTO stats.merchant (key, name)
SELECT 'm-' || n, 'Merchant ' || n FROM generate_series(0, $1 - 1) AS n

-- insert_cells --
-- As many places with one purchase each as statistics would have counted: cards of a company, days
-- of a quarter. Params: $1 first number, $2 last number, $3 the company, $4 cards, $5 merchants.
INSERT INTO stats.live_cell (
    digest, day, account_id, card_id, user_id, company_id, department_id, programme_id, currency,
    merchant, category, country, channel, merchant_currency, decline_reason, authorized_count,
    authorized_minor, declined_count, purchase_count, purchase_minor, refund_count, refund_minor
)
SELECT decode(md5(n::text), 'hex'), date '2026-01-01' + (n / $4 % 90)::int,
    'acct_0a' || md5('a' || n % ($4 / 10)), 'card_0a' || md5('c' || n % $4),
    'usr_0b' || md5('u' || n % $4), $3, 'dept_0a' || md5('d' || n % 20), 'prog_bench', 'USD',
    'm-' || n / 7 % $5, (5000 + n % 300)::text, 'USA', 'CHIP', 'USD', '', 1, 100 + n % 50000, 0, 1,
    100 + n % 50000, 0, 0
FROM generate_series($1::bigint, $2::bigint) AS n

-- insert_totals --
-- What they come to, by day. Params: $1 the company.
INSERT INTO stats.live_total (
    subject_id, day, currency, partition, authorized_count, authorized_minor, reversed_count,
    reversed_minor, expired_count, expired_minor, declined_count, purchase_count, purchase_minor,
    refund_count, refund_minor, payment_count, payment_minor, fee_count, fee_minor,
    interest_count, interest_minor, adjustment_count, adjustment_minor, correction_count,
    largest_minor, corrected_ms
)
SELECT $1, day, 'USD', 10, count(*), sum(purchase_minor), 0, 0, 0, 0, 0, count(*),
    sum(purchase_minor), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, max(purchase_minor), 0
FROM stats.live_cell WHERE company_id = $1 GROUP BY day

-- insert_report --
-- A report that is to be made, as who asks for one leaves it. Params: $1 id, $2 the company,
-- $3 format, $4 groups, $5 key.
INSERT INTO stats.report (
    id, subject_id, type, format, currency_code, groups, books, start_date, end_date, state, key,
    schedule_id, principal, due_time, create_time, expire_time
)
VALUES ($1, $2, 'SPENDING', $3, '', $4, 'ISSUER', '2026-01-01', '2026-03-31', 'QUEUED', $5, '',
    'bench', now(), now(), now() + interval '1 day')

-- select_report --
-- How far a report is. Params: $1 id.
SELECT state, row_count, size_bytes, attempts, failure FROM stats.report WHERE id = $1

-- analyze_cells --
-- As autovacuum would have done.
ANALYZE stats.live_cell
