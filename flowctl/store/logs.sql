-- name: append
INSERT INTO logs (run_id, step, attempt, at, stream, level, text)
VALUES (:run, :step, :attempt, :at, :stream, :level, :text) RETURNING id

-- name: of_run
SELECT id, run_id, step, attempt, at, stream, level, text FROM logs
WHERE run_id = +:run AND id > +:after AND (:step IS NULL OR step = :step) ORDER BY id LIMIT +:limit

-- name: before
SELECT id, run_id, step, attempt, at, stream, level, text FROM logs
WHERE run_id = +:run AND id < +:before AND (:step IS NULL OR step = :step) ORDER BY id DESC LIMIT +:limit
