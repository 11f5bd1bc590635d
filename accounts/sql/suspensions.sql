-- select_lasting --
-- What an account is suspended for. Params: $1 account_id.
SELECT cause, by_billing
FROM account_suspension
WHERE account_id = $1 AND end_time IS NULL

-- insert_suspension --
-- Records a cause. Params: $1 account_id, $2 cause, $3 by_billing, $4 principal, $5 now.
INSERT INTO account_suspension (account_id, cause, by_billing, principal, begin_time)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, cause) WHERE end_time IS NULL DO NOTHING

-- end_suspensions --
-- Records that all causes but these have ended. Params: $1 account_id, $2 causes, $3 principal,
-- $4 now.
UPDATE account_suspension
SET end_time = $4, end_principal = $3
WHERE account_id = $1 AND end_time IS NULL AND cause <> ALL($2::text[])

-- list_suspensions --
-- Suspensions of an account before one, newest first. Params: $1 id, $2 limit, $3 account_id.
SELECT id, cause, by_billing, principal, begin_time, end_time, end_principal
FROM account_suspension
WHERE account_id = $3 AND id < $1
ORDER BY id DESC
LIMIT $2
