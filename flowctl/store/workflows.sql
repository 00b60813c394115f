-- part: columns
id, namespace, name, path, function, parameters, options, doc, python, code, added_at, directory, environment,
kept_because

-- name: add
-- An update keeps the id, which schedules will refer to.
INSERT INTO workflows (namespace, name, path, function, parameters, options, doc, python, code, added_at,
    directory, environment)
VALUES (:namespace, :name, :path, :function, :parameters, :options, :doc, :python, :code, :now,
    :directory, :environment)
ON CONFLICT (namespace, name) DO UPDATE SET
    path = excluded.path, function = excluded.function, parameters = excluded.parameters, options = excluded.options,
    doc = excluded.doc, python = excluded.python, code = excluded.code, added_at = excluded.added_at,
    directory = excluded.directory, environment = excluded.environment, kept_because = NULL
RETURNING {columns}

-- name: find
SELECT {columns} FROM workflows WHERE namespace = :namespace AND name = :name

-- name: list
SELECT {columns} FROM workflows WHERE namespace = +:namespace ORDER BY name

-- name: all
SELECT {columns} FROM workflows ORDER BY id

-- name: keep
UPDATE workflows SET kept_because = :reason WHERE id = :id AND code = :code

-- name: remove
DELETE FROM workflows WHERE namespace = :namespace AND name = :name
