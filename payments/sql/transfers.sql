-- lock_transfers --
-- Transfers are taken in by one at a time, until the commit: a reference is a payment, or on the
-- list, never both.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.transfer', 0))

-- select_unmatched --
-- A transfer that once belonged to nobody. Params: $1 id.
SELECT * FROM unmatched_transfer WHERE id = $1

-- list_unmatched --
-- Transfers that belong to nobody, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT * FROM unmatched_transfer
WHERE NOT done AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_unmatched --
-- Keeps a transfer for staff. Params: $1 id, $2 source, $3 bank_reference, $4 amount_minor,
-- $5 currency_code, $6 receive_date, $7 remittance, $8 reason, $9 now.
INSERT INTO unmatched_transfer (
    id, source, bank_reference, amount_minor, currency_code, receive_date, remittance, reason,
    create_time
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- finish_unmatched --
-- Takes a transfer off the list, and what the payer has written with it. Params: $1 id.
UPDATE unmatched_transfer SET done = true, remittance = '' WHERE id = $1
