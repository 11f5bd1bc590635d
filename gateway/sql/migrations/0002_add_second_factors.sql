-- migrate:up

-- Second factors (TOTP, RFC 6238): one per user. The secret is encrypted; `last_step` is the newest
-- time step whose code was accepted, so that no code is accepted twice.
CREATE TABLE second_factor (
    user_id text PRIMARY KEY REFERENCES credential (user_id),
    secret bytea NOT NULL,
    confirmed boolean NOT NULL,
    last_step bigint NOT NULL,
    create_time timestamptz NOT NULL,
    confirm_time timestamptz,
    CHECK (confirmed = (confirm_time IS NOT NULL))
);

-- Codes for those who have lost their second factor; each works once, and its row goes then.
CREATE TABLE recovery_code (
    user_id text NOT NULL REFERENCES credential (user_id),
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    PRIMARY KEY (user_id, code_hash)
);

-- Who signs in elsewhere (OpenID Connect): the issuer's name for a user, and ours.
CREATE TABLE external_identity (
    issuer text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 256),
    -- HMAC-SHA256 of the issuer's subject, and the version of the key it was made with.
    subject_hash bytea NOT NULL CHECK (octet_length(subject_hash) = 32),
    subject_key text NOT NULL,
    user_id text NOT NULL REFERENCES credential (user_id),
    create_time timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject_hash)
);

CREATE INDEX external_identity_user ON external_identity (user_id);

-- migrate:down
