-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- One row: which life of the money Valkey the ledger belongs to.
CREATE TABLE installation (
    id            smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch         bigint      NOT NULL,
    initialised   boolean     NOT NULL DEFAULT false,
    create_time   timestamptz NOT NULL DEFAULT now()
);

-- How far each partition of the journal is settled. The position moves in the transaction that
-- settles, which is what makes settlement exactly-once.
CREATE TABLE partition (
    partition       smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    epoch           bigint   NOT NULL,
    position        bigint   NOT NULL DEFAULT 0 CHECK (position >= 0),
    position_digest bytea,
    stopped_because text
);

-- Chart of accounts, the same for every currency.
CREATE TABLE ledger_account (
    code        text PRIMARY KEY,
    class       text NOT NULL CHECK (class IN ('ASSET', 'LIABILITY', 'INCOME', 'EXPENSE')),
    description text NOT NULL
);
INSERT INTO ledger_account (code, class, description) VALUES
    ('receivable.purchase', 'ASSET', 'Principal owed for purchases.'),
    ('receivable.cash', 'ASSET', 'Principal owed for cash advances.'),
    ('receivable.fee', 'ASSET', 'Fees owed.'),
    ('receivable.interest', 'ASSET', 'Interest owed.'),
    ('customer_credit', 'LIABILITY', 'What the issuer owes customers: overpayments, refunds.'),
    ('network_clearing', 'LIABILITY', 'Owed to card networks for cleared purchases.'),
    ('settlement_cash', 'ASSET', 'Cash at the settlement bank.'),
    ('payments_in_transit', 'ASSET', 'Customer payments credited but not yet received.'),
    ('income.fee', 'INCOME', 'Fees earned.'),
    ('income.interest', 'INCOME', 'Interest earned.'),
    ('income.interchange', 'INCOME', 'Interchange earned.'),
    ('income.fx', 'INCOME', 'Margin on foreign exchange.'),
    ('dispute', 'ASSET', 'Disputed amounts claimed from networks.'),
    ('provisional_credit', 'ASSET', 'Credit granted while a dispute is open.'),
    ('charge_off', 'EXPENSE', 'Receivables charged off.'),
    ('recovery', 'INCOME', 'Recovered after charge-off.'),
    ('write_off', 'EXPENSE', 'Small balances and losses written off.'),
    ('suspense', 'LIABILITY', 'Not yet attributed.');

-- Every change of every account, as the authorizer journaled it. Append-only.
CREATE TABLE journal_entry (
    partition                smallint    NOT NULL,
    pseq                     bigint      NOT NULL,
    id                       text        NOT NULL,
    schema_version           smallint    NOT NULL,
    epoch                    bigint      NOT NULL,
    seq                      bigint      NOT NULL,
    type                     text        NOT NULL,
    principal                text        NOT NULL,
    request_id               text        NOT NULL,
    fingerprint              text        NOT NULL,
    programme_id             text,
    company_id               text,
    department               text,
    user_id                  text,
    account_id               text,
    card_id                  text,
    root_card_id             text,
    authorization_id         text,
    payment_id               text,
    related_entry_id         text,
    network                  text,
    network_transaction_id   text,
    clearing_reference       text,
    clearing_sequence        smallint,
    stan                     text,
    rrn                      text,
    merchant_id              text,
    merchant_name            text,
    merchant_category_code   text,
    merchant_country         text,
    merchant_amount_minor    bigint,
    merchant_currency        text,
    conversion_rate          text,
    currency                 text,
    requested_minor          bigint,
    amount_minor             bigint      NOT NULL,
    transaction_time         timestamptz,
    effective_time           timestamptz NOT NULL,
    recorded_time            timestamptz NOT NULL,
    balance_category         text,
    decision                 text,
    decline_reason           smallint    NOT NULL,
    decided_by               text,
    limit_minor              bigint      NOT NULL,
    posted_minor             bigint      NOT NULL,
    held_minor               bigint      NOT NULL,
    unreleased_minor         bigint      NOT NULL,
    hold_approved_minor      bigint      NOT NULL,
    hold_reversed_minor      bigint      NOT NULL,
    hold_captured_minor      bigint      NOT NULL,
    hold_held_minor          bigint      NOT NULL,
    hold_flags               text        NOT NULL,
    expire_time              timestamptz,
    authorization_code       text,
    -- The request message as it came; what the columns leave out is read from it.
    request                  bytea       NOT NULL,
    PRIMARY KEY (partition, pseq)
);
-- The account's book, without gaps: a second entry with the same seq is a contradiction.
CREATE UNIQUE INDEX journal_entry_account_seq ON journal_entry (account_id, seq)
    WHERE account_id IS NOT NULL;
-- Late repetitions of a posting movement are found here. Not unique: no entry is ever skipped.
CREATE INDEX journal_entry_request ON journal_entry (principal, request_id);
CREATE INDEX journal_entry_clearing
    ON journal_entry (network, clearing_reference, clearing_sequence)
    WHERE clearing_reference IS NOT NULL;

-- Money lines. Positive is a debit; the lines of an entry sum to zero.
CREATE TABLE journal_line (
    partition      smallint NOT NULL,
    pseq           bigint   NOT NULL,
    line           smallint NOT NULL,
    ledger_account text     NOT NULL REFERENCES ledger_account (code),
    account_id     text     NOT NULL,
    currency       text     NOT NULL,
    amount_minor   bigint   NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (partition, pseq, line),
    FOREIGN KEY (partition, pseq) REFERENCES journal_entry (partition, pseq)
);

-- Running totals of the lines, kept per partition so that no two settlers meet on a row.
CREATE TABLE ledger_total (
    partition      smallint NOT NULL,
    currency       text     NOT NULL,
    ledger_account text     NOT NULL REFERENCES ledger_account (code),
    debit_minor    numeric  NOT NULL,
    credit_minor   numeric  NOT NULL,
    PRIMARY KEY (partition, currency, ledger_account)
);

-- Each account as of its last settled entry. Equal to Valkey at equal seq.
CREATE TABLE account_balance (
    account_id       text        PRIMARY KEY,
    partition        smallint    NOT NULL,
    currency         text        NOT NULL,
    seq              bigint      NOT NULL,
    limit_minor      bigint      NOT NULL,
    posted_minor     bigint      NOT NULL,
    held_minor       bigint      NOT NULL,
    unreleased_minor bigint      NOT NULL,
    update_time      timestamptz NOT NULL
);
CREATE INDEX account_balance_partition ON account_balance (partition, account_id);

-- Each authorization as of its last settled entry. What was asked is in the entry that decided.
CREATE TABLE card_authorization (
    id                  text        PRIMARY KEY,
    partition           smallint    NOT NULL,
    principal           text        NOT NULL,
    account_id          text,
    card_id             text        NOT NULL,
    currency            text        NOT NULL,
    approved_minor      bigint      NOT NULL,
    reversed_minor      bigint      NOT NULL,
    captured_minor      bigint      NOT NULL,
    held_minor          bigint      NOT NULL,
    flags               text        NOT NULL,
    expire_time         timestamptz,
    decision_pseq       bigint,
    first_pseq          bigint      NOT NULL,
    create_time         timestamptz NOT NULL,
    update_time         timestamptz NOT NULL
);
CREATE INDEX card_authorization_account
    ON card_authorization (account_id, create_time DESC, id DESC);
CREATE INDEX card_authorization_card ON card_authorization (card_id, create_time DESC, id DESC);

-- migrate:down
