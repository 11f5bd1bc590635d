-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What processors have told us, each event once.
CREATE TABLE processor_event (
    id text PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 255),
    type text NOT NULL,
    receive_time timestamptz NOT NULL
);

CREATE INDEX payment_charged ON payment (processor_reference)
    WHERE processor_reference <> '' AND source IN ('STRIPE_CARD', 'ACH');

-- migrate:down
