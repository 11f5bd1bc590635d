-- note --
-- Remembers who froze a card; of several, who has the most say. Params: $1 card, $2 authority.
INSERT INTO card_freeze (card_id, authority) VALUES ($1, $2)
ON CONFLICT (card_id) DO UPDATE SET authority = greatest(card_freeze.authority, excluded.authority)

-- select --
-- Params: $1 card.
SELECT authority FROM card_freeze WHERE card_id = $1

-- forget --
-- Params: $1 card.
DELETE FROM card_freeze WHERE card_id = $1
