-- name: held
SELECT id FROM runs WHERE wake_at >= +:held ORDER BY wake_at, id

-- name: keep
UPDATE runs SET reason = :reason WHERE id = :run AND state = 'queued' AND wake_at >= +:held AND reason IS NOT :reason

-- name: release
UPDATE runs SET wake_at = NULL, reason = NULL WHERE id = :run AND state = 'queued' AND wake_at >= +:held
