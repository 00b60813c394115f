-- part: columns
id, namespace, name, kind, expression, zone, start_at, end_at, jitter_ms, catch_up, catch_up_cap, window_ms, overlap,
    pause_after, workflow, input, options, directory, python, env_file, environment, description, source, next_at,
    planned_to, paused_at, pause_reason, created_at, changed_at, debounce_ms

-- name: add
INSERT INTO schedules (
    namespace, name, kind, expression, zone, start_at, end_at, jitter_ms, catch_up, catch_up_cap, window_ms, overlap,
    pause_after, workflow, input, options, directory, python, env_file, environment, description, source, next_at,
    planned_to, created_at, changed_at, debounce_ms
) VALUES (
    :namespace, :name, :kind, :expression, :zone, :start_at, :end_at, :jitter_ms, :catch_up, :catch_up_cap, :window_ms,
    :overlap, :pause_after, :workflow, :input, :options, :directory, :python, :env_file, :environment, :description,
    :source, :next_at, :planned_to, :now, :now, :debounce_ms
) RETURNING {columns}

-- name: update
UPDATE schedules SET
    kind = :kind, expression = :expression, zone = :zone, start_at = :start_at, end_at = :end_at, jitter_ms = :jitter_ms,
    catch_up = :catch_up, catch_up_cap = :catch_up_cap, window_ms = :window_ms, overlap = :overlap,
    pause_after = :pause_after, workflow = :workflow, input = :input, options = :options, directory = :directory,
    python = :python, env_file = :env_file, environment = :environment, description = :description, source = :source,
    debounce_ms = :debounce_ms, changed_at = :now
WHERE namespace = :namespace AND name = :name
RETURNING {columns}

-- name: get
SELECT {columns} FROM schedules WHERE id = :schedule

-- name: find
SELECT {columns} FROM schedules WHERE namespace = :namespace AND name = :name

-- name: all
SELECT {columns} FROM schedules WHERE namespace = +:namespace ORDER BY name

-- name: names
SELECT name FROM schedules WHERE namespace = +:namespace ORDER BY name

-- name: reboots
-- plan: scans once in the life of a daemon.
SELECT id, namespace, name, planned_to FROM schedules WHERE kind = 'cron' AND expression = '@reboot' ORDER BY id

-- name: booted
SELECT value FROM meta WHERE key = 'boot:' || :schedule

-- name: set_booted
INSERT INTO meta (key, value) VALUES ('boot:' || :schedule, :boot)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: changes
-- plan: walks the schedules that wait for files, by an index of those alone.
SELECT schedules.id, namespace, name, expression, debounce_ms, value
FROM schedules INDEXED BY schedules_change LEFT JOIN meta ON key = 'files:' || schedules.id
WHERE kind = 'change' ORDER BY schedules.id

-- name: files
SELECT value FROM meta WHERE key = 'files:' || :schedule

-- name: set_files
INSERT INTO meta (key, value) VALUES ('files:' || :schedule, :files)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: forget
DELETE FROM meta WHERE key IN ('boot:' || :schedule, 'files:' || :schedule)

-- name: local
-- plan: scans when the machine has moved to another time zone.
SELECT id, namespace, name, planned_to FROM schedules WHERE zone = '' AND next_at IS NOT NULL ORDER BY id

-- name: local_zone
SELECT value FROM meta WHERE key = 'local_zone'

-- name: set_local_zone
INSERT INTO meta (key, value) VALUES ('local_zone', :zone) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: remove
DELETE FROM schedules WHERE id = :schedule

-- name: pause
UPDATE schedules SET paused_at = :now, pause_reason = :reason, changed_at = :now WHERE id = :schedule

-- name: resume
UPDATE schedules SET paused_at = NULL, pause_reason = NULL, changed_at = :now WHERE id = :schedule AND paused_at IS NOT NULL

-- name: due
SELECT id, namespace, name, next_at FROM schedules WHERE next_at <= +:now ORDER BY next_at, id LIMIT +:limit

-- name: next_due_at
SELECT min(next_at) FROM schedules WHERE next_at IS NOT NULL

-- name: advance
-- What is planned stays planned: a clock that was set back makes no slot due again.
UPDATE schedules SET planned_to = max(planned_to, :planned_to), next_at = :next_at WHERE id = :schedule

-- name: record
-- One statement for tens of thousands of slots that have the same fate.
INSERT INTO slots (schedule_id, due_at, outcome, reason, run_id, decided_at)
SELECT :schedule, value, :outcome, :reason, :run, :now FROM json_each(:due)

-- name: fill
-- A backfill gives a run to a slot that had none.
INSERT INTO slots (schedule_id, due_at, outcome, reason, run_id, decided_at)
VALUES (:schedule_id, :due_at, :outcome, :reason, :run_id, :decided_at)
ON CONFLICT (schedule_id, due_at) DO UPDATE SET
    outcome = excluded.outcome, reason = excluded.reason, run_id = excluded.run_id, decided_at = excluded.decided_at
WHERE slots.outcome <> 'fired'

-- name: slots
SELECT schedule_id, due_at, outcome, reason, run_id, decided_at FROM slots
WHERE schedule_id = +:schedule AND due_at >= +:since AND due_at < +:before ORDER BY due_at DESC LIMIT +:limit

-- name: slot_times
SELECT due_at FROM slots WHERE schedule_id = +:schedule ORDER BY due_at DESC

-- name: fired
SELECT due_at FROM slots
WHERE schedule_id = +:schedule AND due_at BETWEEN +:since AND +:until AND outcome = 'fired' ORDER BY due_at

-- name: active
SELECT id, state, after_id FROM runs INDEXED BY runs_overlap
WHERE namespace = +:namespace AND schedule = +:name AND finished_at IS NULL ORDER BY id

-- name: outcomes
-- Among the newest runs alone: what is older than those says nothing of failures in a row.
SELECT id, state FROM (
    SELECT id, state, created_at FROM runs INDEXED BY runs_schedule
    WHERE namespace = +:namespace AND schedule = +:name ORDER BY id DESC LIMIT +:newest)
WHERE created_at >= +:since AND state IN ('succeeded', 'failed') ORDER BY id DESC

-- name: last_start
SELECT coalesce(due_at, created_at) FROM runs INDEXED BY runs_schedule
WHERE namespace = +:namespace AND schedule = +:name ORDER BY id DESC LIMIT 1

-- name: last_fire
-- plan: the newest slot of each schedule that fired.
SELECT max((SELECT due_at FROM slots WHERE schedule_id = schedules.id AND outcome = 'fired' ORDER BY due_at DESC LIMIT 1))
FROM schedules
