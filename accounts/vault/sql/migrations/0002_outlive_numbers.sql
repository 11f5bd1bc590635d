-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- That a number was shown is kept when the number is not: a person was erased.
ALTER TABLE reveal DROP CONSTRAINT reveal_card_id_fkey;

-- migrate:down
