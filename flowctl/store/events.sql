-- name: of_run
SELECT id, run_id, at, state, epoch, attempt, reason FROM events WHERE run_id = +:run ORDER BY id

-- name: attempt_began
SELECT min(at) FROM events WHERE run_id = +:run AND attempt = +:attempt AND state = 'running'
