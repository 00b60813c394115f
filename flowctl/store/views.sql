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

-- name: runs
-- plan: the view of all rows.
SELECT id, namespace, workflow, state, reason, attempt, crashes, {input}, {output}, {error}, tags, queue, priority, key,
    schedule, due_at, {iso_due} AS due, parent_id, parent_step, root_id, rerun_of,
    created_at, {iso_created} AS created, started_at, {iso_started} AS started, finished_at, {iso_finished} AS finished,
    finished_at - started_at AS duration_ms, wake_at, {iso_wake} AS wake, path, function, directory, code
FROM main.runs

-- name: steps
-- plan: the view of all rows.
SELECT id, run_id, seq, key, name, kind, state, attempt, crashes, {input}, {output}, {error},
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
SELECT run_id, key, attempt, state, {error}, started_at, {iso_started}, finished_at, {iso_finished},
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
