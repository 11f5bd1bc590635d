-- select_company --
-- One company. Params: $1 id.
SELECT id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE id = $1

-- select_company_for_update --
-- The same, locked for a change of it or of its members. Params: $1 id.
SELECT id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE id = $1
FOR NO KEY UPDATE

-- select_company_for_share --
-- The same, its state standing still until the commit. Params: $1 id.
SELECT id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE id = $1
FOR SHARE

-- select_company_of_account_for_share --
-- The same of the company that owns an account. Params: $1 account_id.
SELECT id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE id = (SELECT owner_id FROM account WHERE id = $1)
FOR SHARE

-- list_companies --
-- Companies older than a position, newest first. Params: $1 create_time, $2 id, $3 limit.
SELECT id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_companies_of_user --
-- The same of one user. Params: $1 create_time, $2 id, $3 limit, $4 user_id.
SELECT id, legal_name, registration_number, country_code, time_zone, state, settings, version,
    create_time, update_time
FROM company
WHERE (create_time, id) < ($1, $2)
    AND id IN (SELECT company_id FROM company_member WHERE user_id = $4 AND active)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_company --
-- Records a new company. Params: $1 id, $2 legal_name, $3 registration_number, $4 country_code,
-- $5 time_zone, $6 state, $7 settings, $8 version, $9 create_time, $10 update_time.
INSERT INTO company (id, legal_name, registration_number, country_code, time_zone, state,
    settings, version, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- update_company --
-- Writes the next version of a company. Params: $1 id, $2 version, $3 legal_name, $4 time_zone,
-- $5 state, $6 settings, $7 update_time.
UPDATE company
SET version = $2, legal_name = $3, time_zone = $4, state = $5, settings = $6, update_time = $7
WHERE id = $1 AND version = $2 - 1

-- select_department --
-- One department. Params: $1 id.
SELECT id, company_id, display_name, closed, version, create_time, update_time
FROM department
WHERE id = $1

-- select_department_named --
-- The open department of that name. Params: $1 company_id, $2 display_name.
SELECT id, company_id, display_name, closed, version, create_time, update_time
FROM department
WHERE company_id = $1 AND display_name = $2 AND NOT closed

-- list_departments --
-- Departments older than a position, newest first. Params: $1 create_time, $2 id, $3 limit,
-- $4 company_id.
SELECT id, company_id, display_name, closed, version, create_time, update_time
FROM department
WHERE company_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_department --
-- Records a new department. Params: $1 id, $2 company_id, $3 display_name, $4 closed, $5 version,
-- $6 create_time, $7 update_time.
INSERT INTO department (id, company_id, display_name, closed, version, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- update_department --
-- Writes the next version of a department. Params: $1 id, $2 version, $3 display_name, $4 closed,
-- $5 update_time.
UPDATE department
SET version = $2, display_name = $3, closed = $4, update_time = $5
WHERE id = $1 AND version = $2 - 1

-- leave_department --
-- Members leave a department that is closed, and its invitations lose it. Params: $1 department_id,
-- $2 update_time.
WITH gone AS (
    UPDATE invitation SET department_id = NULL, version = version + 1, update_time = $2
    WHERE department_id = $1
)
UPDATE company_member SET department_id = NULL, version = version + 1, update_time = $2
WHERE department_id = $1

-- select_member --
-- One member. Params: $1 company_id, $2 user_id.
SELECT company_id, user_id, role, department_id, active, version, create_time, update_time
FROM company_member
WHERE company_id = $1 AND user_id = $2

-- list_members --
-- Members who joined before a position, newest first. Params: $1 create_time, $2 user_id, $3 limit,
-- $4 company_id.
SELECT company_id, user_id, role, department_id, active, version, create_time, update_time
FROM company_member
WHERE company_id = $4 AND (create_time, user_id) < ($1, $2) AND active
ORDER BY create_time DESC, user_id DESC
LIMIT $3

-- list_memberships --
-- Memberships of a user before a position, newest first. Params: $1 create_time, $2 company_id,
-- $3 limit, $4 user_id.
SELECT company_id, user_id, role, department_id, active, version, create_time, update_time
FROM company_member
WHERE user_id = $4 AND (create_time, company_id) < ($1, $2) AND active
ORDER BY create_time DESC, company_id DESC
LIMIT $3

-- has_other_admin --
-- Whether a company has another administrator who can act: nobody who is suspended or closed. Who
-- is not known here may be another system's. Params: $1 company_id, $2 user_id.
SELECT EXISTS (
    SELECT 1
    FROM company_member m
    LEFT JOIN person p ON p.id = m.user_id
    WHERE m.company_id = $1 AND m.user_id <> $2 AND m.role = 'ADMIN' AND m.active
        AND (p.state IS NULL OR p.state NOT IN ('SUSPENDED', 'CLOSED'))
)

-- insert_member --
-- Records a new member, or one who comes back. Params: $1 company_id, $2 user_id, $3 role,
-- $4 department_id, $5 active, $6 version, $7 create_time, $8 update_time.
INSERT INTO company_member (company_id, user_id, role, department_id, active, version,
    create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (company_id, user_id) DO UPDATE
SET role = $3, department_id = $4, active = $5, version = $6, create_time = $7, update_time = $8
WHERE NOT company_member.active

-- update_member --
-- Writes the next version of a member. Params: $1 company_id, $2 user_id, $3 version, $4 role,
-- $5 department_id, $6 active, $7 update_time.
UPDATE company_member
SET version = $3, role = $4, department_id = $5, active = $6, update_time = $7
WHERE company_id = $1 AND user_id = $2 AND version = $3 - 1

-- select_invitation --
-- One invitation. Params: $1 id.
SELECT id, company_id, email, role, department_id, state, expire_time, user_id, version,
    create_time, update_time
FROM invitation
WHERE id = $1

-- select_invitation_of_token --
-- The invitation of a token. Params: $1 token_hash.
SELECT id, company_id, email, role, department_id, state, expire_time, user_id, version,
    create_time, update_time
FROM invitation
WHERE token_hash = $1

-- list_invitations --
-- Invitations older than a position, newest first. Params: $1 create_time, $2 id, $3 limit,
-- $4 company_id.
SELECT id, company_id, email, role, department_id, state, expire_time, user_id, version,
    create_time, update_time
FROM invitation
WHERE company_id = $4 AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_invitation --
-- Records a new invitation. Params: $1 id, $2 company_id, $3 email, $4 role, $5 department_id,
-- $6 state, $7 expire_time, $8 user_id, $9 version, $10 create_time, $11 update_time,
-- $12 token_hash.
INSERT INTO invitation (id, company_id, email, role, department_id, state, expire_time, user_id,
    version, create_time, update_time, token_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- update_invitation --
-- Writes the next version of an invitation. Params: $1 id, $2 version, $3 state, $4 user_id,
-- $5 update_time.
UPDATE invitation
SET version = $2, state = $3, user_id = $4, update_time = $5
WHERE id = $1 AND version = $2 - 1
