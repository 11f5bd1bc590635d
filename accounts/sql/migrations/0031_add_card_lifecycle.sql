-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

ALTER TABLE card DROP CONSTRAINT card_state_check;
ALTER TABLE card ADD CONSTRAINT card_state_check
    CHECK (state IN ('INACTIVE', 'ACTIVE', 'FROZEN', 'CLOSED', 'LOST', 'STOLEN')) NOT VALID;
ALTER TABLE card DROP CONSTRAINT card_kind_check;
ALTER TABLE card ADD CONSTRAINT card_kind_check
    CHECK (kind IN ('VIRTUAL', 'PHYSICAL', 'SINGLE_USE', 'MERCHANT_LOCKED')) NOT VALID;

ALTER TABLE card ADD COLUMN nickname text NOT NULL DEFAULT '' CHECK (length(nickname) <= 64);
-- Plastic: where it is, and whether its holder has it. What was issued before is with its holder.
ALTER TABLE card ADD COLUMN shipping text NOT NULL DEFAULT 'UNSPECIFIED'
    CHECK (shipping IN ('UNSPECIFIED', 'ORDERED', 'SHIPPED', 'DELIVERED', 'RETURNED'));
ALTER TABLE card ADD COLUMN carrier text NOT NULL DEFAULT '';
ALTER TABLE card ADD COLUMN tracking_number text NOT NULL DEFAULT '';
ALTER TABLE card ADD COLUMN received boolean NOT NULL DEFAULT false;
UPDATE card SET shipping = 'DELIVERED' WHERE kind = 'PHYSICAL';
-- A card is replaced once.
ALTER TABLE card ADD COLUMN replaces_card_id text REFERENCES card (id);
ALTER TABLE card ADD COLUMN replaced_by_card_id text REFERENCES card (id);
CREATE UNIQUE INDEX card_replaces ON card (replaces_card_id) WHERE replaces_card_id IS NOT NULL;
-- What checks against fraud remember up to then is forgotten.
ALTER TABLE card ADD COLUMN suspicion_clear_time timestamptz;
-- How often the details of a card that is to be activated were asked for.
ALTER TABLE card ADD COLUMN activation_tries smallint NOT NULL DEFAULT 0;
-- Cards that may have to be renewed.
CREATE INDEX card_expiry ON card (expiry_year, expiry_month, id)
    WHERE state IN ('ACTIVE', 'FROZEN') AND kind <> 'SINGLE_USE';

-- migrate:down
