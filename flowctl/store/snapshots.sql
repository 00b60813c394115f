-- name: add_source
INSERT INTO sources (hash, text) VALUES (:hash, :text) ON CONFLICT DO NOTHING

-- name: put
INSERT INTO snapshots (code, path, files, created_at) VALUES (:code, :path, :files, :now)

-- name: get
SELECT code, path, files FROM snapshots WHERE code = :code

-- name: source
SELECT CAST(text AS BLOB) FROM sources WHERE hash = :hash
