-- recovery_state --
-- Whether Valkey was ever initialised, and its epoch.
SELECT epoch, initialised FROM installation WHERE id = 1

-- begin_epoch --
-- Another life of Valkey. Params: $1 epoch.
UPDATE installation SET epoch = $1 WHERE id = 1

-- begin_partition_epochs --
-- The same for every partition. Params: $1 epoch.
UPDATE partition SET epoch = $1

-- restart_partition --
-- Starts a stopped partition again. Params: $1 partition.
UPDATE partition SET stopped_because = NULL WHERE partition = $1

-- last_entry --
-- The last settled entry of a partition as it stood in the stream. Params: $1 partition.
SELECT position, position_entry FROM partition WHERE partition = $1

-- list_balances --
-- The accounts of a partition. Params: $1 partition.
SELECT account_id, seq, limit_minor, posted_minor, held_minor, unreleased_minor
FROM account_balance WHERE partition = $1
ORDER BY account_id

-- list_used_cards --
-- Those of some cards that spent, or for which the network did. Params: $1 card_ids.
SELECT DISTINCT e.root_card_id
FROM card_authorization a
JOIN journal_entry e ON e.partition = a.partition AND e.pseq = a.decision_pseq
WHERE a.card_id = ANY($1::text[])
  AND (e.type = 'V' OR (e.type IN ('A', 'F') AND e.amount_minor > 0) OR EXISTS (
      SELECT FROM journal_entry v WHERE v.authorization_id = a.id AND v.type = 'V'))

-- list_remembered --
-- First decisions on purchases that cards of a partition remember: those of lately, and the first
-- ones in a country. Params: $1 partition, $2 time since.
SELECT e.root_card_id, e.authorization_id, e.recorded_time, e.hold_flags, e.requested_minor,
       e.merchant_id, e.merchant_name, e.merchant_country, a.flags ~ 'B' AS given_back
FROM journal_entry e
JOIN card_authorization a ON a.id = e.authorization_id AND a.decision_pseq = e.pseq
WHERE e.partition = $1 AND e.type IN ('A', 'D', 'F') AND e.hold_flags ~ '[bgn]'
  AND (e.recorded_time > $2 OR e.hold_flags ~ 'n')
ORDER BY e.pseq

-- list_holds --
-- Authorizations of a partition that Valkey still has: open ones, and those that something happened
-- to lately. Params: $1 partition, $2 id prefix, $3 the next prefix, $4 time since.
SELECT a.*, f.type AS first_type, f.network
FROM card_authorization a
JOIN journal_entry f ON f.partition = a.partition AND f.pseq = a.first_pseq
WHERE a.partition = $1 AND a.id > $2 AND a.id < $3 AND (a.held_minor > 0 OR a.update_time > $4)
ORDER BY a.id

-- list_payments --
-- Payments and refunds that Valkey still has. Params: $1 ended since.
SELECT id, account_id, amount_minor, state, update_time FROM payment
WHERE state IN ('CREDITED', 'RELEASED') OR update_time > $1

-- list_records --
-- Entries of a partition whose answers Valkey still has, a stretch of them. Params: $1 partition,
-- $2 pseq after, $3 pseq up to, $4 requests since, $5 clearings since.
SELECT * FROM journal_entry
WHERE partition = $1 AND pseq > $2 AND pseq <= $3 AND type NOT IN ('K', 'L', 'S', 'U')
  AND (recorded_time > $4 OR (clearing_fingerprint IS NOT NULL AND recorded_time > $5))
ORDER BY pseq

-- youngest_entry --
-- When the youngest entry of a stretch was recorded. Params: $1 partition, $2 pseq after,
-- $3 pseq up to.
SELECT max(recorded_time) FROM journal_entry WHERE partition = $1 AND pseq > $2 AND pseq <= $3
