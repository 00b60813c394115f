-- part: columns
id, run_id, name, value, sender, sent_at, taken_by, taken_at

-- name: send
INSERT INTO signals (run_id, name, value, value_crc, sender, sent_at)
VALUES (:run, :name, :value, :value_crc, :sender, :now)
RETURNING id

-- name: oldest
SELECT {columns} FROM signals WHERE run_id = +:run AND name = +:name AND taken_by IS NULL ORDER BY id LIMIT 1

-- name: take
UPDATE signals SET taken_by = :step, taken_at = max(:now, sent_at)
WHERE id = :signal AND taken_by IS NULL
    AND EXISTS (SELECT 1 FROM runs WHERE id = +:run AND epoch = +:epoch AND state = 'running')

-- name: of_run
SELECT {columns} FROM signals WHERE run_id = +:run ORDER BY id

-- name: waiting
SELECT key, input FROM steps
WHERE run_id = +:run AND name = +:name AND kind = 'signal' AND finished_at IS NULL AND superseded_at IS NULL
ORDER BY seq LIMIT 1

-- name: awaited
SELECT DISTINCT name FROM steps
WHERE run_id = +:run AND kind = 'signal' AND finished_at IS NULL AND superseded_at IS NULL ORDER BY name
