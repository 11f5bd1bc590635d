-- select_application --
-- One application. Params: $1 id.
SELECT id, user_id, company_id, programme_id, state, currency_code, requested_limit_minor,
    applicant, data_key, decision, offered_limit_minor, granted_limit_minor, missing, fulfilment,
    expire_time, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM application
WHERE id = $1

-- select_application_for_update --
-- The same, locked for a change of it. Params: $1 id.
SELECT id, user_id, company_id, programme_id, state, currency_code, requested_limit_minor,
    applicant, data_key, decision, offered_limit_minor, granted_limit_minor, missing, fulfilment,
    expire_time, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM application
WHERE id = $1
FOR NO KEY UPDATE

-- list_applications --
-- Applications older than a position, newest first: a page of each state, so that a short queue is
-- not looked for among all. Params: $1 create_time, $2 id, $3 limit, $4 states.
SELECT id, user_id, company_id, programme_id, state, currency_code, requested_limit_minor,
    applicant, data_key, decision, offered_limit_minor, granted_limit_minor, missing, fulfilment,
    expire_time, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM application
WHERE id IN (
    SELECT found.id
    FROM unnest($4::text[]) AS wanted (name)
    CROSS JOIN LATERAL (
        SELECT id
        FROM application
        WHERE state = wanted.name AND (create_time, id) < ($1, $2)
        ORDER BY create_time DESC, id DESC
        LIMIT $3
    ) AS found
)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- list_applications_of_user --
-- The same: what a user has applied for, and what the companies that it administers have. Params:
-- $1 create_time, $2 id, $3 limit, $4 states, $5 user_id.
SELECT id, user_id, company_id, programme_id, state, currency_code, requested_limit_minor,
    applicant, data_key, decision, offered_limit_minor, granted_limit_minor, missing, fulfilment,
    expire_time, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM application
WHERE id IN (
    SELECT id FROM application WHERE user_id = $5
    UNION
    SELECT application.id FROM company_member AS member
    JOIN application ON application.company_id = member.company_id
    WHERE member.user_id = $5 AND member.active AND member.role = 'ADMIN'
)
    AND state = ANY ($4) AND (create_time, id) < ($1, $2)
ORDER BY create_time DESC, id DESC
LIMIT $3

-- insert_application --
-- Records a new application. Params: $1 id, $2 user_id, $3 company_id, $4 programme_id, $5 state,
-- $6 currency_code, $7 requested_limit_minor, $8 applicant, $9 data_key, $10 decision,
-- $11 offered_limit_minor, $12 granted_limit_minor, $13 missing, $14 fulfilment, $15 expire_time,
-- $16 version, $17 create_time, $18 update_time, $19 person_hash, $20 hash_key_id, $21 due_time.
INSERT INTO application (id, user_id, company_id, programme_id, state, currency_code,
    requested_limit_minor, applicant, data_key, decision, offered_limit_minor,
    granted_limit_minor, missing, fulfilment, expire_time, version, create_time, update_time,
    person_hash, hash_key_id, due_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21)

-- update_application --
-- Writes the next version of an application; the worker looks at once. Params: $1 id, $2 version,
-- $3 state, $4 decision, $5 offered_limit_minor, $6 granted_limit_minor, $7 missing, $8 fulfilment,
-- $9 update_time.
UPDATE application
SET version = $2, state = $3, decision = $4, offered_limit_minor = $5, granted_limit_minor = $6,
    missing = $7, fulfilment = $8, update_time = $9, due_time = $9
WHERE id = $1 AND version = $2 - 1

-- advance_fulfilment --
-- Notes that a step is done. Params: $1 id, $2 fulfilment.
UPDATE application SET fulfilment = $2 WHERE id = $1

-- count_same_person --
-- Applications of a person that are open or were approved. Params: $1 id of one that counts not,
-- $2 programme_id, $3 hashes of the person.
SELECT count(*) FROM application
WHERE person_hash = ANY ($3::bytea[]) AND id <> $1 AND programme_id = $2
    AND state IN ('SUBMITTED', 'IN_REVIEW', 'PENDING_DOCUMENT', 'APPROVED')

-- list_stale_applications --
-- Applications after an id whose hash of the person an older key made than the current one.
-- Params: $1 hash_key_id, $2 id, $3 limit.
SELECT id, user_id, company_id, programme_id, state, currency_code, requested_limit_minor,
    applicant, data_key, decision, offered_limit_minor, granted_limit_minor, missing, fulfilment,
    expire_time, version, create_time, update_time,
    coalesce((SELECT key_wrapped FROM person WHERE person.id = user_id), '') AS person_key
FROM application
WHERE person_hash IS NOT NULL AND hash_key_id < $1 AND id > $2
ORDER BY id
LIMIT $3

-- hash_application --
-- Writes another hash of the person, unless the person was erased. Params: $1 id, $2 person_hash,
-- $3 hash_key_id.
UPDATE application SET person_hash = $2, hash_key_id = $3
WHERE id = $1 AND person_hash IS NOT NULL

-- select_steady_person --
-- A person whose state and key stand still until the commit. Params: $1 id.
SELECT state, coalesce(key_wrapped, '') AS key_wrapped FROM person WHERE id = $1 FOR SHARE

-- select_locked_person --
-- A person who may be changed, with what is known, sealed. Params: $1 id.
SELECT id, state, key_wrapped, name, email, phone, address, birth_date, tax_id
FROM person
WHERE id = $1
FOR UPDATE

-- verify_person --
-- Writes that a locked person was verified, and as whom unless that was known. Params: $1 id,
-- $2 state, $3 now, $4 birth_date, $5 tax_id, $6 tax_id_hash.
UPDATE person
SET state = $2, verify_time = $3, update_time = $3, version = version + 1,
    birth_date = coalesce(birth_date, $4), tax_id = coalesce(tax_id, $5),
    tax_id_hash = coalesce(tax_id_hash, $6)
WHERE id = $1

-- claim_unchecked --
-- Applications whose checks are due, which nobody else looks at before the next time. Params:
-- $1 now, $2 next time, $3 limit.
UPDATE application SET due_time = $2
WHERE id IN (
    SELECT id FROM application WHERE state = 'SUBMITTED' AND due_time <= $1
    ORDER BY due_time LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id

-- claim_unfulfilled --
-- The same of approved applications whose account or card is not open yet. Params: $1 now, $2 next
-- time, $3 limit.
UPDATE application SET due_time = $2
WHERE id IN (
    SELECT id FROM application
    WHERE fulfilment IN ('OPEN_ACCOUNT', 'ISSUE_CARD', 'CONFIRM') AND due_time <= $1
    ORDER BY due_time LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id

-- list_expired --
-- Applications whose time is over. Params: $1 now, $2 limit.
SELECT id FROM application
WHERE state IN ('SUBMITTED', 'IN_REVIEW', 'PENDING_DOCUMENT') AND expire_time <= $1
ORDER BY expire_time LIMIT $2

-- list_documents --
-- What was handed in. Params: $1 application_id.
SELECT id, application_id, kind, media_type, size, sha256, create_time
FROM application_document
WHERE application_id = $1
ORDER BY create_time, id

-- insert_document --
-- Records a document. Params: $1 id, $2 application_id, $3 kind, $4 media_type, $5 size, $6 sha256,
-- $7 create_time.
INSERT INTO application_document (id, application_id, kind, media_type, size, sha256, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- list_notes --
-- What reviewers wrote. Params: $1 application_id.
SELECT author, text, create_time FROM application_note WHERE application_id = $1 ORDER BY number

-- insert_note --
-- Records a note on a locked application. Params: $1 application_id, $2 author, $3 text,
-- $4 create_time.
INSERT INTO application_note (application_id, number, author, text, create_time)
SELECT $1, count(*) + 1, $2, $3, $4 FROM application_note WHERE application_id = $1

-- list_applications_of_person --
-- All applications of a person. Params: $1 id.
SELECT id FROM application WHERE user_id = $1
