-- What `flowctl sql` reads: each block is a view of that name, all of it documented in docs/schema.md. Large payloads are
-- in their places, and beside each instant in milliseconds, such as created_at, stands `created`, the same as ISO-8601 text.

-- part: input
CASE WHEN input GLOB '{"$payload":"*' THEN (SELECT text FROM main.payloads WHERE hash = substr(input, 14, 64))
        ELSE input END AS input

-- part: output
CASE WHEN output GLOB '{"$payload":"*' THEN (SELECT text FROM main.payloads WHERE hash = substr(output, 14, 64))
        ELSE output END AS output

-- part: error
CASE WHEN error GLOB '{"$payload":"*' THEN (SELECT text FROM main.payloads WHERE hash = substr(error, 14, 64))
        ELSE error END AS error

-- part: step_input
(SELECT CASE WHEN held.input GLOB '{"$payload":"*' THEN (SELECT text FROM main.payloads WHERE hash = substr(held.input, 14, 64))
        ELSE held.input END
    FROM main.steps AS held WHERE held.id = CASE steps.input WHEN '' THEN steps.shared_id ELSE steps.id END) AS input

-- part: step_output
(SELECT CASE WHEN held.output GLOB '{"$payload":"*' THEN (SELECT text FROM main.payloads WHERE hash = substr(held.output, 14, 64))
        ELSE held.output END
    FROM main.steps AS held WHERE held.id = CASE steps.output WHEN '' THEN steps.shared_id ELSE steps.id END) AS output

-- part: step_error
(SELECT CASE WHEN held.error GLOB '{"$payload":"*' THEN (SELECT text FROM main.payloads WHERE hash = substr(held.error, 14, 64))
        ELSE held.error END
    FROM main.steps AS held WHERE held.id = CASE steps.error WHEN '' THEN steps.shared_id ELSE steps.id END) AS error

-- part: iso_due
strftime('%FT%R:%fZ', due_at / 1000.0, 'unixepoch')

-- part: iso_created
strftime('%FT%R:%fZ', created_at / 1000.0, 'unixepoch')

-- part: iso_started
strftime('%FT%R:%fZ', started_at / 1000.0, 'unixepoch')

-- part: iso_finished
strftime('%FT%R:%fZ', finished_at / 1000.0, 'unixepoch')

-- part: iso_wake
strftime('%FT%R:%fZ', wake_at / 1000.0, 'unixepoch')

-- part: iso_begun
strftime('%FT%R:%fZ', begun_at / 1000.0, 'unixepoch')

-- part: iso_superseded
strftime('%FT%R:%fZ', superseded_at / 1000.0, 'unixepoch')

-- part: iso_decided
strftime('%FT%R:%fZ', decided_at / 1000.0, 'unixepoch')

-- part: iso_at
strftime('%FT%R:%fZ', at / 1000.0, 'unixepoch')

-- part: iso_dropped
strftime('%FT%R:%fZ', dropped_at / 1000.0, 'unixepoch')

-- name: runs
-- plan: the view of all rows.
SELECT id, namespace, workflow, state, reason, attempt, crashes, {input}, {output}, {error}, tags, queue, priority, key,
    schedule, due_at, {iso_due} AS due, parent_id, parent_step, root_id, rerun_of, forked_from,
    created_at, {iso_created} AS created, started_at, {iso_started} AS started, finished_at, {iso_finished} AS finished,
    finished_at - started_at AS duration_ms, wake_at, {iso_wake} AS wake, path, function, directory, code, dropped_at,
    {iso_dropped} AS dropped, handles
FROM main.runs

-- name: steps
-- plan: the view of all rows.
SELECT id, run_id, seq, key, name, kind, state, attempt, crashes, {step_input}, {step_output}, {step_error},
    begun_at AS started_at, {iso_begun} AS started, finished_at, {iso_finished} AS finished,
    finished_at - begun_at AS duration_ms, wake_at, {iso_wake} AS wake, superseded_at, {iso_superseded} AS superseded
FROM main.steps

-- name: attempts
-- plan: the view of all rows.
-- The last attempt of a step is in its own row, unless it is recorded because it did not succeed.
SELECT run_id, key, attempt, state, {error}, started_at, {iso_started} AS started, finished_at, {iso_finished} AS finished,
    finished_at - started_at AS duration_ms
FROM main.attempts
UNION ALL
SELECT run_id, key, attempt, state, {step_error}, started_at, {iso_started}, finished_at, {iso_finished},
    finished_at - started_at
FROM main.steps
WHERE NOT EXISTS (
    SELECT 1 FROM main.attempts AS recorded
    WHERE recorded.run_id = steps.run_id AND recorded.key = steps.key AND recorded.attempt = steps.attempt)

-- name: slots
-- plan: the view of all rows.
SELECT namespace, name AS schedule, due_at, {iso_due} AS due, outcome, reason, run_id, decided_at, {iso_decided} AS decided
FROM main.slots JOIN main.schedules ON schedules.id = schedule_id

-- name: events
-- plan: the view of all rows.
SELECT id, run_id, subject, at, {iso_at} AS time, state, epoch, attempt, reason, actor FROM main.events
