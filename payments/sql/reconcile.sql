-- payments_after --
-- Payments in the order of their ids. Params: $1 the last id, $2 limit.
SELECT * FROM payment WHERE id > $1 ORDER BY id LIMIT $2

-- payments_of --
-- Payments by their ids, or by what Stripe calls them. Params: $1 ids, $2 references.
SELECT id, processor_reference FROM payment
WHERE id = ANY($1::text[])
    OR (processor_reference = ANY($2::text[]) AND source IN ('STRIPE_CARD', 'ACH'))

-- deposit_charges_of --
-- What was taken from deposits, by payment. Params: $1 payment ids.
SELECT charge.payment_id, charge.amount_minor, charge.taken, charge.returned, kept.currency_code
FROM deposit_charge AS charge
JOIN deposit AS kept USING (account_id)
WHERE charge.payment_id = ANY($1::text[])

-- stray_deposit_charges --
-- What was taken from deposits for payments that are not there. Params: $1 limit.
SELECT charge.payment_id, charge.amount_minor, charge.taken, charge.returned, kept.currency_code
FROM deposit_charge AS charge
JOIN deposit AS kept USING (account_id)
WHERE charge.taken AND NOT EXISTS (SELECT FROM payment WHERE payment.id = charge.payment_id)
ORDER BY charge.payment_id
LIMIT $1

-- booked_of --
-- The ledger's payments and refunds, by their ids. Params: $1 ids.
SELECT id, account_id, amount_minor, state FROM authz.payment WHERE id = ANY($1::text[])

-- booked_after --
-- The ledger's payments and refunds in the order of their ids. Params: $1 the last id, $2 limit.
SELECT id, account_id, amount_minor, state FROM authz.payment WHERE id > $1 ORDER BY id LIMIT $2

-- refunds_after --
-- Refunds in the order of their ids. Params: $1 the last id, $2 limit.
SELECT * FROM refund WHERE id > $1 ORDER BY id LIMIT $2

-- refunds_of --
-- Refunds of payments. Params: $1 payment ids.
SELECT * FROM refund WHERE payment_id = ANY($1::text[])

-- refunds_named --
-- Which of these refunds there are. Params: $1 ids.
SELECT id FROM refund WHERE id = ANY($1::text[])

-- deposit_refunds_of --
-- What was given back to deposits, by refund. Params: $1 refund ids.
SELECT given.refund_id, given.amount_minor, kept.currency_code
FROM deposit_refund AS given
JOIN deposit AS kept USING (account_id)
WHERE given.refund_id = ANY($1::text[])
