-- partition_positions --
-- Where each partition stands.
SELECT partition, epoch, position, stopped_because FROM partition ORDER BY partition

-- list_accounts --
-- A page of a partition's accounts. Params: $1 partition, $2 account_id after, $3 limit.
SELECT account_id, seq FROM account_balance
WHERE partition = $1 AND account_id > $2
ORDER BY account_id
LIMIT $3

-- known_accounts --
-- Which of these accounts the ledger knows. Params: $1 account_ids.
SELECT account_id FROM account_balance WHERE account_id = ANY($1::text[])

-- balances_at --
-- Accounts as they were after one entry each. Params: arrays of $1 account_id, $2 seq.
SELECT e.account_id, e.seq, e.limit_minor, e.posted_minor, e.held_minor, e.unreleased_minor
FROM unnest($1::text[], $2::bigint[]) AS asked (account_id, seq)
JOIN journal_entry e ON e.account_id = asked.account_id AND e.seq = asked.seq

-- holds_between --
-- What an account's entries left held, in their order. Params: $1 account_id, $2 seq after,
-- $3 seq up to.
SELECT authorization_id, hold_held_minor FROM journal_entry
WHERE account_id = $1 AND seq > $2 AND seq <= $3 AND authorization_id IS NOT NULL
ORDER BY seq

-- list_recounts --
-- What each entry of a partition after one left its authorization counting, and before them what
-- those authorizations counted until then. Params: $1 partition, $2 pseq after.
WITH later AS (
    SELECT pseq, account_id, seq, authorization_id, hold_windows FROM journal_entry
    WHERE partition = $1 AND pseq > $2 AND authorization_id IS NOT NULL
), known AS (
    SELECT l.account_id, l.authorization_id, min(l.seq) AS seq
    FROM later l JOIN card_authorization a ON a.id = l.authorization_id
    WHERE a.first_pseq <= $2
    GROUP BY l.account_id, l.authorization_id
)
SELECT before.pseq, authorization_id, before.hold_windows
FROM known k CROSS JOIN LATERAL (
    SELECT pseq, hold_windows FROM journal_entry e
    WHERE e.account_id = k.account_id AND e.seq < k.seq
      AND e.authorization_id = k.authorization_id
    ORDER BY e.seq DESC LIMIT 1
) before
UNION ALL
SELECT pseq, authorization_id, hold_windows FROM later
ORDER BY pseq

-- gaps_in_partition --
-- The entries of a partition against its position. Params: $1 partition.
SELECT p.position, count(e.pseq) AS entries, coalesce(min(e.pseq), 1) AS first_pseq,
       coalesce(max(e.pseq), 0) AS last_pseq
FROM partition p LEFT JOIN journal_entry e ON e.partition = p.partition
WHERE p.partition = $1
GROUP BY p.position

-- accounts_against_entries --
-- Accounts that differ from their entries: numbers missing, or not as their last entry left them.
-- Params: $1 partition.
WITH entries AS (
    SELECT account_id, count(*) AS entries, max(seq) AS last_seq
    FROM journal_entry WHERE partition = $1 AND account_id IS NOT NULL
    GROUP BY account_id
), compared AS (
    SELECT account_id, b.seq, n.entries, n.last_seq,
           b.limit_minor, b.posted_minor, b.held_minor, b.unreleased_minor,
           e.limit_minor AS entry_limit_minor, e.posted_minor AS entry_posted_minor,
           e.held_minor AS entry_held_minor, e.unreleased_minor AS entry_unreleased_minor
    FROM (SELECT * FROM account_balance WHERE partition = $1) b
    FULL JOIN entries n USING (account_id)
    LEFT JOIN journal_entry e USING (account_id, seq)
)
SELECT * FROM compared
WHERE (seq, seq, limit_minor, posted_minor, held_minor, unreleased_minor) IS DISTINCT FROM
      (entries, last_seq, entry_limit_minor, entry_posted_minor, entry_held_minor,
       entry_unreleased_minor)

-- accounts_against_lines --
-- Accounts whose posted balance is not the sum of what they owe and are owed. Params: $1 partition.
SELECT account_id, coalesce(b.posted_minor, 0)::numeric AS posted_minor,
       coalesce(l.owed_minor, 0) AS owed_minor
FROM (SELECT account_id, posted_minor FROM account_balance WHERE partition = $1) b
FULL JOIN (
    SELECT account_id, sum(amount_minor) AS owed_minor FROM journal_line
    WHERE partition = $1
      AND (ledger_account LIKE 'receivable.%' OR ledger_account = 'customer_credit')
    GROUP BY account_id
) l USING (account_id)
WHERE coalesce(b.posted_minor, 0) <> coalesce(l.owed_minor, 0)

-- accounts_against_authorizations --
-- Accounts whose held balance is not the sum of their authorizations'. Params: $1 partition.
SELECT account_id, coalesce(b.held_minor, 0)::numeric AS held_minor,
       coalesce(a.held_minor, 0) AS authorizations_minor
FROM (SELECT account_id, held_minor FROM account_balance WHERE partition = $1) b
FULL JOIN (
    SELECT account_id, sum(held_minor) AS held_minor FROM card_authorization
    WHERE partition = $1 AND account_id IS NOT NULL
    GROUP BY account_id
) a USING (account_id)
WHERE coalesce(b.held_minor, 0) <> coalesce(a.held_minor, 0)

-- unbalanced_entries --
-- Entries whose lines do not sum to zero. Params: $1 partition.
SELECT pseq, currency, sum(amount_minor) AS sum_minor
FROM journal_line WHERE partition = $1
GROUP BY pseq, currency
HAVING sum(amount_minor) <> 0

-- lines_without_entry --
-- Lines whose entry is not there. Params: $1 partition.
SELECT l.pseq, count(*) AS lines
FROM journal_line l LEFT JOIN journal_entry e ON e.partition = l.partition AND e.pseq = l.pseq
WHERE l.partition = $1 AND e.pseq IS NULL
GROUP BY l.pseq

-- totals_against_lines --
-- Running totals that are not the sum of their lines. Params: $1 partition.
SELECT currency, ledger_account,
       coalesce(t.debit_minor, 0) AS debit_minor, coalesce(t.credit_minor, 0) AS credit_minor,
       coalesce(l.debit_minor, 0) AS lines_debit_minor,
       coalesce(l.credit_minor, 0) AS lines_credit_minor
FROM (SELECT * FROM ledger_total WHERE partition = $1) t
FULL JOIN (
    SELECT currency, ledger_account,
           coalesce(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0) AS debit_minor,
           coalesce(-sum(amount_minor) FILTER (WHERE amount_minor < 0), 0) AS credit_minor
    FROM journal_line WHERE partition = $1
    GROUP BY currency, ledger_account
) l USING (currency, ledger_account)
WHERE (coalesce(t.debit_minor, 0), coalesce(t.credit_minor, 0))
      <> (coalesce(l.debit_minor, 0), coalesce(l.credit_minor, 0))
