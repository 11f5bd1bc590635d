-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- All cards, newest first.
CREATE INDEX card_newest ON card (create_time DESC, id DESC);

-- migrate:down
