-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Whether accounts says that a user runs a company, and the version of the member that said so
-- last: lower ones are ignored. Who has no row here was never a member: what operators say counts.
CREATE TABLE membership (
    user_id text NOT NULL REFERENCES credential ON DELETE CASCADE,
    company_id text NOT NULL CHECK (company_id ~ '^co_[0-9a-f]{34}$'),
    version bigint NOT NULL CHECK (version >= 1),
    manages boolean NOT NULL,
    PRIMARY KEY (user_id, company_id)
);

-- migrate:down
