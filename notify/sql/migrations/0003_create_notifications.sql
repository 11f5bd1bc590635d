-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- What users want to be told of. Who has no row wants what everybody gets.
CREATE TABLE notification_preference (
    user_id text PRIMARY KEY CHECK (length(user_id) <= 64),
    -- {"CARD_SHIPPED": ["EMAIL", "PUSH"]}: kinds that the user has chosen.
    choices jsonb NOT NULL,
    -- Local times; NULL: no quiet hours.
    quiet_start time,
    quiet_end time,
    timezone text,
    -- 0: what everybody gets.
    large_purchase_minor bigint NOT NULL CHECK (large_purchase_minor >= 0),
    low_credit_minor bigint NOT NULL CHECK (low_credit_minor >= 0),
    max_per_hour integer NOT NULL CHECK (max_per_hour >= 0),
    update_time timestamptz NOT NULL,
    CHECK ((quiet_start IS NULL) = (timezone IS NULL)),
    CHECK ((quiet_start IS NULL) = (quiet_end IS NULL))
);

-- One message to one user by one channel, without any address. Its id follows from what it tells of
-- and how: nothing is made twice. Whoever sends takes it for a while (`due_time`), then it is due
-- again, whatever has become of the sender.
CREATE TABLE notification (
    id text PRIMARY KEY CHECK (id ~ '^ntf_[0-9a-f]{34}$'),
    -- An event, or the request that had a user told.
    source_id text NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('EMAIL', 'SMS', 'PUSH')),
    user_id text NOT NULL,
    topic text NOT NULL,
    account_id text NOT NULL,
    data json NOT NULL,
    -- Sealed (runtime/key_ring.py); forgotten when it is sent, or given up.
    secret bytea,
    urgent boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'SENT', 'FAILED', 'SUPPRESSED')),
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    finish_time timestamptz,
    UNIQUE (source_id, kind, channel, user_id),
    CHECK ((state = 'PENDING') = (finish_time IS NULL)),
    CHECK (secret IS NULL OR state = 'PENDING')
);
CREATE INDEX notification_due ON notification (urgent DESC, due_time) WHERE state = 'PENDING';
CREATE INDEX notification_user ON notification (user_id, create_time DESC, id DESC);
CREATE INDEX notification_recent ON notification (user_id, channel, create_time)
    WHERE state <> 'SUPPRESSED';
CREATE INDEX notification_age ON notification (create_time);

-- migrate:down
