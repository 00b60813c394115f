-- A document of the index is numbered :base + the number of the row that has its text: see search.py.

-- part: apart
(input GLOB '{"$payload":"*' OR output GLOB '{"$payload":"*' OR error GLOB '{"$payload":"*')

-- part: ended
(finished_at IS NOT NULL OR superseded_at IS NOT NULL)

-- part: wanted
run.namespace = :namespace
    AND (:workflow IS NULL OR run.workflow = :workflow)
    AND (:since IS NULL OR run.created_at >= :since)
    AND (:states IS NULL OR run.state IN (SELECT value FROM json_each(:states)))

-- part: of_run
(:run IS NULL OR run.id = :run)

-- name: marks
SELECT key, CAST(value AS INTEGER) FROM meta WHERE key IN ('search_events', 'search_steps', 'search_logs')

-- name: set_mark
INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT DO UPDATE SET value = excluded.value

-- name: last_event
-- plan: the end of the table.
SELECT max(id) FROM events

-- name: last_step
-- plan: the end of the table.
SELECT max(id) FROM steps

-- name: last_log
-- plan: the end of the table.
SELECT max(id) FROM logs

-- name: new_events
-- The texts of a run come with its first event and with its last, and change with no other.
SELECT id, CASE WHEN epoch = 0 OR state IN ('succeeded', 'failed', 'cancelled') THEN run_id END FROM events
WHERE id > +:mark ORDER BY id LIMIT +:limit

-- name: new_run
SELECT {apart}, input, output, error FROM runs WHERE id = :run

-- part: step_texts
input, output, error,
    (SELECT group_concat(attempts.error, char(10)) FROM attempts
        WHERE attempts.run_id = steps.run_id AND attempts.key = steps.key AND attempts.error IS NOT NULL)

-- name: new_steps
SELECT id, {apart} OR NOT {ended}, {step_texts} FROM steps WHERE id > +:mark ORDER BY id LIMIT +:limit

-- name: left_steps
-- Of the steps that were left out because they had not ended, some have by now.
SELECT id, {apart} OR NOT {ended}, {step_texts} FROM steps
WHERE id IN (SELECT id FROM unindexed WHERE kind = 'step' AND id > +:mark ORDER BY id LIMIT +:limit) ORDER BY id

-- name: new_logs
SELECT id, text FROM logs WHERE id > +:mark ORDER BY id LIMIT +:limit

-- name: add
INSERT OR REPLACE INTO search (rowid, text) VALUES (:id, :text)

-- name: leave
INSERT INTO unindexed (kind, id) VALUES (:kind, :id) ON CONFLICT DO NOTHING

-- name: take
DELETE FROM unindexed WHERE kind = :kind AND id = :id

-- name: forget
DELETE FROM search WHERE rowid = :id

-- name: clear
INSERT INTO search (search) VALUES ('delete-all')

-- name: clear_unindexed
DELETE FROM unindexed

-- name: clear_marks
DELETE FROM meta WHERE key IN ('search_events', 'search_steps', 'search_logs')

-- name: count
-- plan: counts every row, for a person who asks.
SELECT count(*) FROM search_docsize

-- name: found
SELECT rowid - :base FROM search
WHERE search MATCH :query AND rowid > :base AND rowid < :base + :before ORDER BY rowid DESC LIMIT +:limit

-- name: begun
SELECT rowid FROM search WHERE search MATCH :query ORDER BY rowid DESC

-- name: left
SELECT id FROM unindexed WHERE kind = :kind ORDER BY id DESC

-- name: changed_runs
-- plan: walks the events that are not indexed yet.
SELECT DISTINCT run_id FROM events WHERE id > :mark AND run_id IS NOT NULL ORDER BY run_id DESC

-- name: late_steps
SELECT id FROM steps WHERE id > +:mark AND id < +:before ORDER BY id DESC LIMIT +:limit

-- name: late_logs
SELECT id FROM logs WHERE id > +:mark AND id < +:before ORDER BY id DESC LIMIT +:limit

-- name: texts_of_runs
SELECT run.id, run.id, run.workflow, run.state, NULL, run.created_at, input, output, error, 1, NULL FROM runs AS run
WHERE run.id IN (SELECT value FROM json_each(:ids)) AND {of_run} AND {wanted} ORDER BY run.id DESC

-- name: texts_of_steps
SELECT step.id, run.id, run.workflow, run.state, step.key, step.begun_at, step.input, step.output, step.error, step.attempt,
    NULL
FROM steps AS step JOIN runs AS run ON run.id = step.run_id
WHERE step.id IN (SELECT value FROM json_each(:ids)) AND {wanted}
    AND ({of_run} OR step.id IN (SELECT own.shared_id FROM steps AS own
        WHERE own.run_id = +:run AND own.superseded_at IS NULL AND own.shared_id IS NOT NULL))
ORDER BY step.id DESC

-- name: texts_of_logs
SELECT line.id, run.id, run.workflow, run.state, line.step, line.at, line.text, NULL, NULL, line.attempt, line.stream
FROM logs AS line JOIN runs AS run ON run.id = line.run_id
WHERE line.id IN (SELECT value FROM json_each(:ids)) AND {of_run} AND {wanted} ORDER BY line.id DESC

-- name: sharing
-- plan: scans the forks that it has found.
WITH RECURSIVE forks (id) AS (
    SELECT id FROM runs WHERE forked_from = +:run
    UNION
    SELECT fork.id FROM forks CROSS JOIN runs AS fork ON fork.forked_from = forks.id)
SELECT own.run_id FROM forks CROSS JOIN steps AS own ON own.run_id = forks.id AND own.key = :key
WHERE own.shared_id = :step AND own.superseded_at IS NULL ORDER BY own.run_id
