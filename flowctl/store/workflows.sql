-- part: columns
id, namespace, name, path, function, parameters, options, doc, python, code, added_at, directory, environment

-- name: add
-- An update keeps the id, which schedules will refer to.
INSERT INTO workflows (namespace, name, path, function, parameters, options, doc, python, code, added_at,
    directory, environment)
VALUES (:namespace, :name, :path, :function, :parameters, :options, :doc, :python, :code, :now,
    :directory, :environment)
ON CONFLICT (namespace, name) DO UPDATE SET
    path = excluded.path, function = excluded.function, parameters = excluded.parameters, options = excluded.options,
    doc = excluded.doc, python = excluded.python, code = excluded.code, added_at = excluded.added_at,
    directory = excluded.directory, environment = excluded.environment
RETURNING {columns}

-- name: find
SELECT {columns} FROM workflows WHERE namespace = :namespace AND name = :name

-- name: list
SELECT {columns} FROM workflows WHERE namespace = +:namespace ORDER BY name

-- name: remove
DELETE FROM workflows WHERE namespace = :namespace AND name = :name
