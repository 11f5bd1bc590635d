-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Spend controls: holdfast.type.v1.SpendControls, serialized; empty: nothing is restricted.
ALTER TABLE account ADD COLUMN controls bytea NOT NULL DEFAULT '';
ALTER TABLE card ADD COLUMN controls bytea NOT NULL DEFAULT '';

-- migrate:down
