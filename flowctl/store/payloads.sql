-- name: add
INSERT INTO payloads (hash, text) VALUES (:hash, :text) ON CONFLICT DO NOTHING

-- name: get
SELECT CAST(text AS BLOB) FROM payloads WHERE hash = :hash
