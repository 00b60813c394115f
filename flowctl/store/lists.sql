-- name: ordered
SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(:runs))
ORDER BY CASE :by
    WHEN 'started' THEN coalesce(started_at, created_at)
    WHEN 'duration' THEN coalesce(finished_at, CASE WHEN state = 'running' THEN :now END) - started_at
    WHEN 'workflow' THEN workflow
    WHEN 'state' THEN state
END, id

-- name: failures
SELECT workflow, error, count(*) FROM runs
WHERE id IN (SELECT value FROM json_each(:runs)) AND error IS NOT NULL GROUP BY workflow, error

-- name: workflows
-- plan: scans the names, with one look into the index for each, however many runs there are.
WITH RECURSIVE names (name) AS (
    SELECT * FROM (SELECT workflow FROM runs WHERE namespace = +:namespace ORDER BY workflow LIMIT 1)
    UNION ALL
    SELECT (SELECT workflow FROM runs WHERE namespace = +:namespace AND workflow > names.name ORDER BY workflow LIMIT 1)
    FROM names WHERE names.name IS NOT NULL)
SELECT name FROM names WHERE name IS NOT NULL LIMIT +:limit
