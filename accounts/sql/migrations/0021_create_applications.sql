-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Applications. `applicant` is holdfast.accounts.v1.Applicant, sealed with the key in `data_key`,
-- which is sealed with the installation's: without its rings a copy of this table says nothing.
CREATE TABLE application (
    id text PRIMARY KEY CHECK (id ~ '^app_[0-9a-f]{34}$'),
    user_id text NOT NULL CHECK (user_id ~ '^usr_[0-9a-f]{34}$'),
    company_id text REFERENCES company (id),
    programme_id text NOT NULL REFERENCES programme (id),
    state text NOT NULL CHECK (state IN ('SUBMITTED', 'IN_REVIEW', 'PENDING_DOCUMENT', 'APPROVED',
        'DECLINED', 'WITHDRAWN', 'EXPIRED')),
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    requested_limit_minor bigint NOT NULL CHECK (requested_limit_minor > 0),
    applicant bytea NOT NULL,
    data_key bytea NOT NULL,
    -- holdfast.accounts.v1.Decision, serialized; empty: nothing was decided.
    decision bytea NOT NULL DEFAULT '',
    offered_limit_minor bigint NOT NULL DEFAULT 0 CHECK (offered_limit_minor >= 0),
    granted_limit_minor bigint NOT NULL DEFAULT 0 CHECK (granted_limit_minor >= 0),
    missing text NOT NULL DEFAULT '',
    -- What is done next for an approved application.
    fulfilment text NOT NULL DEFAULT 'NONE'
        CHECK (fulfilment IN ('NONE', 'OPEN_ACCOUNT', 'ISSUE_CARD', 'CONFIRM', 'DONE')),
    -- Keyed hash of the tax number, to find duplicates.
    person_hash bytea NOT NULL CHECK (octet_length(person_hash) = 32),
    -- When the worker looks at it again, if it has to.
    due_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CHECK ((state = 'APPROVED') = (fulfilment <> 'NONE'))
);

CREATE INDEX application_newest ON application (create_time DESC, id DESC);
CREATE INDEX application_newest_in_state ON application (state, create_time DESC, id DESC);
CREATE INDEX application_newest_of_user ON application (user_id, create_time DESC, id DESC);
CREATE INDEX application_of_company ON application (company_id) WHERE company_id IS NOT NULL;
CREATE INDEX application_of_person ON application (person_hash);
CREATE INDEX application_unchecked ON application (due_time) WHERE state = 'SUBMITTED';
CREATE INDEX application_unfulfilled ON application (due_time)
    WHERE fulfilment IN ('OPEN_ACCOUNT', 'ISSUE_CARD', 'CONFIRM');
CREATE INDEX application_expiring ON application (expire_time)
    WHERE state IN ('SUBMITTED', 'IN_REVIEW', 'PENDING_DOCUMENT');

-- What was handed in; the sealed content lies in the object storage under the id.
CREATE TABLE application_document (
    id text PRIMARY KEY CHECK (id ~ '^doc_[0-9a-f]{34}$'),
    application_id text NOT NULL REFERENCES application (id),
    kind text NOT NULL,
    media_type text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    create_time timestamptz NOT NULL
);

CREATE INDEX application_document_of ON application_document (application_id, create_time);

-- What reviewers wrote: sealed like the rest.
CREATE TABLE application_note (
    application_id text NOT NULL REFERENCES application (id),
    number integer NOT NULL,
    author text NOT NULL,
    text bytea NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (application_id, number)
);

-- migrate:down
