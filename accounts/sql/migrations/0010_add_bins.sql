-- migrate:up

-- First digits of the card's number; empty for cards from before there were numbers. The number
-- itself is in the vault.
ALTER TABLE card ADD COLUMN bin text NOT NULL DEFAULT '' CHECK (bin ~ '^([0-9]{6}([0-9]{2})?)?$');

-- migrate:down
