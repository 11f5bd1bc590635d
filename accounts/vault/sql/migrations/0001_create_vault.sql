-- migrate:up

-- Card numbers. One row per card; a card keeps its row for as long as it keeps its number.
CREATE TABLE card_number (
    card_id text PRIMARY KEY CHECK (card_id ~ '^card_[0-9a-f]{34}$'),
    -- AES-256-GCM: nonce, ciphertext, tag; bound to the card's id.
    pan_sealed bytea NOT NULL,
    -- Key of the line above. Rotation seals again.
    key_id text COLLATE "C" NOT NULL,
    -- HMAC-SHA-256 of the number, and its key.
    pan_hash bytea NOT NULL CHECK (octet_length(pan_hash) = 32),
    hash_key_id text COLLATE "C" NOT NULL,
    -- Key that the CVV is derived from: it stays, for the value is printed.
    cvv_key_id text NOT NULL,
    bin text NOT NULL CHECK (bin ~ '^[0-9]{6}([0-9]{2})?$'),
    last4 text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    expiry_month smallint NOT NULL CHECK (expiry_month BETWEEN 1 AND 12),
    expiry_year smallint NOT NULL CHECK (expiry_year BETWEEN 2000 AND 2999),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

CREATE UNIQUE INDEX card_number_hash ON card_number (pan_hash);
CREATE INDEX card_number_key ON card_number (key_id);
CREATE INDEX card_number_hash_key ON card_number (hash_key_id);

-- Who was shown a number, and why.
CREATE TABLE reveal (
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    card_id text NOT NULL REFERENCES card_number (card_id),
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (principal, request_id)
);

CREATE INDEX reveal_card ON reveal (card_id, create_time);

-- migrate:down
