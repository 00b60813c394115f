-- name: schedules
-- plan: a row for each schedule, dozens.
SELECT id, namespace, name, kind, expression, zone, start_at, end_at, jitter_ms, catch_up, catch_up_cap, window_ms,
    overlap, pause_after, workflow, input, options, directory, python, env_file, environment, description, source,
    next_at, planned_to, paused_at, pause_reason, created_at, changed_at, debounce_ms
FROM schedules ORDER BY namespace, name

-- name: last_slot
SELECT max(due_at) FROM slots WHERE schedule_id = +:schedule

-- name: rearm
UPDATE schedules SET next_at = :next_at WHERE id = :schedule

-- name: elsewhere
SELECT id, pid, started_at, stopped_at FROM engines WHERE boot_id <> :boot AND started_at > +:since ORDER BY id DESC LIMIT 1

-- name: machine
SELECT value FROM meta WHERE key = 'machine'
