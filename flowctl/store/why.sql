-- name: running_in
SELECT id FROM runs WHERE engine_id IS NOT NULL AND namespace = +:namespace AND queue = +:queue ORDER BY id

-- name: ahead
-- plan: walks runs_due, which holds only what is ready, up to the run.
SELECT count(*) FROM runs WHERE state = 'queued' AND wake_at IS NULL AND followed_by IS NULL
    AND (priority > :priority OR (priority = :priority AND id < :run))

-- name: ready
-- plan: walks runs_due, which holds only what is ready.
SELECT id, min(changed_at) FROM runs
WHERE state = 'queued' AND wake_at IS NULL AND followed_by IS NULL GROUP BY namespace, queue

-- name: all_running
-- plan: walks the runs that engines hold, a handful.
SELECT count(*) FROM runs WHERE engine_id IS NOT NULL

-- part: slot
schedule_id, due_at, outcome, reason, run_id, decided_at

-- name: slot_from
SELECT {slot} FROM slots WHERE schedule_id = +:schedule AND due_at >= +:instant ORDER BY due_at LIMIT 1

-- name: slot_before
SELECT {slot} FROM slots WHERE schedule_id = +:schedule AND due_at < +:instant ORDER BY due_at DESC LIMIT 1
