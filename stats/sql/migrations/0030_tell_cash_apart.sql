-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Cash that purchases have handed out, and what was charged off and recovered. Days that were
-- counted before have none, until `holdfast stats rebuild --repair`. Nothing is rewritten: a column
-- with a constant default is only written down.
ALTER TABLE live_total
    ADD COLUMN cash_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN cash_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN charge_off_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN charge_off_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN recovery_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN recovery_minor bigint NOT NULL DEFAULT 0;
ALTER TABLE live_cell
    ADD COLUMN cash_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN cash_minor bigint NOT NULL DEFAULT 0;

-- In the same order: what was counted again takes the place of what was there as it is.
ALTER TABLE again_total
    ADD COLUMN cash_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN cash_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN charge_off_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN charge_off_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN recovery_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN recovery_minor bigint NOT NULL DEFAULT 0;
ALTER TABLE again_cell
    ADD COLUMN cash_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN cash_minor bigint NOT NULL DEFAULT 0;

-- migrate:down
