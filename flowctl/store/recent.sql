-- What happened last, of many subjects at once: each walks the newest rows of each subject in its index, and no more.

-- name: slots
SELECT schedule_id, due_at, outcome, reason, run_id, decided_at
FROM json_each(:schedules) AS wanted JOIN slots ON schedule_id = wanted.value AND due_at >= coalesce(
    (SELECT due_at FROM slots AS nth WHERE nth.schedule_id = wanted.value ORDER BY due_at DESC LIMIT 1 OFFSET :more), 0)
ORDER BY schedule_id, due_at DESC

-- name: runs_of_workflows
SELECT wanted.value, runs.id
FROM json_each(:workflows) AS wanted JOIN runs INDEXED BY runs_workflow
ON namespace = +:namespace AND workflow = wanted.value AND runs.id >= coalesce(
    (SELECT nth.id FROM runs AS nth INDEXED BY runs_workflow
        WHERE nth.namespace = +:namespace AND nth.workflow = wanted.value ORDER BY nth.id DESC LIMIT 1 OFFSET :more), 0)
ORDER BY runs.id DESC

-- name: run_of_schedules
SELECT wanted.value, (SELECT max(id) FROM runs INDEXED BY runs_schedule WHERE namespace = +:namespace AND schedule = wanted.value)
FROM json_each(:schedules) AS wanted
