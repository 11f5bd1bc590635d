-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Whose words disputes have: they end with the person.
CREATE INDEX dispute_of_person ON dispute (user_id) WHERE user_id IS NOT NULL;

-- migrate:down
