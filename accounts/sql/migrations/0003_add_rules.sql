-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Whose card it is; NULL: nobody in particular.
ALTER TABLE card ADD COLUMN user_id text CHECK (user_id ~ '^usr_[0-9a-f]{34}$');

-- What a user may use an account for: holdfast.type.v1.SpendControls, serialized. Version 0 is
-- being set for the first time.
CREATE TABLE account_user (
    account_id text NOT NULL REFERENCES account (id),
    user_id text NOT NULL CHECK (user_id ~ '^usr_[0-9a-f]{34}$'),
    controls bytea NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    update_time timestamptz NOT NULL,
    PRIMARY KEY (account_id, user_id)
);

-- Rules of programmes and companies: holdfast.type.v1.DefaultRules, serialized.
CREATE TABLE default_rules (
    scope_id text PRIMARY KEY CHECK (scope_id ~ '^(prog_[a-z0-9_]{1,32}|co_[0-9a-f]{34})$'),
    rules bytea NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    update_time timestamptz NOT NULL
);

-- migrate:down
