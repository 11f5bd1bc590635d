-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

ALTER TABLE journal_entry
    -- The control that declined and what it would still allow; -1: it does not limit that.
    ADD COLUMN control            text   NOT NULL DEFAULT '',
    ADD COLUMN control_left_minor bigint NOT NULL DEFAULT -1,
    ADD COLUMN control_left_count bigint NOT NULL DEFAULT -1,
    -- Where the authorization counts after the entry: 'name,slot,amount,count;...'.
    ADD COLUMN hold_windows       text   NOT NULL DEFAULT '';
ALTER TABLE card_authorization ADD COLUMN windows text NOT NULL DEFAULT '';

-- migrate:down
