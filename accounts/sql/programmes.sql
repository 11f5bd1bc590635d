-- select_programme --
-- One programme. Params: $1 id.
SELECT id, display_name, kind, network, currency_code, bin, state, underwriting, first_card_kind,
    open_cards_max, version, create_time, update_time
FROM programme
WHERE id = $1

-- select_programme_for_update --
-- The same, locked for a change of it or of its terms. Params: $1 id.
SELECT id, display_name, kind, network, currency_code, bin, state, underwriting, first_card_kind,
    open_cards_max, version, create_time, update_time
FROM programme
WHERE id = $1
FOR NO KEY UPDATE

-- list_programmes --
-- Programmes older than a position, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT id, display_name, kind, network, currency_code, bin, state, underwriting, first_card_kind,
    open_cards_max, version, create_time, update_time
FROM programme
WHERE (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_programme --
-- Records a new programme. Params: $1 id, $2 display_name, $3 kind, $4 network, $5 currency_code,
-- $6 bin, $7 state, $8 underwriting, $9 first_card_kind, $10 open_cards_max,
-- $11 version, $12 create_time, $13 update_time.
INSERT INTO programme (id, display_name, kind, network, currency_code, bin, state, underwriting,
    first_card_kind, open_cards_max, version, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO NOTHING

-- update_programme --
-- Writes the next version of a programme. Params: $1 id, $2 version, $3 display_name, $4 state,
-- $5 underwriting, $6 first_card_kind, $7 open_cards_max, $8 update_time.
UPDATE programme
SET version = $2, display_name = $3, state = $4, underwriting = $5, first_card_kind = $6,
    open_cards_max = $7, update_time = $8
WHERE id = $1 AND version = $2 - 1

-- select_terms_on --
-- The terms of a day. Params: $1 programme_id, $2 day.
SELECT programme_id, version, effective_date, terms, create_time
FROM programme_terms
WHERE programme_id = $1 AND effective_date <= $2
ORDER BY effective_date DESC
LIMIT 1

-- list_terms --
-- Terms below a version, latest first. Params: $1 programme_id, $2 version, $3 limit.
SELECT programme_id, version, effective_date, terms, create_time
FROM programme_terms
WHERE programme_id = $1 AND version < $2
ORDER BY version DESC
LIMIT $3

-- insert_terms --
-- Records new terms. Params: $1 programme_id, $2 version, $3 effective_date, $4 terms,
-- $5 create_time.
INSERT INTO programme_terms (programme_id, version, effective_date, terms, create_time)
VALUES ($1, $2, $3, $4, $5)
