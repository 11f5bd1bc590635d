-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Who froze a card: 1 who uses it, 2 whose account it is, 3 the bank. Nobody with less lifts it.
CREATE TABLE card_freeze (
    card_id text PRIMARY KEY,
    authority smallint NOT NULL CHECK (authority BETWEEN 1 AND 3)
);

-- migrate:down
