-- part: columns
id, namespace, workflow, path, function, code, replay, options, python, directory, env_file, queue, priority, key, tags,
    input, input_hash, output, error, failed_steps, state, reason, request, attempt, crashes, epoch, engine_id, root_id,
    parent_id, parent_step, rerun_of, wake_at, created_at, started_at, finished_at, changed_at, schedule, due_at, requires,
    environment, followed_by, after_id, forked_from, forked_step, dropped_at, handles, verdict

-- part: claimed
id = :run AND epoch = :epoch AND state = 'running'

-- part: input_text
CASE WHEN input LIKE '{"$payload":"%' THEN (SELECT text FROM payloads WHERE hash = substr(input, 14, 64)) ELSE input END

-- part: output_text
CASE WHEN output LIKE '{"$payload":"%' THEN (SELECT text FROM payloads WHERE hash = substr(output, 14, 64)) ELSE output END

-- part: dead
-- A failure that nobody has dealt with. That of a child is its parent's to deal with; an on_failure run has no parent.
(state = 'failed' AND parent_id IS NULL AND dropped_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.rerun_of = runs.id)
        AND NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.forked_from = runs.id))

-- part: matching
id < +:before
    AND (:state IS NULL OR state = :state)
    AND (:workflow IS NULL OR workflow = :workflow)
    AND (:schedule IS NULL OR schedule = :schedule)
    AND (:queue IS NULL OR queue = :queue)
    AND (:since IS NULL OR created_at >= :since)
    AND (:tags IS NULL OR NOT EXISTS (
        SELECT 1 FROM json_each(:tags) AS asked
        WHERE asked.value IS NOT (SELECT own.value FROM json_each(runs.tags) AS own WHERE own.key = asked.key)))
    AND (NOT :dead OR {dead})
    AND (:search IS NULL OR workflow LIKE :search ESCAPE '\'
        OR {input_text} LIKE :search_json ESCAPE '\'
        OR {output_text} LIKE :search_json ESCAPE '\'
        OR error LIKE :search_json ESCAPE '\')

-- part: newest
{matching} ORDER BY id DESC LIMIT +:limit

-- part: line
id, workflow, state, reason, request, engine_id, queue, tags, schedule, due_at, parent_id, rerun_of, forked_from, wake_at, created_at,
    started_at, finished_at

-- name: create
-- plan: the scans look for rows whose foreign key this one would mend; without such rows SQLite skips them.
INSERT INTO runs (
    namespace, workflow, path, function, code, options, python, directory, env_file, queue, priority, key, tags,
    input, input_crc, input_hash, state, reason, epoch, root_id, parent_id, parent_step, rerun_of, wake_at, created_at,
    changed_at, schedule, due_at, requires, environment, followed_by, after_id, forked_from, forked_step,
    replay, handles
) VALUES (
    :namespace, :workflow, :path, :function, :code, :options, :python, :directory, :env_file, :queue, :priority, :key, :tags,
    :input, :input_crc, :input_hash, CASE WHEN :after_id IS NULL THEN 'queued' ELSE 'waiting' END,
    CASE WHEN :after_id IS NOT NULL THEN 'until run ' || :after_id || ' has ended' END, 0, :root_id, :parent_id,
    :parent_step, :rerun_of, :wake_at, :now, :now, :schedule, :due_at, :requires, :environment, :followed_by, :after_id,
    :forked_from, :forked_step, :replay, :handles
) RETURNING id

-- name: of_key
SELECT id, workflow, input_hash FROM runs WHERE namespace = +:namespace AND key = :key

-- name: get
SELECT {columns} FROM runs WHERE id = :run AND (:namespace IS NULL OR namespace = :namespace)

-- name: find
SELECT {columns} FROM runs WHERE {newest}

-- name: find_namespace
SELECT {columns} FROM runs INDEXED BY runs_namespace WHERE namespace = +:namespace AND {newest}

-- name: find_state
SELECT {columns} FROM runs INDEXED BY runs_state WHERE namespace = +:namespace AND state = +:state AND {newest}

-- name: find_workflow
SELECT {columns} FROM runs INDEXED BY runs_workflow WHERE namespace = +:namespace AND workflow = +:workflow AND {newest}

-- name: find_schedule
SELECT {columns} FROM runs INDEXED BY runs_schedule WHERE namespace = +:namespace AND schedule = +:schedule AND {newest}

-- name: numbers
-- All of them in one value: rows would be handed over one by one, and whatever else the program does would stutter.
SELECT json_group_array(id) FROM (SELECT id FROM runs WHERE {newest})

-- name: numbers_namespace
SELECT json_group_array(id) FROM (
    SELECT id FROM runs INDEXED BY runs_namespace WHERE namespace = +:namespace AND {newest})

-- name: numbers_all
-- What numbers_namespace finds where nothing restricts: the conditions alone would take most of the time.
SELECT json_group_array(id) FROM (
    SELECT id FROM runs INDEXED BY runs_namespace WHERE namespace = +:namespace ORDER BY id DESC LIMIT +:limit)

-- name: numbers_state
SELECT json_group_array(id) FROM (
    SELECT id FROM runs INDEXED BY runs_state WHERE namespace = +:namespace AND state = +:state AND {newest})

-- name: numbers_workflow
SELECT json_group_array(id) FROM (
    SELECT id FROM runs INDEXED BY runs_workflow WHERE namespace = +:namespace AND workflow = +:workflow AND {newest})

-- name: numbers_schedule
SELECT json_group_array(id) FROM (
    SELECT id FROM runs INDEXED BY runs_schedule WHERE namespace = +:namespace AND schedule = +:schedule AND {newest})

-- name: lines
SELECT {line} FROM runs WHERE id IN (SELECT value FROM json_each(:runs))

-- name: drop
UPDATE runs SET dropped_at = :now WHERE id = :run AND state = 'failed' AND dropped_at IS NULL

-- name: dead
-- plan: walks all runs, for flowctl metrics.
SELECT namespace, workflow, error FROM runs WHERE {dead}

-- name: children
SELECT {columns} FROM runs WHERE parent_id = +:run ORDER BY id

-- name: family
SELECT {columns} FROM runs WHERE id = +:run OR root_id = +:run ORDER BY id

-- name: forks
SELECT {columns} FROM runs WHERE forked_from = +:run ORDER BY id

-- name: reruns
SELECT {columns} FROM runs WHERE rerun_of = +:run ORDER BY id

-- name: handlers
SELECT {columns} FROM runs WHERE handles = +:run ORDER BY id

-- name: child_of
SELECT {columns} FROM runs WHERE parent_id = :run AND parent_step = :step AND detached_at IS NULL

-- name: claim
-- The epoch starts above epoch_base, which a restored backup raises: no claim of the time before it is valid again.
-- Only what is queued, asleep or waiting has a wake_at: the schema sees to it, here and below.
UPDATE runs SET
    state = 'running', engine_id = :engine, started_at = coalesce(started_at, :started_at), wake_at = NULL, reason = NULL,
    epoch = max(epoch, (SELECT CAST(value AS INTEGER) FROM meta WHERE meta.key = 'epoch_base')) + 1, changed_at = :now
WHERE id = :run AND ((state = 'queued' AND wake_at IS NULL) OR wake_at <= :now)
    AND (followed_by IS NULL OR followed_by = :engine)
    AND (:attempt IS NULL OR (attempt = :attempt AND epoch = 0))
RETURNING {columns}

-- part: ready
state = 'queued' AND wake_at IS NULL AND followed_by IS NULL

-- part: served
(:skip IS NULL OR id NOT IN (SELECT value FROM json_each(:skip)))
    AND (requires IS NULL OR :labels IS NULL OR NOT EXISTS (
        SELECT 1 FROM json_each(requires) WHERE value NOT IN (SELECT value FROM json_each(:labels))))

-- part: open
(:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
    AND (:full IS NULL OR namespace || char(31) || queue NOT IN (SELECT value FROM json_each(:full)))

-- name: claimable
-- plan: scans the lanes, one for each queue that has something ready: however long one that is full, it is not read.
WITH RECURSIVE lanes (namespace, queue) AS (
    SELECT * FROM (SELECT namespace, queue FROM runs WHERE {ready} ORDER BY namespace, queue LIMIT 1)
    UNION ALL
    SELECT following.namespace, following.queue FROM lanes JOIN runs AS following ON following.id = coalesce(
        (SELECT id FROM runs WHERE {ready} AND namespace = lanes.namespace AND queue > lanes.queue ORDER BY queue LIMIT 1),
        (SELECT id FROM runs WHERE {ready} AND namespace > lanes.namespace ORDER BY namespace, queue LIMIT 1)))
SELECT id, namespace, queue FROM (
    SELECT runs.id, runs.priority, runs.namespace, runs.queue
    FROM (SELECT namespace, queue FROM lanes WHERE {open}) AS lane CROSS JOIN runs ON runs.id IN (
        SELECT id FROM runs WHERE {ready} AND namespace = lane.namespace AND queue = lane.queue AND {served}
        ORDER BY priority DESC, id LIMIT +:limit)
    UNION ALL
    SELECT id, priority, namespace, queue FROM runs WHERE wake_at <= +:now AND followed_by IS NULL AND {served} AND {open})
ORDER BY priority DESC, id LIMIT +:limit

-- name: claimable_family
SELECT id, namespace, queue FROM (
    SELECT id, priority, namespace, queue, requires, state, wake_at, followed_by FROM runs WHERE id = +:root
    UNION ALL
    SELECT id, priority, namespace, queue, requires, state, wake_at, followed_by FROM runs
    WHERE root_id = +:root AND state IN ('queued', 'sleeping', 'waiting'))
WHERE ((state = 'queued' AND wake_at IS NULL) OR wake_at <= +:now) AND (followed_by IS NULL OR +followed_by = +:engine) AND {served} AND {open}
ORDER BY priority DESC, id LIMIT +:limit

-- name: follow
-- A run is watched where it is worked on: as long as that engine lives, no other claims it or its children.
UPDATE runs SET followed_by = :engine
WHERE (id = :root OR root_id = :root) AND followed_by IS NULL

-- name: unfollow
UPDATE runs SET followed_by = NULL WHERE followed_by = +:engine

-- name: attribute
SELECT CASE :key WHEN 'workflow' THEN workflow WHEN 'schedule' THEN schedule
    ELSE json_extract(json_object('tags', json(tags), 'input', json({input_text})), '$.' || :key) END
FROM runs WHERE id = +:run

-- name: running
-- The schema sees to it that these are the running ones.
SELECT id, namespace, queue FROM runs WHERE engine_id IS NOT NULL

-- part: stands_behind
EXISTS (
    SELECT 1 FROM runs AS earlier WHERE earlier.id = runs.after_id AND earlier.state NOT IN ('succeeded', 'failed', 'cancelled'))

-- part: over_after
after_id IS NOT NULL AND state = 'waiting' AND NOT {stands_behind}

-- name: wakes_after
SELECT 1 FROM runs INDEXED BY runs_after WHERE {over_after} LIMIT 1

-- name: wake_after
-- What waited for another run of its schedule goes on once that one is final, or gone.
UPDATE runs SET
    state = 'queued', reason = NULL, after_id = NULL, changed_at = :now,
    wake_at = iif(json_type(options, '$.when') IS NULL, NULL, :held)
WHERE {over_after}

-- name: line_up
-- What is due and has found no place stands in its queue from now on: only there it is found in claiming order.
UPDATE runs SET
    state = 'queued', wake_at = NULL, reason = CASE WHEN state = 'queued' THEN reason END,
    changed_at = CASE WHEN state = 'queued' THEN changed_at ELSE :now END
WHERE id IN (SELECT id FROM runs WHERE wake_at <= +:now AND followed_by IS NULL ORDER BY wake_at LIMIT +:limit)

-- name: next_wake
SELECT min(wake_at) FROM runs WHERE wake_at > +:now

-- name: next_wake_family
SELECT min(wake_at) FROM (
    SELECT wake_at FROM runs WHERE id = :root
    UNION ALL
    SELECT wake_at FROM runs WHERE root_id = :root AND state IN ('queued', 'sleeping', 'waiting'))
WHERE wake_at > :now

-- name: family_moves
-- A signal may come at any time.
SELECT 1 FROM (
    SELECT id, state, wake_at FROM runs WHERE id = :root
    UNION ALL
    SELECT id, state, wake_at FROM runs WHERE root_id = :root AND state IN ('queued', 'running', 'sleeping', 'waiting'))
    AS member
WHERE state IN ('queued', 'running', 'sleeping') OR (state = 'waiting' AND (wake_at IS NOT NULL OR EXISTS (
    SELECT 1 FROM steps
    WHERE run_id = member.id AND kind = 'signal' AND finished_at IS NULL AND superseded_at IS NULL))) LIMIT 1

-- name: release
UPDATE runs SET
    state = :state, reason = :reason, wake_at = :wake_at, engine_id = NULL, changed_at = :now,
    request = CASE WHEN :state IN ('paused', 'blocked') THEN NULL ELSE request END
WHERE {claimed}

-- name: finish
UPDATE runs SET
    state = :state, reason = :reason, output = :output, output_crc = :output_crc, error = :error, error_crc = :error_crc,
    failed_steps = :failed_steps, engine_id = NULL, request = NULL, changed_at = :now,
    finished_at = max(:now, started_at)
WHERE {claimed}

-- name: judge
UPDATE runs SET verdict = :verdict WHERE {claimed}

-- name: take_back_code
UPDATE runs SET code = coalesce(earlier_code, code), earlier_code = NULL WHERE {claimed}

-- name: wake
UPDATE runs SET state = 'queued', wake_at = NULL, reason = NULL, changed_at = :now
WHERE id = :run AND state IN ('waiting', 'sleeping')

-- name: fail_idle
UPDATE runs SET
    state = 'failed', reason = :reason, error = :error, error_crc = :error_crc, wake_at = NULL, changed_at = :now,
    finished_at = :now
WHERE id = :run AND state = 'queued' AND epoch = 0

-- name: cancel_idle
UPDATE runs SET
    state = 'cancelled', reason = :reason, wake_at = NULL, request = NULL, changed_at = :now,
    finished_at = max(:now, coalesce(started_at, :now))
WHERE id = :run AND state IN ('queued', 'sleeping', 'waiting', 'paused', 'blocked')

-- name: undo_idle
-- What is blocked cannot be replayed as far as it is recorded, and is cancelled as it is.
UPDATE runs SET state = 'queued', request = 'cancel', reason = :reason, wake_at = NULL, after_id = NULL, changed_at = :now
WHERE id = :run AND state IN ('queued', 'sleeping', 'waiting', 'paused')

-- name: pause_idle
UPDATE runs SET state = 'paused', reason = :reason, wake_at = NULL, request = NULL, changed_at = :now
WHERE id = :run AND state IN ('queued', 'sleeping', 'waiting') AND request IS NOT 'cancel'

-- name: resume
-- What waited for another run of its schedule waits again as long as that one is not final.
UPDATE runs SET
    state = CASE WHEN {stands_behind} THEN 'waiting' ELSE 'queued' END, wake_at = NULL, changed_at = :now,
    reason = CASE WHEN {stands_behind} THEN 'until run ' || after_id || ' has ended' END,
    after_id = CASE WHEN {stands_behind} THEN after_id END
WHERE id = :run AND state = 'paused'

-- name: request
-- A wish to cancel is not weakened into one to pause.
UPDATE runs SET request = CASE WHEN request = 'cancel' THEN request ELSE :request END WHERE id = :run AND state = 'running'

-- name: requests
SELECT id, request FROM runs WHERE engine_id = +:engine AND request IS NOT NULL ORDER BY id

-- name: detach
UPDATE runs SET detached_at = :now
WHERE parent_id = :run AND detached_at IS NULL AND state IN ('succeeded', 'failed', 'cancelled') AND parent_step IN (
    SELECT key FROM steps WHERE run_id = :run AND seq >= :from_seq AND superseded_at IS NULL)

-- name: retry
UPDATE runs SET
    state = 'queued', attempt = attempt + 1, replay = :replay, code = coalesce(:code, code),
    earlier_code = CASE WHEN :code IS NOT NULL THEN code END, reason = :reason, request = NULL,
    output = NULL, output_crc = NULL, error = NULL, error_crc = NULL, failed_steps = '[]', crashes = 0, wake_at = :wake_at,
    after_id = NULL, finished_at = NULL, dropped_at = NULL, changed_at = :now,
    verdict = CASE WHEN state = 'blocked' THEN verdict END
WHERE id = :run

-- name: block_again
UPDATE runs SET reason = :reason WHERE id = :run AND state = 'blocked'

-- name: half_pruned
SELECT 1 FROM runs JOIN meta ON meta.key = 'pruned_family' AND meta.value = CAST(coalesce(root_id, id) AS TEXT)
WHERE id = +:run

-- name: orphans
SELECT {columns} FROM runs
WHERE engine_id IN (SELECT value FROM json_each(:engines)) ORDER BY id

-- name: orphan
UPDATE runs SET
    state = :state, reason = :reason, request = NULL, engine_id = NULL, crashes = crashes + 1, error = :error,
    error_crc = :error_crc, changed_at = :now, finished_at = CASE WHEN :state = 'failed' THEN max(:now, started_at) END
WHERE {claimed}

-- name: counts
SELECT state, count(*) FROM runs WHERE namespace = +:namespace GROUP BY state

-- name: due_count
-- plan: scans runs_due and what of runs_wake has passed: what is due, and no more.
SELECT (SELECT count(*) FROM runs WHERE state = 'queued' AND wake_at IS NULL AND followed_by IS NULL)
    + (SELECT count(*) FROM runs WHERE wake_at <= :now)
