-- name: of_run
SELECT id, run_id, at, state, epoch, attempt, reason FROM events WHERE run_id = +:run ORDER BY id
