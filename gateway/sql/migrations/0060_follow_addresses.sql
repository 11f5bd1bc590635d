-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- The version of the person whose address this is: lower ones are ignored. 0: as it was registered.
ALTER TABLE credential
ADD COLUMN email_version bigint NOT NULL DEFAULT 0 CHECK (email_version >= 0);

-- migrate:down
