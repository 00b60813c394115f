-- name: settings
-- plan: a row for each workflow with settings of its own, a handful.
SELECT namespace, workflow, keep_ms, keep_runs, keep_failed_ms FROM retention ORDER BY namespace, workflow

-- name: setting
SELECT namespace, workflow, keep_ms, keep_runs, keep_failed_ms FROM retention
WHERE namespace = :namespace AND workflow = :workflow

-- name: set
INSERT INTO retention (namespace, workflow, keep_ms, keep_runs, keep_failed_ms)
VALUES (:namespace, :workflow, :keep_ms, :keep_runs, :keep_failed_ms)
ON CONFLICT (namespace, workflow) DO UPDATE SET
    keep_ms = excluded.keep_ms, keep_runs = excluded.keep_runs, keep_failed_ms = excluded.keep_failed_ms

-- name: reset
DELETE FROM retention WHERE namespace = :namespace AND workflow = :workflow

-- name: next_workflow
SELECT namespace, workflow FROM runs WHERE (namespace, workflow) > (+:namespace, +:workflow)
ORDER BY namespace, workflow LIMIT 1

-- part: idle
-- No member of the family goes on, no run waits for one of them, and none shares its steps.
NOT EXISTS (
        SELECT 1 FROM runs AS member
        WHERE member.root_id = runs.id AND member.state NOT IN ('succeeded', 'failed', 'cancelled'))
    AND NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.after_id = runs.id AND later.state = 'waiting')
    AND NOT EXISTS (
        SELECT 1 FROM runs AS member JOIN runs AS later ON later.after_id = member.id AND later.state = 'waiting'
        WHERE member.root_id = runs.id)
    AND NOT EXISTS (SELECT 1 FROM runs AS fork WHERE fork.forked_from = runs.id)
    AND NOT EXISTS (
        SELECT 1 FROM runs AS member JOIN runs AS fork ON fork.forked_from = member.id WHERE member.root_id = runs.id)

-- name: beyond
-- The newest run at the top of a family that is not among the newest ones.
SELECT id FROM runs WHERE namespace = +:namespace AND workflow = +:workflow AND root_id IS NULL
ORDER BY id DESC LIMIT 1 OFFSET +:keep_runs

-- name: walk
-- A window of families, and whether each goes.
SELECT id, state IN ('succeeded', 'failed', 'cancelled')
    AND CASE state WHEN 'failed' THEN finished_at < +:failed_before
        ELSE finished_at < +:before OR (+:beyond IS NOT NULL AND id <= +:beyond) END
    AND {idle}
FROM runs INDEXED BY runs_workflow
WHERE namespace = +:namespace AND workflow = +:workflow AND id > +:after AND root_id IS NULL ORDER BY id LIMIT +:limit

-- name: gone_or_busy
SELECT 1 WHERE NOT EXISTS (
    SELECT 1 FROM runs WHERE id = :run AND state IN ('succeeded', 'failed', 'cancelled') AND {idle})

-- name: members
SELECT id FROM runs WHERE root_id = +:run ORDER BY id

-- name: allow
INSERT INTO meta (key, value) VALUES ('pruning', '')

-- name: forbid
DELETE FROM meta WHERE key = 'pruning'

-- name: marked
SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'pruned_family'

-- name: mark
INSERT INTO meta (key, value) VALUES ('pruned_family', :run) ON CONFLICT DO UPDATE SET value = excluded.value

-- name: unmark
DELETE FROM meta WHERE key = 'pruned_family'

-- name: pruned_at
SELECT CAST(value AS INTEGER) FROM meta WHERE key IN ('pruned_at', 'created_at') ORDER BY key DESC LIMIT 1

-- name: set_pruned_at
INSERT INTO meta (key, value) VALUES ('pruned_at', :now) ON CONFLICT DO UPDATE SET value = excluded.value

-- name: delete_logs
DELETE FROM logs WHERE id IN (SELECT id FROM logs WHERE run_id = +:run LIMIT +:limit) RETURNING id

-- name: delete_signals
DELETE FROM signals WHERE id IN (SELECT id FROM signals WHERE run_id = +:run LIMIT +:limit)

-- name: delete_attempts
DELETE FROM attempts
WHERE (run_id, key, attempt) IN (SELECT run_id, key, attempt FROM attempts WHERE run_id = +:run LIMIT +:limit)
RETURNING run_id

-- name: delete_steps
DELETE FROM steps WHERE id IN (SELECT id FROM steps WHERE run_id = +:run AND superseded_at IS NULL LIMIT +:limit) RETURNING id

-- name: delete_replaced
DELETE FROM steps WHERE id IN (SELECT id FROM steps WHERE run_id = +:run AND superseded_at IS NOT NULL LIMIT +:limit)
RETURNING id

-- name: delete_events
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run_id = +:run LIMIT +:limit) RETURNING id

-- name: delete_run
-- plan: the scan is for foreign keys, which are not looked after while it runs.
DELETE FROM runs WHERE id = :run

-- name: schedules
-- plan: a row for each schedule, dozens.
SELECT id FROM schedules ORDER BY id

-- name: delete_slots
DELETE FROM slots WHERE schedule_id = +:schedule AND due_at IN (
    SELECT due_at FROM slots WHERE schedule_id = +:schedule AND due_at < max(+:before, coalesce((
        SELECT due_at FROM slots WHERE schedule_id = +:schedule ORDER BY due_at DESC LIMIT 1 OFFSET +:newest - 1), 0))
    LIMIT +:limit)

-- name: delete_starts
-- plan: walks what begins in queues with a rate limit, kept as long as it counts.
DELETE FROM starts WHERE (namespace, queue, at, run_id) IN (
    SELECT starts.namespace, queue, at, run_id FROM starts
    LEFT JOIN queues ON queues.namespace = starts.namespace AND queues.name = queue
    WHERE rate_ms IS NULL OR at <= +:now - rate_ms LIMIT +:limit)

-- name: delete_notices
-- plan: walks the messages to channels, kept for a month.
DELETE FROM notices WHERE id IN (
    SELECT id FROM notices WHERE next_at IS NULL AND created_at < +:before LIMIT +:limit)

-- name: delete_notes
-- plan: walks the lines of the audit log that are not of runs, kept for a year.
DELETE FROM events WHERE id IN (
    SELECT id FROM events WHERE subject IS NOT NULL AND at < +:before LIMIT +:limit)

-- name: delete_engines
-- plan: walks the engines, each of which had its run.
DELETE FROM engines WHERE id IN (
    SELECT id FROM engines WHERE stopped_at < +:before
        AND NOT EXISTS (SELECT 1 FROM runs WHERE engine_id = engines.id)
        AND NOT EXISTS (SELECT 1 FROM runs WHERE followed_by = engines.id) LIMIT +:limit)
