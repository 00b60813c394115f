-- Every block reads whole tables or indexes: it answers `flowctl metrics`.

-- part: bucket
CASE WHEN ms <= 100 THEN 0 WHEN ms <= 500 THEN 1 WHEN ms <= 1000 THEN 2 WHEN ms <= 5000 THEN 3 WHEN ms <= 15000 THEN 4
    WHEN ms <= 60000 THEN 5 WHEN ms <= 300000 THEN 6 WHEN ms <= 900000 THEN 7 WHEN ms <= 3600000 THEN 8
    WHEN ms <= 14400000 THEN 9 WHEN ms <= 86400000 THEN 10 ELSE 11 END

-- name: runs
-- plan: counts all runs.
SELECT namespace, workflow, state, count(*) FROM runs GROUP BY namespace, workflow, state ORDER BY namespace, workflow, state

-- name: durations
-- plan: reads all runs.
SELECT namespace, workflow, {bucket}, count(*), sum(ms) FROM (
    SELECT namespace, workflow, finished_at - started_at AS ms FROM runs WHERE finished_at >= started_at)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- name: waits
-- plan: reads all runs.
SELECT namespace, workflow, {bucket}, count(*), sum(ms) FROM (
    SELECT namespace, workflow, max(0, started_at - created_at) AS ms FROM runs WHERE started_at IS NOT NULL)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- name: attempts
-- plan: counts all steps and attempts.
SELECT 'succeeded', count(*) FROM steps WHERE state = 'succeeded' AND shared_id IS NULL AND said_by IS NULL
UNION ALL SELECT state, count(*) FROM attempts GROUP BY state ORDER BY 1

-- name: queues
-- plan: walks runs_due, which holds only what is ready.
SELECT namespace, queue, count(*), min(changed_at) FROM runs
WHERE state = 'queued' AND wake_at IS NULL AND followed_by IS NULL GROUP BY namespace, queue ORDER BY namespace, queue

-- name: schedules
-- plan: a row for each schedule, dozens.
SELECT namespace, name, next_at FROM schedules WHERE next_at IS NOT NULL ORDER BY namespace, name

-- name: slots
-- plan: counts the slots, a thousand of each schedule.
SELECT namespace, name, outcome, count(*) FROM slots JOIN schedules ON schedules.id = schedule_id
GROUP BY namespace, name, outcome ORDER BY namespace, name, outcome
