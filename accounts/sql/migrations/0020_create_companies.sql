-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Card programmes. `underwriting` is holdfast.accounts.v1.Underwriting, serialized.
CREATE TABLE programme (
    id text PRIMARY KEY CHECK (id ~ '^prog_[a-z0-9_]{1,32}$'),
    display_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('CONSUMER', 'BUSINESS')),
    network text NOT NULL,
    currency_code text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    bin text NOT NULL CHECK (bin ~ '^([0-9]{6}|[0-9]{8})$'),
    state text NOT NULL CHECK (state IN ('ACTIVE', 'RETIRED')),
    underwriting bytea NOT NULL,
    first_card_kind text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

CREATE INDEX programme_newest ON programme (create_time DESC, id DESC);

-- What a programme charges from a day on: holdfast.accounts.v1.Terms, serialized. Only added to.
CREATE TABLE programme_terms (
    programme_id text NOT NULL REFERENCES programme (id),
    version bigint NOT NULL CHECK (version >= 1),
    effective_date date NOT NULL,
    terms bytea NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (programme_id, version),
    UNIQUE (programme_id, effective_date)
);

-- Companies. `settings` is holdfast.accounts.v1.CompanySettings, serialized.
CREATE TABLE company (
    id text PRIMARY KEY CHECK (id ~ '^co_[0-9a-f]{34}$'),
    legal_name text NOT NULL,
    registration_number text NOT NULL,
    country_code text NOT NULL CHECK (country_code ~ '^[A-Z]{2}$'),
    time_zone text NOT NULL,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    settings bytea NOT NULL DEFAULT '',
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

CREATE INDEX company_newest ON company (create_time DESC, id DESC);

CREATE TABLE department (
    id text PRIMARY KEY CHECK (id ~ '^dept_[0-9a-f]{34}$'),
    company_id text NOT NULL REFERENCES company (id),
    display_name text NOT NULL,
    closed boolean NOT NULL DEFAULT false,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

CREATE UNIQUE INDEX department_name ON department (company_id, display_name) WHERE NOT closed;
CREATE INDEX department_newest ON department (company_id, create_time DESC, id DESC);

-- Members of companies; one who was removed stays, inactive, for what refers to them.
CREATE TABLE company_member (
    company_id text NOT NULL REFERENCES company (id),
    user_id text NOT NULL CHECK (user_id ~ '^usr_[0-9a-f]{34}$'),
    role text NOT NULL CHECK (role IN ('ADMIN', 'MANAGER', 'EMPLOYEE')),
    department_id text REFERENCES department (id),
    active boolean NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (company_id, user_id)
);

CREATE INDEX company_member_newest ON company_member (company_id, create_time DESC, user_id DESC);
CREATE INDEX company_member_of_user ON company_member (user_id, create_time DESC, company_id DESC);
CREATE INDEX company_member_department ON company_member (department_id)
    WHERE department_id IS NOT NULL;

-- Invitations. The address is masked, the token hashed: neither can be had from here.
CREATE TABLE invitation (
    id text PRIMARY KEY CHECK (id ~ '^inv_[0-9a-f]{34}$'),
    company_id text NOT NULL REFERENCES company (id),
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('ADMIN', 'MANAGER', 'EMPLOYEE')),
    department_id text REFERENCES department (id),
    state text NOT NULL CHECK (state IN ('PENDING', 'ACCEPTED', 'REVOKED', 'EXPIRED')),
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    expire_time timestamptz NOT NULL,
    user_id text CHECK (user_id ~ '^usr_[0-9a-f]{34}$'),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

CREATE INDEX invitation_newest ON invitation (company_id, create_time DESC, id DESC);

-- migrate:down
