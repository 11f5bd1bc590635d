-- stages --
-- Of what was delivered: how long it took until notify had it, from there to the first attempt, and
-- the attempt itself, ms (95 of 100 took less); and what waits.
SELECT
    (SELECT count(*) FROM notify.webhook_delivery WHERE state = 'PENDING') AS waiting,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY round(1000 * extract(
        epoch FROM d.create_time - e.create_time)))::integer AS taken_in_p95_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY round(1000 * extract(
        epoch FROM a.start_time - d.create_time)))::integer AS begun_p95_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY a.duration_ms) AS answered_p95_ms
FROM notify.webhook_delivery d
JOIN notify.event e ON e.number = d.event_number
JOIN notify.webhook_attempt a
    ON a.endpoint_id = d.endpoint_id AND a.event_number = d.event_number AND a.number = 1
WHERE d.state = 'DELIVERED'
