-- select_dispute --
-- One dispute. Params: $1 id.
SELECT id, account_id, card_id, user_id, authorization_id, entry_id, category, reason, state,
    currency_code, amount_minor, description, data_key, credited_minor, merchant_minor,
    issuer_minor, cardholder_minor, acknowledge_due_time, resolve_due_time, acknowledged_ms,
    ended_ms, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM dispute
WHERE id = $1

-- select_dispute_for_update --
-- The same, locked for a change of it. Params: $1 id.
SELECT id, account_id, card_id, user_id, authorization_id, entry_id, category, reason, state,
    currency_code, amount_minor, description, data_key, credited_minor, merchant_minor,
    issuer_minor, cardholder_minor, acknowledge_due_time, resolve_due_time, acknowledged_ms,
    ended_ms, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM dispute
WHERE id = $1
FOR NO KEY UPDATE

-- list_disputes_of_person --
-- All disputes that have a person's words. Params: $1 id.
SELECT id FROM dispute WHERE user_id = $1

-- list_disputes --
-- Disputes older than a position, newest first. Params: $1 create_time, $2 id, $3 limit, $4 states,
-- $5 account_id or '', $6 card_id or '', $7 only those whose deadline is not after this, or null.
SELECT id, account_id, card_id, user_id, authorization_id, entry_id, category, reason, state,
    currency_code, amount_minor, description, data_key, credited_minor, merchant_minor,
    issuer_minor, cardholder_minor, acknowledge_due_time, resolve_due_time, acknowledged_ms,
    ended_ms, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM dispute
WHERE (create_time, id) < ($1, $2) AND state = ANY ($4)
    AND ($5 = '' OR account_id = $5) AND ($6 = '' OR card_id = $6)
    AND ($7::timestamptz IS NULL OR deadline_time <= $7)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_dispute --
-- Records a new dispute. Params: $1 id, $2 account_id, $3 card_id, $4 user_id, $5 authorization_id,
-- $6 entry_id, $7 category, $8 reason, $9 state, $10 currency_code, $11 amount_minor,
-- $12 description, $13 data_key, $14 credited_minor, $15 merchant_minor, $16 issuer_minor,
-- $17 cardholder_minor, $18 acknowledge_due_time, $19 resolve_due_time, $20 acknowledged_ms,
-- $21 ended_ms, $22 version, $23 create_time, $24 update_time, $25 deadline_time.
INSERT INTO dispute (id, account_id, card_id, user_id, authorization_id, entry_id, category, reason,
    state, currency_code, amount_minor, description, data_key, credited_minor, merchant_minor,
    issuer_minor, cardholder_minor, acknowledge_due_time, resolve_due_time, acknowledged_ms,
    ended_ms, version, create_time, update_time, deadline_time, due_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $25)

-- update_dispute --
-- Writes the next version of a locked dispute. Params: $1 id, $2 version, $3 state,
-- $4 credited_minor, $5 merchant_minor, $6 issuer_minor, $7 cardholder_minor, $8 acknowledged_ms,
-- $9 ended_ms, $10 update_time, $11 deadline_time.
UPDATE dispute
SET version = $2, state = $3, credited_minor = $4, merchant_minor = $5, issuer_minor = $6,
    cardholder_minor = $7, acknowledged_ms = $8, ended_ms = $9, update_time = $10,
    due_time = CASE WHEN deadline_time IS NOT DISTINCT FROM $11 THEN due_time ELSE $11 END,
    deadline_time = $11
WHERE id = $1 AND version = $2 - 1

-- has_overdue --
-- Whether a deadline has passed of which nobody was told. Params: $1 now.
SELECT EXISTS (SELECT FROM dispute WHERE due_time <= $1)

-- claim_overdue --
-- Open disputes whose deadline has passed and of which nobody was told, locked; who else looks gets
-- others. Params: $1 now, $2 limit.
SELECT id FROM dispute WHERE due_time <= $1
ORDER BY due_time
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED

-- postpone_dispute --
-- The worker looks at a dispute again then. Params: $1 id, $2 due_time or null.
UPDATE dispute SET due_time = $2 WHERE id = $1

-- lock_purchase --
-- Waits for whoever disputes the same purchase. Params: $1 authorization_id.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))

-- charges_of_purchase --
-- What a purchase was cleared and refunded with, and when the statement of each was issued. Params:
-- $1 authorization_id.
SELECT e.entry_id, e.account_id, e.card_id, e.user_id, e.type, e.category, e.amount_minor,
    e.value_time, s.issue_time, s.due_date
FROM billing_entry e
LEFT JOIN statement s ON s.account_id = e.account_id AND s.number = e.number
WHERE e.authorization_id = $1
ORDER BY e.seq

-- card_of_purchase --
-- The card of a purchase that was cleared. Params: $1 authorization_id.
SELECT card_id FROM billing_entry WHERE authorization_id = $1 AND card_id <> '' LIMIT 1

-- earlier_disputes --
-- Disputes about a purchase. Params: $1 authorization_id.
SELECT id AS dispute_id, entry_id, state, amount_minor FROM dispute WHERE authorization_id = $1
ORDER BY create_time

-- select_person_key --
-- The wrapped key of a person, '' if it was erased; it stands still until the commit. Params:
-- $1 id.
SELECT coalesce(key_wrapped, '') FROM person WHERE id = $1 FOR SHARE

-- dispute_belongs --
-- To whom a dispute's account belongs, and whether its card is that of a user who still owns or
-- shares the account. Params: $1 id, $2 user id.
SELECT a.owner_id,
    c.user_id IS NOT DISTINCT FROM $2 AND (a.owner_id = $2 OR u.user_id IS NOT NULL) AS is_user,
    m.user_id IS NOT NULL AND (NOT m.active OR m.role = 'EMPLOYEE') AS dismissed
FROM dispute d
JOIN account a ON a.id = d.account_id
JOIN card c ON c.id = d.card_id
LEFT JOIN company_member m ON m.company_id = a.owner_id AND m.user_id = $2
LEFT JOIN account_user u ON u.account_id = a.id AND u.user_id = $2 AND u.state = 'ACTIVE'
WHERE d.id = $1

-- insert_dispute_posting --
-- Has the ledger post something of a locked dispute. Params: $1 dispute_id, $2 kind,
-- $3 amount_minor, $4 now.
INSERT INTO dispute_posting (dispute_id, number, kind, amount_minor, effective_time, due_time)
SELECT $1, count(*) + 1, $2, $3, $4, $4 FROM dispute_posting WHERE dispute_id = $1

-- claim_dispute_postings --
-- What is to be posted next, of each dispute the first that the ledger does not have; nobody else
-- takes it before it is due again. Params: $1 now, $2 limit, $3 due again.
UPDATE dispute_posting p SET due_time = $3
FROM (
    SELECT one.dispute_id, one.number FROM dispute_posting one
    WHERE one.entry_id IS NULL AND one.due_time <= $1
        AND NOT EXISTS (
            SELECT FROM dispute_posting before
            WHERE before.dispute_id = one.dispute_id AND before.number < one.number
                AND before.entry_id IS NULL
        )
    ORDER BY one.due_time
    LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
) due, dispute d
WHERE p.dispute_id = due.dispute_id AND p.number = due.number AND d.id = p.dispute_id
RETURNING p.dispute_id, p.number, p.kind, p.amount_minor, p.effective_time, d.account_id,
    d.currency_code, d.category, d.entry_id AS charge_id

-- unposted_of --
-- What of a dispute the ledger does not have, in order. Params: $1 dispute_id.
SELECT p.dispute_id, p.number, p.kind, p.amount_minor, p.effective_time, d.account_id,
    d.currency_code, d.category, d.entry_id AS charge_id
FROM dispute_posting p JOIN dispute d ON d.id = p.dispute_id
WHERE p.dispute_id = $1 AND p.entry_id IS NULL
ORDER BY p.number

-- dispute_posted --
-- The ledger has it. Params: $1 dispute_id, $2 number, $3 entry_id.
UPDATE dispute_posting SET entry_id = $3 WHERE dispute_id = $1 AND number = $2

-- postpone_dispute_posting --
-- It is tried again then. Params: $1 dispute_id, $2 number, $3 due_time.
UPDATE dispute_posting SET due_time = $3 WHERE dispute_id = $1 AND number = $2 AND entry_id IS NULL

-- list_dispute_events --
-- What happened to a dispute. Params: $1 dispute_id.
SELECT type, state, amount_minor, actor, event_time FROM dispute_event WHERE dispute_id = $1
ORDER BY number

-- insert_dispute_event --
-- Records what happened to a locked dispute. Params: $1 dispute_id, $2 type, $3 state,
-- $4 amount_minor, $5 actor, $6 event_time.
INSERT INTO dispute_event (dispute_id, number, type, state, amount_minor, actor, event_time)
SELECT $1, count(*) + 1, $2, $3, $4, $5, $6 FROM dispute_event WHERE dispute_id = $1

-- list_dispute_documents --
-- What was handed in. Params: $1 dispute_id.
SELECT id, dispute_id, media_type, size, sha256, create_time FROM dispute_document
WHERE dispute_id = $1
ORDER BY create_time, id

-- insert_dispute_document --
-- Records a document. Params: $1 id, $2 dispute_id, $3 media_type, $4 size, $5 sha256,
-- $6 create_time.
INSERT INTO dispute_document (id, dispute_id, media_type, size, sha256, create_time)
VALUES ($1, $2, $3, $4, $5, $6)
