-- lock_cards --
-- Lets one at a time add a card to an account, until the commit. Params: $1 account_id.
SELECT pg_advisory_xact_lock(hashtextextended('accounts.cards_of:' || $1, 0))

-- count_open_cards --
-- Cards of an account that may be used, now or once they are activated or unfrozen. Params:
-- $1 account_id, $2 year and $3 month of now.
SELECT count(*)
FROM card
WHERE account_id = $1 AND state IN ('INACTIVE', 'ACTIVE', 'FROZEN')
    AND (expiry_year, expiry_month) >= ($2, $3)

-- select_open_cards_max --
-- How many an account of a programme may have. Params: $1 programme_id.
SELECT open_cards_max FROM programme WHERE id = $1
