-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What a purchase was cleared and refunded with.
CREATE INDEX billing_entry_authorization ON billing_entry (authorization_id)
    WHERE authorization_id <> '';

-- Disputes about charges. `description` is sealed with the key in `data_key`, which is sealed with
-- the person's: who is erased is erased here, too.
CREATE TABLE dispute (
    id text PRIMARY KEY CHECK (id ~ '^disp_[0-9a-f]{34}$'),
    account_id text NOT NULL REFERENCES account (id),
    card_id text NOT NULL REFERENCES card (id),
    -- Whose words they are; NULL: nobody's.
    user_id text CHECK (user_id ~ '^usr_[0-9a-f]{34}$'),
    authorization_id text NOT NULL,
    entry_id text NOT NULL,
    category text NOT NULL CHECK (category IN ('PURCHASE', 'CASH')),
    reason text NOT NULL,
    state text NOT NULL CHECK (state IN ('SUBMITTED', 'INVESTIGATING', 'CHARGEBACK',
        'REPRESENTMENT', 'ARBITRATION', 'WON', 'PARTIALLY_WON', 'LOST', 'WITHDRAWN')),
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    description bytea NOT NULL,
    data_key bytea NOT NULL,
    -- Provisional credit, less what was taken back.
    credited_minor bigint NOT NULL CHECK (credited_minor BETWEEN 0 AND amount_minor),
    merchant_minor bigint NOT NULL CHECK (merchant_minor >= 0),
    issuer_minor bigint NOT NULL CHECK (issuer_minor >= 0),
    cardholder_minor bigint NOT NULL CHECK (cardholder_minor >= 0),
    acknowledge_due_time timestamptz NOT NULL,
    resolve_due_time timestamptz NOT NULL,
    -- Milliseconds since 1970; 0: it was not, or has not.
    acknowledged_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    -- The next deadline; NULL: it has ended.
    deadline_time timestamptz,
    -- When the worker looks at it; NULL: not before something else happens.
    due_time timestamptz,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK ((deadline_time IS NULL) = (ended_ms > 0)),
    CHECK (merchant_minor + issuer_minor + cardholder_minor =
        CASE WHEN ended_ms > 0 THEN amount_minor ELSE 0 END)
);

CREATE INDEX dispute_newest ON dispute (create_time DESC, id DESC);
CREATE INDEX dispute_newest_of_account ON dispute (account_id, create_time DESC, id DESC);
CREATE INDEX dispute_newest_of_card ON dispute (card_id, create_time DESC, id DESC);
CREATE INDEX dispute_of_authorization ON dispute (authorization_id);
CREATE INDEX dispute_deadline ON dispute (deadline_time) WHERE deadline_time IS NOT NULL;
CREATE INDEX dispute_due ON dispute (due_time) WHERE due_time IS NOT NULL;

-- What disputes have the ledger post, one after the other: once per request id, which follows from
-- the dispute and the number. `entry_id` is filled in when the ledger has it.
CREATE TABLE dispute_posting (
    dispute_id text NOT NULL REFERENCES dispute (id),
    number integer NOT NULL CHECK (number >= 1),
    kind text NOT NULL CHECK (kind IN ('PROVISIONAL_CREDIT', 'PROVISIONAL_CREDIT_REVERSAL',
        'DISPUTE_CLAIM', 'DISPUTE_LOSS')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    effective_time timestamptz NOT NULL,
    entry_id text,
    due_time timestamptz NOT NULL,
    PRIMARY KEY (dispute_id, number)
);

CREATE INDEX dispute_posting_due ON dispute_posting (due_time) WHERE entry_id IS NULL;

-- What happened to disputes.
CREATE TABLE dispute_event (
    dispute_id text NOT NULL REFERENCES dispute (id),
    number integer NOT NULL CHECK (number >= 1),
    type text NOT NULL,
    state text NOT NULL,
    amount_minor bigint NOT NULL,
    actor text NOT NULL,
    event_time timestamptz NOT NULL,
    PRIMARY KEY (dispute_id, number)
);

-- What was handed in; the sealed content lies in the object storage.
CREATE TABLE dispute_document (
    id text PRIMARY KEY CHECK (id ~ '^doc_[0-9a-f]{34}$'),
    dispute_id text NOT NULL REFERENCES dispute (id),
    media_type text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    create_time timestamptz NOT NULL
);

CREATE INDEX dispute_document_of ON dispute_document (dispute_id, create_time);

-- migrate:down
