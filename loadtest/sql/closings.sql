-- insert_programme --
-- Params: $1 create_time.
INSERT INTO accounts.programme (id, display_name, kind, network, currency_code, bin, state,
    underwriting, first_card_kind, version, create_time, update_time)
VALUES ('prog_bench', 'Benchmark', 'CONSUMER', 'VISA', 'USD', '400000', 'ACTIVE', '', 'VIRTUAL', 1,
    $1, $1)

-- insert_terms --
-- Params: $1 effective_date, $2 terms, $3 create_time.
INSERT INTO accounts.programme_terms (programme_id, version, effective_date, terms, create_time)
VALUES ('prog_bench', 1, $1, $2, $3)

-- insert_accounts --
-- Params: $1 ids, $2 credit_limit_minor, $3 create_time, $4 currency_code.
INSERT INTO accounts.account (id, owner_id, programme_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time)
SELECT id, 'usr_' || substr(id, 6), 'prog_bench', 'OPEN', $4, $2, 1, $3, $3
FROM unnest($1::text[]) AS id

-- insert_lines --
-- What billing has taken in of each account's cycle: purchases on its first days, and a cash
-- advance. Params: $1 account ids, $2 lines of each, $3 time of opening.
INSERT INTO accounts.billing_entry (entry_id, account_id, seq, type, change, category, amount_minor,
    value_time, post_time, card_id, user_id, authorization_id, payment_id, related_entry_id,
    descriptor, category_code, is_foreign)
SELECT 'ent_' || substr(id, 6, 2) || md5(id || line), id, line, 'CAPTURE', 'DEBIT',
    CASE WHEN line = $2 THEN 'CASH' ELSE 'PURCHASE' END,
    10000 + (row * 37 + line * 1013) % 20000,
    $3::timestamptz + line * interval '1 day', $3::timestamptz + line * interval '1 day',
    'card_' || substr(id, 6), 'usr_' || substr(id, 6), 'auth_' || substr(id, 6), '', '',
    'Corner shop', '5411', false
FROM unnest($1::text[]) WITH ORDINALITY AS account (id, row),
    generate_series(1::bigint, $2::bigint) AS line

-- insert_billing --
-- Params: $1 account ids, $2 state.
INSERT INTO accounts.billing_account (account_id, phase, work_time, state)
SELECT id, 'RUNNING', to_timestamp(0), $2::jsonb FROM unnest($1::text[]) AS id

-- analyze --
-- Has PostgreSQL look at what was inserted.
ANALYZE accounts.account, accounts.billing_account, accounts.billing_entry

-- count_issued --
-- Statements that are issued.
SELECT count(*) FROM accounts.statement WHERE issue_time IS NOT NULL

-- billed --
-- Statements and what they say, held against lines and ledger.
WITH lines AS (
    SELECT account_id, sum(amount_minor)::bigint AS minor, count(*) AS entries
    FROM accounts.billing_entry WHERE type <> 'INTEREST' GROUP BY account_id
), posted AS (
    SELECT account_id, sum(amount_minor)::bigint AS minor, count(*) AS entries
    FROM authz.journal_entry WHERE type = 'T' GROUP BY account_id
), made AS (
    SELECT account_id, count(*) AS statements, count(issue_time) AS issued,
        max(closing_minor) AS closing_minor
    FROM accounts.statement GROUP BY account_id
)
SELECT
    coalesce(sum(made.issued), 0)::bigint AS issued,
    count(*) FILTER (WHERE made.statements > 1 OR posted.entries > 1) AS double_billed,
    count(*) FILTER (
        WHERE made.closing_minor IS DISTINCT FROM lines.minor + posted.minor
            OR balance.posted_minor IS DISTINCT FROM posted.minor
    ) AS wrong
FROM lines
LEFT JOIN made USING (account_id)
LEFT JOIN posted USING (account_id)
LEFT JOIN authz.account_balance AS balance USING (account_id)
