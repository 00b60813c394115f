-- part: columns
id, token, kind, pid, boot_id, started_at, stopped_at, labels, queues

-- name: start
INSERT INTO engines (token, kind, pid, boot_id, started_at, labels, queues)
VALUES (:token, :kind, :pid, :boot_id, :now, :labels, :queues) RETURNING id

-- name: stop
UPDATE engines SET stopped_at = max(:now, started_at) WHERE id = :id AND stopped_at IS NULL

-- name: running
SELECT {columns} FROM engines WHERE stopped_at IS NULL ORDER BY id

-- name: get
SELECT {columns} FROM engines WHERE id = :id
