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

-- owners_of --
-- Who owns accounts. Params: $1 account ids.
SELECT id, owner_id FROM account WHERE id = ANY($1::text[])

-- managers_of --
-- Who manages companies, and may sign in to do so, those who came first first. Params:
-- $1 company ids, $2 how many of each.
SELECT c.company_id, m.user_id
FROM unnest($1::text[]) AS c (company_id)
CROSS JOIN LATERAL (
    SELECT user_id, create_time FROM company_member AS one
    WHERE company_id = c.company_id AND active AND role <> 'EMPLOYEE' AND NOT EXISTS (
        SELECT FROM person WHERE id = one.user_id AND state IN ('SUSPENDED', 'CLOSED')
    )
    ORDER BY create_time, user_id
    LIMIT $2
) m
ORDER BY c.company_id, m.create_time, m.user_id

-- account_belongs --
-- To whom an account belongs, whether a user shares it, and whether the company that owns it has
-- made the user something less than a manager. Params: $1 id, $2 user id.
SELECT a.owner_id, u.user_id IS NOT NULL AS is_user,
    m.user_id IS NOT NULL AND (NOT m.active OR m.role = 'EMPLOYEE') AS dismissed
FROM account a
LEFT JOIN company_member m ON m.company_id = a.owner_id AND m.user_id = $2
LEFT JOIN account_user u ON u.account_id = a.id AND u.user_id = $2 AND u.state = 'ACTIVE'
WHERE a.id = $1

-- card_belongs --
-- The same of a card's account, and whether it is the card of a user who still owns or shares the
-- account. Params: $1 id, $2 user id.
SELECT a.owner_id,
    c.user_id IS NOT DISTINCT FROM $2 AND (a.owner_id = $2 OR u.user_id IS NOT NULL) AS is_user,
    m.user_id IS NOT NULL AND (NOT m.active OR m.role = 'EMPLOYEE') AS dismissed
FROM card c
JOIN account a ON a.id = c.account_id
LEFT JOIN company_member m ON m.company_id = a.owner_id AND m.user_id = $2
LEFT JOIN account_user u ON u.account_id = a.id AND u.user_id = $2 AND u.state = 'ACTIVE'
WHERE c.id = $1

-- company_belongs --
-- A company belongs to itself, known here or not. Params: $1 id, $2 user id.
SELECT $1::text AS owner_id, false AS is_user, EXISTS (
    SELECT FROM company_member
    WHERE company_id = $1 AND user_id = $2 AND (NOT active OR role = 'EMPLOYEE')
) AS dismissed

-- company_known --
-- A company that exists or owns accounts, as company_belongs. Params: $1 id, $2 user id.
SELECT $1::text AS owner_id, false AS is_user, EXISTS (
    SELECT FROM company_member
    WHERE company_id = $1 AND user_id = $2 AND (NOT active OR role = 'EMPLOYEE')
) AS dismissed
WHERE EXISTS (SELECT FROM company WHERE id = $1)
    OR EXISTS (SELECT FROM account WHERE owner_id = $1)

-- department_belongs --
-- A department belongs to its company. Params: $1 id, $2 user id.
SELECT d.company_id AS owner_id, false AS is_user,
    m.user_id IS NOT NULL AND (NOT m.active OR m.role = 'EMPLOYEE') AS dismissed
FROM department d
LEFT JOIN company_member m ON m.company_id = d.company_id AND m.user_id = $2
WHERE d.id = $1

-- user_known --
-- A user belongs to itself. Params: $1 id, $2 user id, which makes no difference.
SELECT $1::text AS owner_id, $2::text = $1 AS is_user, false AS dismissed
WHERE EXISTS (SELECT FROM person WHERE id = $1)
    OR EXISTS (SELECT FROM account WHERE owner_id = $1)
    OR EXISTS (SELECT FROM account_user WHERE user_id = $1)

-- programme_known --
-- A programme is the issuer's. Params: $1 id, $2 user id, which makes no difference.
SELECT '' AS owner_id, $2::text IS NULL AS is_user, false AS dismissed
WHERE EXISTS (SELECT FROM programme WHERE id = $1)
    OR EXISTS (SELECT FROM account WHERE programme_id = $1)

-- currency_of_account --
-- The currency of an account. Params: $1 account id.
SELECT currency_code FROM account WHERE id = $1

-- currency_of_card --
-- The currency of a card's account. Params: $1 card id.
SELECT a.currency_code FROM card c JOIN account a ON a.id = c.account_id WHERE c.id = $1

-- terms_of_accounts --
-- The last terms of the programmes of accounts. Params: $1 account ids.
SELECT a.id, t.terms FROM account a
LEFT JOIN LATERAL (
    SELECT terms FROM programme_terms
    WHERE programme_id = a.programme_id ORDER BY version DESC LIMIT 1
) t ON true
WHERE a.id = ANY($1::text[])

-- departments_of --
-- The departments of members. Params: $1 companies, $2 the user of each.
SELECT m.company_id, m.user_id, m.department_id
FROM unnest($1::text[], $2::text[]) AS n (company_id, user_id)
JOIN company_member m ON m.company_id = n.company_id AND m.user_id = n.user_id
WHERE m.active AND m.department_id IS NOT NULL
