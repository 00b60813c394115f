-- name: put
INSERT INTO environments (hash, text) VALUES (:hash, :text) ON CONFLICT DO NOTHING

-- name: get
SELECT text FROM environments WHERE hash = :hash
