-- select_number --
-- A card's number. Params: $1 card_id.
SELECT card_id, pan_sealed, pan_hash, hash_key_id, cvv_key_id, bin, last4, expiry_month, expiry_year
FROM card_number
WHERE card_id = $1

-- select_numbers --
-- Numbers of cards, those that have one. Params: $1 card ids.
SELECT card_id, pan_sealed, pan_hash, hash_key_id, cvv_key_id, bin, last4, expiry_month, expiry_year
FROM card_number
WHERE card_id = ANY($1::text[])

-- find_card --
-- The card that has a number. Params: $1 hashes of the number, one by each key.
SELECT card_id
FROM card_number
WHERE pan_hash = ANY($1::bytea[])

-- insert_number --
-- Gives a card its number; nothing if the card has one, or the number is taken. Params: $1 card_id,
-- $2 pan_sealed, $3 key_id, $4 pan_hash, $5 hash_key_id, $6 cvv_key_id, $7 bin, $8 last4,
-- $9 expiry_month, $10 expiry_year, $11 now.
INSERT INTO card_number (card_id, pan_sealed, key_id, pan_hash, hash_key_id, cvv_key_id, bin, last4,
    expiry_month, expiry_year, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
ON CONFLICT DO NOTHING
RETURNING true

-- insert_numbers --
-- The same for many cards; returns those that have their number now. Params, all arrays but the
-- last: $1 card_id, $2 pan_sealed, $3 key_id, $4 pan_hash, $5 hash_key_id, $6 cvv_key_id, $7 bin,
-- $8 last4, $9 expiry_month, $10 expiry_year, $11 now.
INSERT INTO card_number (card_id, pan_sealed, key_id, pan_hash, hash_key_id, cvv_key_id, bin, last4,
    expiry_month, expiry_year, create_time, update_time)
SELECT *, $11::timestamptz, $11::timestamptz
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::smallint[], $10::smallint[])
ON CONFLICT DO NOTHING
RETURNING card_id

-- select_taken --
-- Those of these hashes that a number has, or had. Params: $1 hashes.
SELECT pan_hash
FROM card_number
WHERE pan_hash = ANY($1::bytea[])
UNION ALL
SELECT pan_hash
FROM used_number
WHERE pan_hash = ANY($1::bytea[])

-- update_expiry --
-- Makes a number valid until another month. Params: $1 card_id, $2 expiry_month, $3 expiry_year,
-- $4 now.
UPDATE card_number
SET expiry_month = $2, expiry_year = $3, update_time = $4
WHERE card_id = $1
RETURNING card_id, pan_sealed, pan_hash, hash_key_id, cvv_key_id, bin, last4, expiry_month,
    expiry_year

-- lock_number --
-- Lets one reveal of a card at a time count the others. Params: $1 card_id.
SELECT 1
FROM card_number
WHERE card_id = $1
FOR NO KEY UPDATE

-- select_reveal --
-- What a request id was used for, and when. Params: $1 principal, $2 request_id.
SELECT card_id, create_time
FROM reveal
WHERE principal = $1 AND request_id = $2

-- count_reveals --
-- How often a card was shown since an instant, and again. Params: $1 card_id, $2 instant.
SELECT coalesce(sum(1 + repeats), 0)
FROM reveal
WHERE card_id = $1 AND create_time > $2

-- insert_reveal --
-- Records that a card is shown; waits for another one that is shown under the same request id at
-- the same time, and returns nothing then. Params: $1 principal, $2 request_id, $3 card_id,
-- $4 reason, $5 now.
INSERT INTO reveal (principal, request_id, card_id, reason, create_time)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (principal, request_id) DO NOTHING
RETURNING true

-- repeat_reveal --
-- Records that a card is shown again. Params: $1 principal, $2 request_id.
UPDATE reveal
SET repeats = repeats + 1
WHERE principal = $1 AND request_id = $2

-- list_reveals --
-- When cards were shown, up to an instant, newest first. Params: $1 card ids, $2 instant,
-- $3 offset, $4 limit.
SELECT card_id, principal, reason, create_time
FROM reveal
WHERE card_id = ANY($1::text[]) AND create_time <= $2
ORDER BY create_time DESC, principal, request_id
OFFSET $3 LIMIT $4

-- list_stale_numbers --
-- Numbers that are sealed or hashed with an older key than the current one, after a card: ids of
-- keys sort by age, so that an index says at once that there are none.
-- Params: $1 key_id, $2 hash_key_id, $3 card_id, $4 limit.
SELECT card_id, pan_sealed, pan_hash
FROM card_number
WHERE card_id > $3 AND (key_id < $1 OR hash_key_id < $2)
ORDER BY card_id
LIMIT $4

-- reseal_number --
-- Replaces seal and hash of a number, unless that has happened. Params: $1 card_id,
-- $2 the seal before, $3 pan_sealed, $4 key_id, $5 pan_hash, $6 hash_key_id.
UPDATE card_number
SET pan_sealed = $3, key_id = $4, pan_hash = $5, hash_key_id = $6
WHERE card_id = $1 AND pan_sealed = $2

-- lock_numbers --
-- Numbers of cards that are to be removed. Params: $1 card_ids.
SELECT card_id, pan_sealed
FROM card_number
WHERE card_id = ANY($1::text[])
ORDER BY card_id
FOR UPDATE

-- insert_used --
-- Remembers that there were numbers. Params: $1 hashes.
INSERT INTO used_number (pan_hash)
SELECT unnest($1::bytea[])
ON CONFLICT DO NOTHING

-- forget_numbers --
-- Removes the numbers of cards. Params: $1 card_ids.
DELETE FROM card_number
WHERE card_id = ANY($1::text[])

-- forget_reasons --
-- Removes what was said when these cards were shown; that they were stays. Params: $1 card_ids.
UPDATE reveal
SET reason = ''
WHERE card_id = ANY($1::text[])
