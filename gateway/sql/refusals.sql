-- select_place --
-- How far the file of refusals has been read.
SELECT file, place FROM refusal_place

-- write_place --
-- The same from now on. Params: $1 file, $2 where the next line begins.
INSERT INTO refusal_place (file, place) VALUES ($1, $2)
ON CONFLICT (one) DO UPDATE SET file = $1, place = $2
