-- part: waits
state = 'queued' AND (wake_at IS NULL OR wake_at <= +:now)

-- name: set
INSERT INTO queues (namespace, name, concurrency, rate, rate_ms, key, key_limit, paused_at, changed_at)
VALUES (:namespace, :name, :concurrency, :rate, :rate_ms, :key, :key_limit, :paused_at, :now)
ON CONFLICT (namespace, name) DO UPDATE SET
    concurrency = excluded.concurrency, rate = excluded.rate, rate_ms = excluded.rate_ms, key = excluded.key,
    key_limit = excluded.key_limit, paused_at = excluded.paused_at, changed_at = excluded.changed_at

-- name: all
-- plan: a row for each queue with limits, a handful.
SELECT namespace, name, concurrency, rate, rate_ms, key, key_limit, paused_at FROM queues ORDER BY namespace, name

-- name: remove
DELETE FROM queues WHERE namespace = :namespace AND name = :name

-- name: find
SELECT namespace, name, concurrency, rate, rate_ms, key, key_limit, paused_at FROM queues
WHERE namespace = :namespace AND name = :name

-- name: begin
-- A run that is let go and claimed again within a millisecond counts once.
INSERT INTO starts (namespace, queue, at, run_id) VALUES (:namespace, :queue, :now, :run) ON CONFLICT DO NOTHING

-- name: forget
DELETE FROM starts WHERE namespace = :namespace AND queue = :queue AND at NOT BETWEEN :since + 1 AND :until

-- name: starts
SELECT count(*) FROM starts WHERE namespace = :namespace AND queue = :queue AND at > :since AND at <= :until

-- name: nth_start
SELECT at FROM starts WHERE namespace = +:namespace AND queue = +:queue AND at <= +:until
ORDER BY at DESC LIMIT 1 OFFSET +:number - 1

-- name: loads
SELECT queue, sum(state = 'running'), sum({waits}), min(CASE WHEN {waits} THEN changed_at END)
FROM runs WHERE namespace = +:namespace AND state IN ('queued', 'running', 'sleeping', 'waiting', 'paused', 'blocked')
GROUP BY queue ORDER BY queue
