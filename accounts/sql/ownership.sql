-- list_accounts_of_caller --
-- Accounts of some owners and those that a user shares, newest first: a page of each, so that
-- nobody else's account is looked at. Params: $1 create_time, $2 id, $3 limit, $4 owner ids,
-- $5 user id, $6 owner_id or ''.
WITH shared AS MATERIALIZED (
    SELECT account_id FROM account_user WHERE user_id = $5 AND state = 'ACTIVE'
)
SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
    version, create_time, update_time, controls
FROM (
    SELECT owned.*
    FROM unnest($4::text[]) AS owner (name)
    CROSS JOIN LATERAL (
        SELECT id, owner_id, programme_id, parent_account_id, state, currency_code,
            credit_limit_minor, version, create_time, update_time, controls
        FROM account
        WHERE owner_id = owner.name AND (create_time, id) < ($1, $2)
        ORDER BY create_time DESC, id DESC
        LIMIT $3
    ) AS owned
    UNION
    SELECT id, owner_id, programme_id, parent_account_id, state, currency_code, credit_limit_minor,
        version, create_time, update_time, controls
    FROM shared JOIN account ON id = account_id
    WHERE (create_time, id) < ($1, $2)
) AS theirs
WHERE owner_id = $6 OR $6 = ''
ORDER BY create_time DESC, id DESC
LIMIT $3

-- account_belongs --
-- To whom an account belongs, and whether a user shares it. Params: $1 id, $2 user id.
SELECT a.owner_id, u.user_id IS NOT NULL AS is_user
FROM account a
LEFT JOIN account_user u ON u.account_id = a.id AND u.user_id = $2 AND u.state = 'ACTIVE'
WHERE a.id = $1

-- card_belongs --
-- To whom a card's account belongs, and whether it is a user's card. Params: $1 id, $2 user id.
SELECT a.owner_id, c.user_id IS NOT DISTINCT FROM $2 AS is_user
FROM card c
JOIN account a ON a.id = c.account_id
WHERE c.id = $1
