-- set_membership --
-- Takes over a member's version; returns nothing unless it is newer. Params: $1 user_id,
-- $2 company_id, $3 version, $4 manages.
INSERT INTO membership AS known (user_id, company_id, version, manages)
VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, company_id) DO UPDATE SET version = $3, manages = $4
WHERE known.version < $3
RETURNING version

-- select_membership --
-- The version that counts. Params: $1 user_id, $2 company_id.
SELECT version FROM membership WHERE user_id = $1 AND company_id = $2
