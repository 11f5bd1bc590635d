-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Reports that are made of each period. The row is the queue: the transaction that has one made
-- moves `due_time` on to the end of the next.
CREATE TABLE report_schedule (
    id text PRIMARY KEY CHECK (id ~ '^rsch_[0-9a-f]{34}$'),
    subject_id text NOT NULL,
    -- Who owns the subject.
    owner_id text NOT NULL,
    type text NOT NULL,
    format text NOT NULL,
    currency_code text NOT NULL,
    groups text[] NOT NULL,
    books text NOT NULL,
    interval text NOT NULL CHECK (interval IN ('DAY', 'WEEK', 'MONTH')),
    -- Who is told.
    user_id text NOT NULL,
    next_date date NOT NULL,
    -- Null: it has ended.
    due_time timestamptz,
    create_time timestamptz NOT NULL
);
CREATE INDEX report_schedule_due ON report_schedule (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX report_schedule_subject ON report_schedule (subject_id, create_time DESC, id DESC);

-- Who owns what a scheduled report is about, and is told of the event.
ALTER TABLE report ADD COLUMN owner_id text NOT NULL DEFAULT '';

-- migrate:down
