-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Reports. The row is the queue: whoever makes one moves `due_time` on now and then; if it dies,
-- another takes the report when that has passed. The file lies in the object storage, sealed with
-- `key`: once the row is gone nobody reads it.
CREATE TABLE report (
    id text PRIMARY KEY CHECK (id ~ '^rpt_[0-9a-f]{34}$'),
    subject_id text NOT NULL,
    type text NOT NULL,
    format text NOT NULL,
    currency_code text NOT NULL,
    groups text[] NOT NULL,
    books text NOT NULL,
    start_date date NOT NULL,
    end_date date NOT NULL CHECK (end_date >= start_date),
    state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'READY', 'FAILED', 'DELETED')),
    progress_percent integer NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    row_count bigint NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0,
    part_count integer NOT NULL DEFAULT 0,
    sha256 text NOT NULL DEFAULT '',
    failure text NOT NULL DEFAULT '',
    key bytea NOT NULL CHECK (octet_length(key) = 32),
    schedule_id text NOT NULL DEFAULT '',
    -- Who asked; who is told of it, if it was scheduled.
    principal text NOT NULL,
    -- How often it was begun; each time in a folder of its own.
    attempts integer NOT NULL DEFAULT 0,
    -- When it is taken, if nobody has by then; null: it is done.
    due_time timestamptz,
    create_time timestamptz NOT NULL,
    end_time timestamptz,
    -- When it is removed.
    expire_time timestamptz NOT NULL,
    CHECK ((due_time IS NOT NULL) = (state IN ('QUEUED', 'RUNNING')))
);
CREATE INDEX report_due ON report (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX report_newest ON report (create_time DESC, id DESC);
CREATE INDEX report_subject ON report (subject_id, create_time DESC, id DESC);
CREATE INDEX report_expired ON report (expire_time);

-- Folders of the object storage that nobody needs any more.
CREATE TABLE report_leftover (
    folder text PRIMARY KEY,
    create_time timestamptz NOT NULL
);

-- Answers by the caller's request id: the same request gets the same answer.
CREATE TABLE report_request (
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    method text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    response bytea,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);
CREATE INDEX report_request_oldest ON report_request (create_time);

-- migrate:down
