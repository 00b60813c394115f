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

-- name: begin
INSERT INTO starts (namespace, queue, at, run_id) VALUES (:namespace, :queue, :now, :run)

-- name: forget
DELETE FROM starts WHERE namespace = :namespace AND queue = :queue AND at <= :until

-- name: starts
SELECT at FROM starts WHERE namespace = +:namespace AND queue = +:queue AND at > +:since ORDER BY at
