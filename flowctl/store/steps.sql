-- part: input_text
CASE input WHEN '' THEN (SELECT input FROM steps AS held WHERE held.id = steps.shared_id) ELSE input END

-- part: output_text
CASE output WHEN '' THEN (SELECT output FROM steps AS held WHERE held.id = steps.shared_id) ELSE output END

-- part: error_text
CASE error WHEN '' THEN (SELECT error FROM steps AS held WHERE held.id = steps.shared_id) ELSE error END

-- part: columns
id, run_id, seq, key, name, kind, state, attempt, first_attempt, crashes, {input_text}, input_hash, source_hash,
    {output_text}, {error_text}, wake_at, begun_at, started_at, finished_at, on_crash, shared_id, said_by, progress,
    external_id, undoes

-- part: claimed
EXISTS (SELECT 1 FROM runs WHERE id = +:run AND epoch = +:epoch AND state = 'running')

-- part: current
run_id = +:run AND key = +:key AND superseded_at IS NULL

-- part: open
run_id = +:run AND superseded_at IS NULL AND finished_at IS NULL

-- part: bodies
{open} AND state = 'running' AND wake_at IS NULL AND kind IN ('step', 'shell', 'value')
    AND (:keys IS NULL OR key IN (SELECT value FROM json_each(:keys)))

-- part: end_attempt
INSERT INTO attempts (run_id, key, attempt, state, started_at, finished_at)
SELECT run_id, key, attempt, :state, started_at, max(:now, started_at) FROM steps

-- name: begin
-- An attempt number is never given twice to a key: those of replaced rows count as well.
INSERT INTO steps (
    run_id, seq, key, name, kind, state, attempt, first_attempt, input, input_crc, input_hash, source_hash, wake_at,
    begun_at, started_at, on_crash, undoes)
SELECT :run, :seq, :key, :name, :kind, 'running', next, next, :input, :input_crc, :input_hash, :source_hash, :wake_at,
    :now, :now, :on_crash, :undoes
FROM (SELECT 1 + max(
    coalesce((SELECT max(attempt) FROM attempts WHERE run_id = +:run AND key = +:key), 0),
    coalesce((SELECT max(attempt) FROM steps WHERE run_id = +:run AND key = +:key AND superseded_at IS NOT NULL), 0)) AS next)
WHERE {claimed}
ON CONFLICT DO NOTHING
RETURNING id, attempt

-- name: start_attempt
-- A step that has its outcome is neither: whatever ends one takes its wake_at away.
UPDATE steps SET state = 'running', attempt = attempt + 1, started_at = max(:now, begun_at), wake_at = NULL, progress = NULL
WHERE {current} AND (state = 'interrupted' OR wake_at IS NOT NULL) AND {claimed}
RETURNING attempt

-- name: succeed
UPDATE steps SET
    state = 'succeeded', output = :output, output_crc = :output_crc, wake_at = NULL, finished_at = max(:now, started_at)
WHERE {current} AND state = 'running' AND {claimed}
RETURNING (SELECT crashes FROM runs WHERE id = :run)

-- name: fail
UPDATE steps SET
    state = 'failed', error = :error, error_crc = :error_crc, wake_at = NULL, finished_at = max(:now, started_at)
WHERE {current} AND finished_at IS NULL AND {claimed}
RETURNING (SELECT crashes FROM runs WHERE id = :run)

-- name: record_failure
INSERT INTO attempts (run_id, key, attempt, state, error, error_crc, started_at, finished_at)
SELECT run_id, key, attempt, 'failed', :error, :error_crc, started_at, max(:now, started_at) FROM steps
WHERE {current} AND {claimed}
ON CONFLICT DO NOTHING

-- name: back_off
UPDATE steps SET wake_at = :wake_at WHERE {current} AND state = 'running' AND wake_at IS NULL AND {claimed}
RETURNING attempt

-- name: set_progress
UPDATE steps SET progress = :progress WHERE {current} AND finished_at IS NULL AND {claimed}

-- name: set_external_id
UPDATE steps SET external_id = :external_id WHERE {current} AND finished_at IS NULL AND {claimed}

-- name: advanced
-- An outcome was recorded, so the engine deaths before it no longer count as a row of them.
UPDATE runs SET crashes = 0 WHERE id = :run AND epoch = :epoch AND state = 'running'

-- name: record_interruptions
{end_attempt}
WHERE {bodies} AND {claimed}
ON CONFLICT DO NOTHING

-- name: interrupt
UPDATE steps SET state = 'interrupted', crashes = crashes + 1 WHERE {bodies} AND {claimed}

-- name: record_cancellations
{end_attempt}
WHERE {open} AND {claimed}
ON CONFLICT DO NOTHING

-- name: cancel
UPDATE steps SET state = 'cancelled', wake_at = NULL, finished_at = max(:now, started_at) WHERE {open} AND {claimed}

-- name: record_idle_cancellations
{end_attempt}
WHERE {open} AND EXISTS (SELECT 1 FROM runs WHERE id = +:run AND state = 'cancelled')
ON CONFLICT DO NOTHING

-- name: cancel_idle
UPDATE steps SET state = 'cancelled', wake_at = NULL, finished_at = max(:now, started_at)
WHERE {open} AND EXISTS (SELECT 1 FROM runs WHERE id = +:run AND state = 'cancelled')

-- name: supersede
UPDATE steps SET superseded_at = max(:now, begun_at)
WHERE run_id = :run AND superseded_at IS NULL AND (
    state IN ('running', 'interrupted', 'cancelled') OR key IN (SELECT value FROM json_each(:failed)) OR seq >= :from_seq)

-- name: share
-- What a fork takes over of its source: rows that refer to those with the payloads, of which its own attempt is the first.
INSERT INTO steps (
    run_id, seq, key, name, kind, state, attempt, first_attempt, input, input_crc, input_hash, source_hash, output,
    output_crc, error, error_crc, begun_at, started_at, finished_at, on_crash, shared_id, said_by, undoes)
SELECT :fork, seq, key, name, kind, state, 1, 1, '', input_crc, input_hash, source_hash, iif(output IS NULL, NULL, ''),
    output_crc, iif(error IS NULL, NULL, ''), error_crc, begun_at, started_at, finished_at, on_crash,
    coalesce(shared_id, id), said_by, undoes
FROM steps
WHERE run_id = +:run AND superseded_at IS NULL AND seq < +:before AND state IN ('succeeded', 'failed')
    AND (:without IS NULL OR key NOT IN (SELECT value FROM json_each(:without)))
ORDER BY seq

-- name: say
INSERT INTO steps (
    run_id, seq, key, name, kind, state, attempt, first_attempt, input, input_crc, input_hash, output, output_crc, error,
    error_crc, begun_at, started_at, finished_at, on_crash, said_by, undoes)
SELECT :run, seq, key, name, kind, iif(:error IS NULL, 'succeeded', 'failed'), :attempt, :attempt, {input_text}, input_crc,
    input_hash, :output, :output_crc, :error, :error_crc, :now, :now, :now, on_crash, :by, undoes
FROM steps WHERE id = :step

-- name: conclude
-- The outcome of a step that was under way when its run was blocked.
UPDATE steps SET
    state = iif(:error IS NULL, 'succeeded', 'failed'), output = :output, output_crc = :output_crc, error = :error,
    error_crc = :error_crc, wake_at = NULL, finished_at = max(:now, started_at), said_by = :by
WHERE {current} AND finished_at IS NULL AND EXISTS (SELECT 1 FROM runs WHERE id = +:run AND state = 'blocked')

-- name: record_said_failure
INSERT INTO attempts (run_id, key, attempt, state, error, error_crc, started_at, finished_at)
SELECT run_id, key, attempt, 'failed', :error, :error_crc, started_at, max(:now, started_at) FROM steps WHERE {current}
ON CONFLICT DO NOTHING

-- name: set_aside
UPDATE steps SET superseded_at = max(:now, begun_at) WHERE {current}

-- name: undoable
SELECT 1 FROM steps WHERE run_id = +:run AND undoes IS NOT NULL AND superseded_at IS NULL LIMIT 1

-- name: undone_from
SELECT min(undoes) FROM steps WHERE run_id = +:run AND undoes IS NOT NULL AND superseded_at IS NULL AND kind <> 'value'

-- name: holds
SELECT 1 WHERE {claimed}

-- name: get
SELECT {columns} FROM steps WHERE {current}

-- name: of_run
SELECT {columns} FROM steps
WHERE run_id = +:run AND superseded_at IS NULL AND seq > +:after ORDER BY seq LIMIT +:limit

-- name: lines
SELECT seq, key, name, kind, state, attempt, wake_at, begun_at, started_at, finished_at, shared_id IS NOT NULL, said_by,
    progress
FROM steps WHERE run_id = +:run AND superseded_at IS NULL AND seq > +:after ORDER BY seq

-- name: replaced
SELECT {columns} FROM steps WHERE run_id = +:run AND superseded_at IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM steps AS new WHERE new.run_id = steps.run_id AND new.key = steps.key AND new.superseded_at IS NULL)
    AND NOT EXISTS (
        SELECT 1 FROM steps AS new
        WHERE new.run_id = steps.run_id AND new.key = steps.key AND new.superseded_at IS NOT NULL AND new.id > steps.id)
ORDER BY seq

-- name: unfinished
SELECT {columns} FROM steps WHERE {open} ORDER BY seq

-- name: count
SELECT count(*) FROM steps WHERE run_id = :run AND superseded_at IS NULL

-- name: attempts
SELECT key, attempt, state, error, started_at, finished_at FROM attempts WHERE run_id = +:run ORDER BY key, attempt

-- name: attempts_of_step
SELECT key, attempt, state, error, started_at, finished_at FROM attempts
WHERE run_id = +:run AND key = +:key ORDER BY attempt

-- name: attempt_lines
SELECT key, attempt, state, started_at, finished_at FROM attempts WHERE run_id = +:run ORDER BY key, attempt

-- name: children
SELECT parent_step, id FROM runs WHERE parent_id = +:run ORDER BY id
