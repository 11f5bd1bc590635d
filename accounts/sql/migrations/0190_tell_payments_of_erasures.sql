-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Payments is told of accounts whose owners were erased before it was told of any: ForgetAccount,
-- whose first field is the id, of 39 (x27) characters.
INSERT INTO outbox (topic, key, payload)
SELECT 'forget_account', account.id || '.payments',
    '\x0a27'::bytea || convert_to(account.id, 'UTF8')
FROM account
JOIN person ON person.id = account.owner_id
WHERE person.erase_time IS NOT NULL;

-- migrate:down
