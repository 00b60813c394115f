-- part: columns
namespace, name, state, failures, window_ms, cooldown_ms, opened_at, probe_run, probe_step, probe_epoch, changed_at

-- name: find
SELECT {columns} FROM breakers WHERE namespace = +:namespace AND name = +:name

-- name: all
-- plan: a row for each breaker, a handful.
SELECT {columns} FROM breakers WHERE namespace = +:namespace ORDER BY name

-- name: put
INSERT INTO breakers ({columns}) VALUES (
    :namespace, :name, :state, :failures, :window_ms, :cooldown_ms, :opened_at, :probe_run, :probe_step, :probe_epoch,
    :changed_at)
ON CONFLICT (namespace, name) DO UPDATE SET
    state = excluded.state, failures = excluded.failures, window_ms = excluded.window_ms,
    cooldown_ms = excluded.cooldown_ms, opened_at = excluded.opened_at, probe_run = excluded.probe_run,
    probe_step = excluded.probe_step, probe_epoch = excluded.probe_epoch, changed_at = excluded.changed_at

-- name: probing
SELECT 1 FROM runs WHERE id = +:run AND epoch = +:epoch AND state = 'running'

-- name: fail
-- A commit whose answer was lost is applied twice: an attempt fails once.
INSERT INTO breaker_failures (namespace, name, at, run_id, step, attempt)
VALUES (:namespace, :name, :now, :run, :step, :attempt) ON CONFLICT DO NOTHING

-- name: forget
DELETE FROM breaker_failures WHERE namespace = :namespace AND name = :name AND at NOT BETWEEN :since + 1 AND :until

-- name: recent
SELECT count(*) FROM breaker_failures WHERE namespace = :namespace AND name = :name AND at > :since AND at <= :until

-- name: clear
DELETE FROM breaker_failures WHERE namespace = :namespace AND name = :name

-- name: wait
INSERT INTO breaker_waits (namespace, name, run_id) VALUES (:namespace, :name, :run) ON CONFLICT DO NOTHING

-- name: waiting
SELECT run_id FROM breaker_waits WHERE namespace = +:namespace AND name = +:name ORDER BY run_id

-- name: awaited
SELECT name FROM breaker_waits WHERE run_id = +:run ORDER BY name

-- name: wait_no_more
DELETE FROM breaker_waits WHERE namespace = :namespace AND name = :name

-- name: went_on
DELETE FROM breaker_waits WHERE run_id = :run AND namespace = :namespace AND name = :name
