-- list_configuration --
-- Every version of accounts, their users, cards and rules of a partition, in order. Params:
-- $1 partition.
SELECT type, request FROM journal_entry
WHERE partition = $1 AND type IN ('K', 'L', 'S', 'U')
ORDER BY pseq

-- sum_windows --
-- What the authorizations of a partition count, by window and slot; all that ever were, for a limit
-- may look back for ever. Params: $1 partition, $2 id prefix, $3 the next prefix, arrays of
-- $4 window name, $5 its lowest slot.
SELECT limits.name, item[2]::bigint AS slot, sum(item[3]::bigint)::bigint AS amount_minor,
       sum(item[4]::bigint)::bigint AS count
FROM card_authorization a
CROSS JOIN unnest(string_to_array(a.windows, ';')) AS counted
CROSS JOIN string_to_array(counted, ',') AS item
JOIN unnest($4::text[], $5::bigint[]) AS limits (name, lowest)
  ON limits.name = item[1] AND item[2]::bigint >= limits.lowest
WHERE a.partition = $1 AND a.id > $2 AND a.id < $3 AND a.windows <> ''
GROUP BY limits.name, item[2]::bigint
ORDER BY limits.name, item[2]::bigint

-- list_merchant_locks --
-- The purchases of a partition that locked their card to their merchant. Params: $1 partition,
-- $2 id prefix, $3 the next prefix.
SELECT e.root_card_id, e.pseq, coalesce(e.merchant_id, '') AS merchant_id,
       coalesce(e.merchant_name, '') AS merchant_name
FROM card_authorization a
JOIN journal_entry e ON e.partition = a.partition AND e.pseq = a.decision_pseq
WHERE a.partition = $1 AND a.id > $2 AND a.id < $3 AND strpos(a.flags, 'm') > 0
