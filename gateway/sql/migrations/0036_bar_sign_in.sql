-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- Whether accounts says that the user may not sign in, and the version of the person that said so:
-- lower ones are ignored. `state` is what operators say.
ALTER TABLE credential
ADD COLUMN barred boolean NOT NULL DEFAULT false,
ADD COLUMN person_version bigint NOT NULL DEFAULT 0 CHECK (person_version >= 0);

-- migrate:down
