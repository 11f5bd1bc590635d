-- given_back --
-- What was given back of an entry, by staff or for a dispute about its charge; how often by staff;
-- and what is left of all charges of its kind: those that are in the ledger, less all that was
-- given back of them or is about to be. And which request charged it, if it is a late fee. Params:
-- $1 account_id, $2 entry_id, $3 type of entry.
SELECT
    coalesce((
        SELECT sum(amount_minor) FROM charge_waiver WHERE account_id = $1 AND entry_id = $2
    ), 0)::bigint
    + coalesce((
        SELECT sum(c.amount_minor) FROM billing_posting p
        JOIN billing_posting c ON c.account_id = p.account_id
            AND c.related_entry_id = p.related_entry_id AND c.charge = 'FEE_CORRECTION'
        WHERE p.account_id = $1 AND p.entry_id = $2
    ), 0)::bigint AS of_entry_minor,
    (SELECT count(*) FROM charge_waiver WHERE account_id = $1 AND entry_id = $2) AS times,
    coalesce((
        SELECT sum(amount_minor) FROM billing_entry
        WHERE account_id = $1 AND type = $3 AND change = 'DEBIT'
    ), 0)::bigint
    - coalesce((
        SELECT sum(amount_minor) FROM billing_posting
        WHERE account_id = $1 AND change = 'CREDIT' AND category = $3
            AND charge <> 'CHARGE_OFF'
    ), 0)::bigint AS left_of_all_minor,
    coalesce((
        SELECT request_id FROM billing_posting
        WHERE account_id = $1 AND entry_id = $2 AND charge = 'LATE_FEE'
    ), '') AS late_fee_request

-- insert_waiver --
-- Params: $1 account_id, $2 request_id of the posting, $3 entry_id, $4 amount_minor, $5 reason,
-- $6 note, $7 principal, $8 create_time, $9 in_state.
INSERT INTO charge_waiver (account_id, request_id, entry_id, amount_minor, reason, note, principal,
    create_time, in_state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- late_fees_given_back --
-- Of late fees, what was given back after their cycle's end, by the statement that was not paid:
-- their request ids name it. Params: $1 account_id.
SELECT split_part(p.request_id, ':', 2)::integer AS number, sum(w.amount_minor)::bigint AS minor
FROM charge_waiver w
JOIN billing_posting p ON p.account_id = w.account_id AND p.entry_id = w.entry_id
WHERE w.account_id = $1 AND p.charge = 'LATE_FEE' AND NOT w.in_state
GROUP BY 1

-- uncredited_interest --
-- Interest that was charged, less what was given back of it or is about to be. Params:
-- $1 account_id.
SELECT coalesce((
        SELECT sum(amount_minor) FROM billing_entry
        WHERE account_id = $1 AND type = 'INTEREST' AND change = 'DEBIT'
    ), 0)::bigint
    - coalesce((
        SELECT sum(amount_minor) FROM billing_posting
        WHERE account_id = $1 AND change = 'CREDIT' AND category = 'INTEREST'
            AND charge <> 'CHARGE_OFF'
    ), 0)::bigint

-- uncredited_fees --
-- Fees that charges have caused, less what was given back of them or is about to be: by staff, and
-- for disputes. Params: $1 account_id, $2 entries of charges.
SELECT f.charge_id, (f.minor
    - coalesce((
        SELECT sum(w.amount_minor) FROM charge_waiver w
        WHERE w.account_id = $1 AND w.entry_id = ANY (f.entries)
    ), 0)
    - coalesce((
        SELECT sum(c.amount_minor) FROM billing_posting c
        WHERE c.account_id = $1 AND c.charge = 'FEE_CORRECTION'
            AND c.related_entry_id = f.charge_id
    ), 0))::bigint AS minor
FROM (
    SELECT related_entry_id AS charge_id, sum(amount_minor) AS minor, array_agg(entry_id) AS entries
    FROM billing_posting
    WHERE account_id = $1 AND related_entry_id = ANY ($2)
        AND charge IN ('CASH_ADVANCE_FEE', 'FOREIGN_FEE')
    GROUP BY related_entry_id
) f

-- list_delinquency_changes --
-- Latest first. Params: $1 account_id, $2 before this time, $3 or then, and before this bucket,
-- $4 limit.
SELECT change_time, bucket_before, bucket, days_past_due, past_due_minor FROM delinquency_change
WHERE account_id = $1 AND (change_time, bucket) < ($2, $3)
ORDER BY change_time DESC, bucket DESC
LIMIT $4
