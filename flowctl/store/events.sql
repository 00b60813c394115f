-- part: columns
id, run_id, at, state, epoch, attempt, reason, subject, actor

-- part: wanted
id > +:after AND (:since IS NULL OR at >= :since)
    AND (run_id IS NULL OR EXISTS (SELECT 1 FROM runs WHERE runs.id = run_id AND namespace = :namespace))
ORDER BY id DESC LIMIT +:limit

-- name: of_run
SELECT {columns} FROM events WHERE run_id = +:run ORDER BY id

-- name: attempt_began
SELECT min(at) FROM events WHERE run_id = +:run AND attempt = +:attempt AND state = 'running'

-- name: note
INSERT INTO events (at, subject, reason, actor) VALUES (:now, :subject, :text, actor())

-- name: of_subject
SELECT {columns} FROM events WHERE subject = +:subject AND at >= +:since ORDER BY id

-- name: find
-- plan: walks the table from its end until there are enough.
SELECT {columns} FROM events WHERE {wanted}

-- name: find_run
SELECT {columns} FROM events WHERE id IN (
    SELECT id FROM events WHERE run_id = +:run UNION ALL SELECT id FROM events WHERE subject = 'run ' || +:run) AND {wanted}

-- name: find_subject
SELECT {columns} FROM events WHERE subject = +:subject AND {wanted}
