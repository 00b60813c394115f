-- name: of_run
SELECT id, run_id, at, state, epoch, attempt, reason, subject FROM events WHERE run_id = +:run ORDER BY id

-- name: attempt_began
SELECT min(at) FROM events WHERE run_id = +:run AND attempt = +:attempt AND state = 'running'

-- name: note
INSERT INTO events (at, subject, reason) VALUES (:now, :subject, :text)

-- name: of_subject
SELECT id, run_id, at, state, epoch, attempt, reason, subject FROM events
WHERE subject = +:subject AND at >= +:since ORDER BY id
