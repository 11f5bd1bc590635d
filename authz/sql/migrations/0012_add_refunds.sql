-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- A refund is a payment in the other direction, in the same table: what is there holds the rule.
ALTER TABLE payment DROP CONSTRAINT payment_state_check;
ALTER TABLE payment ADD CONSTRAINT payment_state_check
    CHECK (state IN ('CREDITED', 'RELEASED', 'RETURNED', 'DEBITED', 'PUT_BACK')) NOT VALID;

-- migrate:down
