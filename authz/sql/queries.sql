-- read_partitions --
-- Where each partition stands, for the gate and the settler.
SELECT p.partition, p.epoch, p.position, p.position_digest, p.stopped_because
FROM partition p, installation i
WHERE i.id = 1 AND i.initialised
ORDER BY p.partition

-- find_request --
-- The entry of an earlier request. One id may stand in several partitions: the entry with the same
-- content comes first. Params: $1 principal, $2 request_id, $3 fingerprint.
SELECT * FROM journal_entry WHERE principal = $1 AND request_id = $2
ORDER BY fingerprint <> $3, recorded_time LIMIT 1

-- find_clearing --
-- The entry of an earlier clearing. Params: $1 partition, $2 network or '', $3 reference,
-- $4 sequence, $5 principal (without a network, references are each principal's own).
SELECT * FROM journal_entry
WHERE partition = $1 AND clearing_reference = $3 AND clearing_sequence = $4
  AND (network = $2 OR (network IS NULL AND $2 = '' AND principal = $5))
LIMIT 1

-- get_authorization --
-- One authorization with the entry that decided (or, undecided, created) it. Params: $1 id.
SELECT a.*, e.type, e.network, e.request, e.decline_reason, e.authorization_code, e.amount_minor,
       e.recorded_time, e.control, e.control_left_minor, e.control_left_count, e.decided_by,
       e.external_reason
FROM card_authorization a
JOIN journal_entry e
  ON e.partition = a.partition AND e.pseq = coalesce(a.decision_pseq, a.first_pseq)
WHERE a.id = $1

-- list_merchant_amounts --
-- What happened to some authorizations that their sums do not tell. Params: $1 authorization ids.
SELECT authorization_id, type, request, recorded_time
FROM journal_entry
WHERE authorization_id = ANY($1::text[])
  AND (merchant_amount_minor IS NOT NULL OR type IN ('I', 'V'))
ORDER BY partition, pseq

-- get_entry --
-- One entry. Params: $1 partition, $2 pseq.
SELECT * FROM journal_entry WHERE partition = $1 AND pseq = $2

-- get_payment --
-- One settled payment. Params: $1 id.
SELECT state, amount_minor, account_id FROM payment WHERE id = $1

-- list_authorizations --
-- A page, newest first. Params: $1 account_id or null, $2 card_id or null, $3 principal or null,
-- $4 create_time before, $5 id before (with $4), $6 limit.
SELECT a.*, e.type, e.network, e.request, e.decline_reason, e.authorization_code, e.amount_minor,
       e.recorded_time, e.control, e.control_left_minor, e.control_left_count, e.decided_by,
       e.external_reason
FROM card_authorization a
JOIN journal_entry e
  ON e.partition = a.partition AND e.pseq = coalesce(a.decision_pseq, a.first_pseq)
WHERE ($1::text IS NULL OR a.account_id = $1)
  AND ($2::text IS NULL OR a.card_id = $2)
  AND ($3::text IS NULL OR a.principal = $3)
  AND ($4::timestamptz IS NULL OR (a.create_time, a.id) < ($4, $5::text))
ORDER BY a.create_time DESC, a.id DESC
LIMIT $6

-- list_entries --
-- A page of an account's entries, highest seq first. Params: $1 account_id, $2 seq before or null,
-- $3 limit.
SELECT * FROM journal_entry
WHERE account_id = $1 AND ($2::bigint IS NULL OR seq < $2)
ORDER BY seq DESC
LIMIT $3

-- list_late_entries --
-- A page of what is to be reviewed, newest first. Params: $1 account_id or null,
-- $2 recorded_time before or null, $3 id before (with $2), $4 limit.
SELECT * FROM journal_entry
WHERE late <> '' AND ($1::text IS NULL OR account_id = $1)
  AND ($2::timestamptz IS NULL OR (recorded_time, id) < ($2, $3::text))
ORDER BY recorded_time DESC, id DESC
LIMIT $4

-- follow_entries --
-- What follows some positions. Params: $1 partitions, $2 the pseq of each, $3 limit for each.
SELECT e.* FROM unnest($1::smallint[], $2::bigint[]) AS after (partition, pseq)
CROSS JOIN LATERAL (
    SELECT * FROM journal_entry j
    WHERE j.partition = after.partition AND j.pseq > after.pseq
    ORDER BY j.pseq LIMIT $3
) e
ORDER BY e.partition, e.pseq

-- follow_posted --
-- The same, of entries that changed what is owed, up to some positions. Params: $1 partitions,
-- $2 the pseq of each, $3 the last pseq of each, $4 limit for each.
SELECT e.*, a.merchant_id AS authorized_merchant_id, a.merchant_name AS authorized_merchant_name,
    a.merchant_category_code AS authorized_merchant_category_code,
    a.merchant_country AS authorized_merchant_country
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS span (partition, after, upto)
CROSS JOIN LATERAL (
    SELECT * FROM journal_entry j
    WHERE j.partition = span.partition AND j.pseq > span.after AND j.pseq <= span.upto
        AND j.balance_category IS NOT NULL
    ORDER BY j.pseq LIMIT $4
) e
LEFT JOIN card_authorization c
    ON c.id = e.authorization_id AND e.merchant_name IS NULL AND c.decision_pseq < e.pseq
LEFT JOIN journal_entry a ON a.partition = c.partition AND a.pseq = c.decision_pseq
ORDER BY e.partition, e.pseq

-- settled_positions --
-- How far each partition is settled. Params: $1 partitions.
SELECT partition, position FROM partition WHERE partition = ANY ($1::smallint[])

-- follow_lines --
-- The lines of some entries. Params: $1 partitions, $2 the pseq of each.
SELECT partition, pseq, ledger_account, currency, amount_minor
FROM journal_line
WHERE (partition, pseq) IN (SELECT * FROM unnest($1::smallint[], $2::bigint[]))
ORDER BY partition, pseq, line

-- list_lines --
-- The lines of some entries. Params: $1 partition, $2 pseqs.
SELECT pseq, ledger_account, currency, amount_minor
FROM journal_line WHERE partition = $1 AND pseq = ANY($2::bigint[])
ORDER BY pseq, line

-- trial_balance --
-- Totals of every ledger account. Params: $1 currency or null.
SELECT currency, ledger_account, sum(debit_minor)::bigint AS debit_minor,
       sum(credit_minor)::bigint AS credit_minor
FROM ledger_total
WHERE $1::text IS NULL OR currency = $1
GROUP BY currency, ledger_account
ORDER BY currency, ledger_account

-- count_entries --
-- Settled entries: pseq has no gaps, so the positions add up to them.
SELECT coalesce(sum(position), 0)::bigint FROM partition

-- create_installation --
-- Names the epoch of a new installation; one that exists stays. Params: $1 epoch.
INSERT INTO installation (epoch) VALUES ($1) ON CONFLICT (id) DO NOTHING

-- create_partitions --
-- Creates the rows of all partitions of a new installation.
INSERT INTO partition (partition, epoch)
SELECT n, i.epoch FROM generate_series(0, 63) n, installation i
ON CONFLICT (partition) DO NOTHING

-- read_installation --
-- The epoch, and whether Valkey was ever initialised for it.
SELECT epoch, initialised FROM installation WHERE id = 1

-- mark_initialised --
-- From now on an empty Valkey is a loss, not a beginning.
UPDATE installation SET initialised = true WHERE id = 1

-- count_settlers --
-- Live settlers, so that each takes its share. Params: $1 application name prefix.
SELECT count(DISTINCT pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE $1 || '%'

-- find_recovery --
-- Whether somebody holds an advisory lock of this database. Params: $1 first key, $2 second key.
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
      AND l.classid = $1::int::oid AND l.objid = $2::int::oid AND l.objsubid = 2
)

-- move_positions --
-- Moves partitions; one that is missing in the answer was moved by somebody else. Params: arrays of
-- $1 partition, $2 old position, $3 epoch, $4 new position, $5 digest of the last entry, $6 that
-- entry.
UPDATE partition p SET position = m.new, position_digest = m.digest, position_entry = m.entry
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[])
    AS m (partition, old, epoch, new, digest, entry)
WHERE p.partition = m.partition AND p.position = m.old AND p.epoch = m.epoch
  AND p.stopped_because IS NULL
RETURNING p.partition

-- stop_partition --
-- Stops a partition whose journal contradicts the ledger; no row means that somebody else has moved
-- it. Params: $1 partition, $2 why, $3 position.
UPDATE partition SET stopped_because = $2 WHERE partition = $1 AND position = $3
RETURNING partition

-- upsert_balances --
-- Params: arrays of $1 account_id, $2 partition, $3 currency, $4 seq, $5 limit, $6 posted,
-- $7 held, $8 unreleased, $9 update_time.
INSERT INTO account_balance AS b (account_id, partition, currency, seq, limit_minor, posted_minor,
                                  held_minor, unreleased_minor, update_time)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[],
                     $6::bigint[], $7::bigint[], $8::bigint[], $9::timestamptz[])
ON CONFLICT (account_id) DO UPDATE SET
    seq = EXCLUDED.seq, limit_minor = EXCLUDED.limit_minor, posted_minor = EXCLUDED.posted_minor,
    held_minor = EXCLUDED.held_minor, unreleased_minor = EXCLUDED.unreleased_minor,
    update_time = EXCLUDED.update_time

-- known_authorizations --
-- Those of some authorizations that the ledger has. Params: $1 ids.
SELECT id FROM card_authorization WHERE id = ANY($1::text[])

-- update_authorizations --
-- What later entries change; the first decision stays. Params: arrays of $1 id, $2 approved,
-- $3 reversed, $4 captured, $5 held, $6 refunded, $7 flags, $8 expire_time, $9 decision_pseq,
-- $10 update_time, $11 windows.
UPDATE card_authorization a SET
    approved_minor = m.approved_minor, reversed_minor = m.reversed_minor,
    captured_minor = m.captured_minor, held_minor = m.held_minor,
    refunded_minor = m.refunded_minor, flags = m.flags,
    expire_time = coalesce(m.expire_time, a.expire_time),
    decision_pseq = coalesce(a.decision_pseq, m.decision_pseq),
    update_time = m.update_time, windows = m.windows
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
            $7::text[], $8::timestamptz[], $9::bigint[], $10::timestamptz[], $11::text[])
    AS m (id, approved_minor, reversed_minor, captured_minor, held_minor, refunded_minor, flags,
          expire_time, decision_pseq, update_time, windows)
WHERE a.id = m.id

-- upsert_payments --
-- Params: arrays of $1 id, $2 account_id, $3 amount, $4 state, $5 update_time.
INSERT INTO payment AS p (id, account_id, amount_minor, state, update_time)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, update_time = EXCLUDED.update_time

-- add_totals --
-- Params: arrays of $1 partition, $2 currency, $3 ledger_account, $4 debit, $5 credit.
INSERT INTO ledger_total AS t (partition, currency, ledger_account, debit_minor, credit_minor)
SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::numeric[], $5::numeric[])
ON CONFLICT (partition, currency, ledger_account) DO UPDATE SET
    debit_minor = t.debit_minor + EXCLUDED.debit_minor,
    credit_minor = t.credit_minor + EXCLUDED.credit_minor
