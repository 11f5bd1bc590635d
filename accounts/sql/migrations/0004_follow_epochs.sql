-- migrate:up
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '30s';

-- One row: the authorizer's epoch that everything was projected to, or is being projected to: which
-- step is under way (null: all are done), and how far it is.
CREATE TABLE projection (
    id          smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    epoch       bigint   NOT NULL,
    step        smallint,
    after_place text     NOT NULL DEFAULT ''
);
INSERT INTO projection (epoch) VALUES (0);

-- migrate:down
