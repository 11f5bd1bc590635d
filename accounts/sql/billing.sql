-- has_due --
-- Whether any account has something to do. Params: $1 now.
SELECT EXISTS (SELECT FROM billing_account WHERE work_time <= $1)

-- claim_due --
-- Accounts with something to do, locked; who else looks gets others. Params: $1 now, $2 limit.
SELECT b.account_id, b.phase, b.state, a.programme_id, a.currency_code, a.create_time,
    a.state AS account_state
FROM billing_account b JOIN account a ON a.id = b.account_id
WHERE b.work_time <= $1
ORDER BY b.work_time
LIMIT $2
FOR UPDATE OF b SKIP LOCKED

-- keep --
-- The state of a locked account. Params: $1 account_id, $2 state.
UPDATE billing_account SET state = $2::jsonb WHERE account_id = $1

-- postpone --
-- An account whose work failed. Params: $1 account_id, $2 work_time.
UPDATE billing_account SET work_time = $2 WHERE account_id = $1

-- enrol --
-- Accounts of programmes with terms are billed. Params: $1 account ids or null for all, $2 limit.
INSERT INTO billing_account (account_id, phase, work_time)
SELECT a.id, 'NEW', a.create_time
FROM account a
WHERE ($1::text[] IS NULL OR a.id = ANY ($1))
    AND EXISTS (SELECT FROM programme_terms t WHERE t.programme_id = a.programme_id)
    AND NOT EXISTS (SELECT FROM billing_account b WHERE b.account_id = a.id)
LIMIT $2
ON CONFLICT DO NOTHING

-- update_accounts --
-- Params: $1 account ids, and for each: $2 phase, $3 work_time or null, $4 bucket, $5 state.
UPDATE billing_account b
SET phase = n.phase, work_time = n.work_time, bucket = n.bucket, state = n.state
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::jsonb[])
    AS n (account_id, phase, work_time, bucket, state)
WHERE b.account_id = n.account_id

-- select_account --
-- One account. Params: $1 account_id.
SELECT b.account_id, b.phase, b.state, a.programme_id, a.currency_code, a.create_time,
    a.state AS account_state
FROM billing_account b JOIN account a ON a.id = b.account_id
WHERE b.account_id = $1

-- open_entries --
-- What is on no statement yet. Params: $1 account ids.
SELECT * FROM billing_entry WHERE account_id = ANY ($1) AND number IS NULL ORDER BY account_id, seq

-- entry_of --
-- Params: $1 account_id, $2 entry_id.
SELECT * FROM billing_entry WHERE account_id = $1 AND entry_id = $2

-- entries_of --
-- The lines of a statement. Params: $1 account_id, $2 number.
SELECT * FROM billing_entry WHERE account_id = $1 AND number = $2 ORDER BY seq

-- charges_of --
-- Why billing posted some lines of a statement. Params: $1 account_id, $2 entry ids.
SELECT entry_id, charge, interest_on FROM billing_posting
WHERE account_id = $1 AND entry_id = ANY ($2)

-- number_entries --
-- Params: $1 entry ids, $2 the statement of each.
UPDATE billing_entry e SET number = n.number
FROM unnest($1::text[], $2::integer[]) AS n (entry_id, number)
WHERE e.entry_id = n.entry_id AND e.number IS NULL

-- insert_entries --
-- Takes ledger entries in; what billing posted itself stands on the statement it was posted for.
-- Params: $1 entry_id, $2 account_id, $3 seq, $4 type, $5 change, $6 category, $7 amount_minor,
-- $8 value_time, $9 post_time, $10 card_id, $11 user_id, $12 authorization_id, $13 payment_id,
-- $14 related_entry_id, $15 descriptor, $16 category_code, $17 is_foreign, $18 request_id: of each.
INSERT INTO billing_entry (entry_id, account_id, seq, type, change, category, amount_minor,
    value_time, post_time, card_id, user_id, authorization_id, payment_id, related_entry_id,
    descriptor, category_code, is_foreign, number)
SELECT n.entry_id, n.account_id, n.seq, n.type, n.change, n.category, n.amount_minor,
    CASE WHEN p.number IS NULL THEN n.value_time ELSE p.value_time END, n.post_time, n.card_id,
    n.user_id, n.authorization_id, n.payment_id, n.related_entry_id,
    n.descriptor, n.category_code, n.is_foreign, p.number
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[],
        $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::text[], $16::text[], $17::boolean[], $18::text[])
    AS n (entry_id, account_id, seq, type, change, category, amount_minor, value_time, post_time,
        card_id, user_id, authorization_id, payment_id, related_entry_id, descriptor,
        category_code, is_foreign, request_id)
LEFT JOIN billing_posting p ON p.account_id = n.account_id AND p.request_id = n.request_id
ON CONFLICT DO NOTHING

-- return_postings --
-- What billing posted has come back. Params: $1 account ids, $2 request ids, $3 entry ids.
UPDATE billing_posting p SET entry_id = n.entry_id, posted = true
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (account_id, request_id, entry_id)
WHERE p.account_id = n.account_id AND p.request_id = n.request_id AND p.entry_id IS NULL
RETURNING p.account_id

-- lock_accounts --
-- Waits for whoever works on these accounts, so that they are woken as they are left. Params:
-- $1 account ids.
SELECT account_id FROM billing_account WHERE account_id = ANY ($1) ORDER BY account_id
FOR NO KEY UPDATE

-- wake --
-- Something came in for accounts that were waiting for it, had ended or are charged off: they are
-- due at once.
-- Params: $1 account ids that may be waiting, $2 all account ids.
UPDATE billing_account
SET work_time = to_timestamp(0), phase = CASE phase WHEN 'ENDED' THEN 'RUNNING' ELSE phase END
WHERE account_id = ANY ($1)
    OR account_id = ANY ($2) AND (phase = 'ENDED' OR bucket = 'CHARGED_OFF')

-- claim_postings --
-- What is to be posted; nobody else takes it before it is due again. Params: $1 now, $2 limit,
-- $3 due again.
UPDATE billing_posting p SET due_time = $3
FROM (
    SELECT account_id, request_id FROM billing_posting
    WHERE NOT posted AND due_time <= $1
    ORDER BY due_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) due
WHERE p.account_id = due.account_id AND p.request_id = due.request_id
RETURNING p.*

-- posted --
-- Params: $1 account ids, $2 request ids.
UPDATE billing_posting p SET posted = true
FROM unnest($1::text[], $2::text[]) AS n (account_id, request_id)
WHERE p.account_id = n.account_id AND p.request_id = n.request_id AND NOT p.posted

-- postpone_postings --
-- Params: $1 account ids, $2 request ids, $3 due_time.
UPDATE billing_posting p SET due_time = $3
FROM unnest($1::text[], $2::text[]) AS n (account_id, request_id)
WHERE p.account_id = n.account_id AND p.request_id = n.request_id

-- unreturned --
-- Accounts whose statement waits for the ledger. Params: $1 account ids, $2 the number of each.
SELECT DISTINCT p.account_id
FROM unnest($1::text[], $2::integer[]) AS n (account_id, number)
JOIN billing_posting p ON p.account_id = n.account_id AND p.number = n.number
WHERE p.entry_id IS NULL

-- sums_of --
-- What a statement's lines come to. Params: $1 account ids, $2 the number of each.
SELECT n.account_id, coalesce(sum(
    CASE WHEN e.change IN ('DEBIT', 'RETURN') THEN e.amount_minor ELSE -e.amount_minor END
), 0)::bigint AS minor
FROM unnest($1::text[], $2::integer[]) AS n (account_id, number)
LEFT JOIN billing_entry e ON e.account_id = n.account_id AND e.number = n.number
GROUP BY n.account_id

-- issue --
-- Params: $1 account ids, $2 the number of each, $3 issue_time.
UPDATE statement s SET issue_time = $3
FROM unnest($1::text[], $2::integer[]) AS n (account_id, number)
WHERE s.account_id = n.account_id AND s.number = n.number AND s.issue_time IS NULL
RETURNING s.account_id, s.closing_minor, s.closing_minor - s.opening_minor AS change_minor, s.body

-- statements_since --
-- What can be computed again: the statements from a day on, latest first. Params: $1 account_id,
-- $2 day, $3 limit.
SELECT number, terms_version, before FROM statement
WHERE account_id = $1 AND cycle_end >= $2
ORDER BY number DESC
LIMIT $3

-- ended_disputes --
-- Disputes of an account that have ended, with when their charge counted from. Params:
-- $1 account_id.
SELECT d.id AS dispute_id, d.entry_id, d.category, d.amount_minor,
    d.merchant_minor + d.issuer_minor AS won_minor, e.value_time, d.create_time, d.ended_ms
FROM dispute d
JOIN billing_entry e ON e.entry_id = d.entry_id
WHERE d.account_id = $1 AND d.ended_ms > 0
ORDER BY d.create_time

-- list_statements --
-- Issued statements, latest first. Params: $1 account_id, $2 below this number, $3 limit.
SELECT account_id, number, body, issue_time FROM statement
WHERE account_id = $1 AND number < $2 AND issue_time IS NOT NULL
ORDER BY number DESC
LIMIT $3

-- insert_delinquency --
-- Params: $1 account_id, $2 change_time, $3 bucket_before, $4 bucket, $5 days_past_due,
-- $6 past_due_minor.
INSERT INTO delinquency_change (account_id, change_time, bucket_before, bucket, days_past_due,
    past_due_minor)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- terms_of_programme --
-- All terms of a programme, earliest first. Params: $1 programme_id.
SELECT programme_id, version, effective_date, terms, create_time FROM programme_terms
WHERE programme_id = $1
ORDER BY effective_date
