-- part: input_hash_of
CASE WHEN octet_length(input) = 79 AND substr(input, 1, 13) = '{"$payload":"' THEN substr(input, 14, 64) END

-- part: output_hash_of
CASE WHEN octet_length(output) = 79 AND substr(output, 1, 13) = '{"$payload":"' THEN substr(output, 14, 64) END

-- part: error_hash_of
CASE WHEN octet_length(error) = 79 AND substr(error, 1, 13) = '{"$payload":"' THEN substr(error, 14, 64) END

-- part: of_run
id, code, earlier_code, environment, {input_hash_of}, {output_hash_of}, {error_hash_of}

-- part: of_step
id, finished_at IS NULL, {input_hash_of}, {output_hash_of}, {error_hash_of}

-- name: newest
-- plan: the last row of each table.
SELECT (SELECT max(id) FROM events), (SELECT max(id) FROM steps), (SELECT max(rowid) FROM environments)

-- name: runs
SELECT {of_run} FROM runs WHERE id > +:after ORDER BY id LIMIT +:limit

-- name: steps
SELECT {of_step} FROM steps WHERE id > +:after ORDER BY id LIMIT +:limit

-- name: attempts
SELECT run_id, key, attempt, {error_hash_of} FROM attempts
WHERE (run_id, key, attempt) > (+:run, +:key, +:attempt) ORDER BY run_id, key, attempt LIMIT +:limit

-- name: others
-- plan: reads the registry and the schedules, dozens of rows.
SELECT code, environment FROM workflows UNION SELECT NULL, environment FROM schedules

-- name: changed_runs
SELECT {of_run} FROM runs WHERE id IN (SELECT run_id FROM events WHERE id > :event)

-- part: changed
SELECT id FROM steps WHERE id > :step UNION SELECT value FROM json_each(:unfinished)

-- name: changed_steps
SELECT {of_step} FROM steps WHERE id IN ({changed})

-- name: changed_attempts
SELECT run_id, key, attempt, {error_hash_of} FROM attempts
WHERE (run_id, key) IN (SELECT run_id, key FROM steps WHERE id IN ({changed}))

-- name: payloads
SELECT hash FROM payloads

-- name: snapshots
SELECT code FROM snapshots

-- name: environments
-- plan: reads the hashes of all captured environments, dozens.
-- One is stored just before the run that it is for: those that came after the walk began are left alone.
SELECT hash FROM environments WHERE rowid <= :environment

-- name: sources
SELECT hash FROM sources
WHERE hash NOT IN (SELECT files.value FROM snapshots, json_each(snapshots.files) AS files)

-- name: delete_payload
DELETE FROM payloads WHERE hash = :hash

-- name: delete_snapshot
-- plan: the scan is for foreign keys, which are not looked after while it runs.
DELETE FROM snapshots WHERE code = :hash

-- name: delete_environment
-- plan: the scan is for foreign keys, which are not looked after while it runs.
DELETE FROM environments WHERE hash = :hash

-- name: delete_source
DELETE FROM sources WHERE hash = :hash
