-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- People. What is personal is sealed with the person's own key (AES-256-GCM: nonce, ciphertext,
-- tag; bound to id and column), which is wrapped by a key of the secrets provider. Erasing removes
-- the wrapped key, and with it the way back.
CREATE TABLE person (
    id text PRIMARY KEY CHECK (id ~ '^usr_[0-9a-f]{34}$'),
    state text NOT NULL CHECK (state IN ('UNVERIFIED', 'ACTIVE', 'SUSPENDED', 'CLOSED')),
    version bigint NOT NULL CHECK (version >= 1),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    verify_time timestamptz,
    erase_time timestamptz,
    key_wrapped bytea,
    key_id text COLLATE "C",
    name bytea,
    email bytea,
    phone bytea,
    address bytea,
    birth_date bytea,
    tax_id bytea,
    -- HMAC-SHA-256, by which people are found, and its key.
    email_hash bytea,
    phone_hash bytea,
    tax_id_hash bytea,
    hash_key_id text COLLATE "C",
    CHECK ((erase_time IS NULL) = (key_wrapped IS NOT NULL)),
    CHECK (erase_time IS NULL OR (state = 'CLOSED' AND key_id IS NULL
        AND num_nonnulls(name, email, phone, address, birth_date, tax_id, email_hash, phone_hash,
            tax_id_hash, hash_key_id) = 0))
);

CREATE INDEX person_newest ON person (create_time DESC, id DESC);
CREATE INDEX person_email ON person (email_hash) WHERE email_hash IS NOT NULL;
CREATE INDEX person_phone ON person (phone_hash) WHERE phone_hash IS NOT NULL;
CREATE INDEX person_tax_id ON person (tax_id_hash) WHERE tax_id_hash IS NOT NULL;
CREATE INDEX person_key ON person (key_id);
CREATE INDEX person_hash_key ON person (hash_key_id);

-- Who was shown a person in full.
CREATE TABLE person_reveal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    principal text NOT NULL,
    method text NOT NULL,
    create_time timestamptz NOT NULL
);

CREATE INDEX person_reveal_user ON person_reveal (user_id, create_time);

-- Cards of a person.
CREATE INDEX card_user ON card (user_id) WHERE user_id IS NOT NULL;

-- migrate:down
