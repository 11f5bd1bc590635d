-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Most open cards of one account of the programme.
ALTER TABLE programme ADD COLUMN open_cards_max integer NOT NULL DEFAULT 100
    CHECK (open_cards_max BETWEEN 1 AND 10000);

-- migrate:down
