-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

ALTER TABLE account DROP CONSTRAINT account_state_check;
ALTER TABLE account ADD CONSTRAINT account_state_check
    CHECK (state IN ('OPEN', 'CLOSING', 'CLOSED', 'SUSPENDED', 'DELINQUENT')) NOT VALID;

-- Of a closing account: when to ask the authorizer next whether it is empty.
ALTER TABLE account ADD COLUMN closing_check_time timestamptz;
CREATE INDEX account_closing ON account (closing_check_time) WHERE state = 'CLOSING';

-- Whether a user shares the account; UNSPECIFIED: never added.
ALTER TABLE account_user ADD COLUMN state text NOT NULL DEFAULT 'UNSPECIFIED'
    CHECK (state IN ('UNSPECIFIED', 'ACTIVE', 'REMOVED'));
ALTER TABLE account_user ADD COLUMN create_time timestamptz NOT NULL DEFAULT now();
CREATE INDEX account_user_newest ON account_user (account_id, create_time DESC, user_id DESC);

-- Whoever has controls or a card of an account shares it.
UPDATE account_user SET state = 'ACTIVE' WHERE version > 0;
INSERT INTO account_user (account_id, user_id, update_time, state)
SELECT DISTINCT c.account_id, c.user_id, clock_timestamp(), 'ACTIVE'
FROM card c JOIN account a ON a.id = c.account_id
WHERE c.user_id IS NOT NULL AND c.user_id <> a.owner_id
ON CONFLICT (account_id, user_id) DO UPDATE SET state = 'ACTIVE';

-- Every change of accounts, their users and cards: who, when, what. Rows are only ever added.
CREATE TABLE change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Whose history it belongs to: the account, or the first card of a line of replacements.
    line_id text NOT NULL,
    subject_id text NOT NULL,
    -- Of a change of a user of the account; else ''.
    user_id text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    change_time timestamptz NOT NULL,
    principal text NOT NULL,
    request_id text NOT NULL,
    method text NOT NULL,
    -- [[field, before, after], ...]
    fields jsonb NOT NULL
);
CREATE INDEX change_newest ON change (line_id, id DESC);

-- migrate:down
