-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- `data_key` is sealed with the key of the person who applied: who is erased is erased here, too.
-- By which key the hash of the tax number was made; erased persons have none.
ALTER TABLE application ALTER COLUMN person_hash DROP NOT NULL;
ALTER TABLE application ADD COLUMN hash_key_id text COLLATE "C";
CREATE INDEX application_hash_key ON application (hash_key_id) WHERE person_hash IS NOT NULL;

-- migrate:down
