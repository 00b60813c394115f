-- name: file_id
SELECT value FROM meta WHERE key = 'file_id'

-- name: count_runs
-- plan: counts every row, for a person who asks.
SELECT count(*) FROM runs

-- name: count_steps
-- plan: counts every row, for a person who asks.
SELECT count(*) FROM steps

-- name: count_events
-- plan: counts every row, for a person who asks.
SELECT count(*) FROM events

-- name: count_logs
-- plan: counts every row, for a person who asks.
SELECT count(*) FROM logs

-- name: states
-- plan: counts every row, for a person who asks.
SELECT state, count(*) FROM runs GROUP BY state
