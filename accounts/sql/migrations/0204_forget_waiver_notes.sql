-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- People who were erased before that took the notes of waivers, too.
UPDATE charge_waiver SET note = ''
WHERE note <> '' AND account_id IN (
    SELECT account.id FROM account
    JOIN person ON person.id = account.owner_id
    WHERE person.erase_time IS NOT NULL
);

-- migrate:down
