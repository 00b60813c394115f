-- Every block reads whole tables: it answers `flowctl db check`. State invariants return a run, a step key or NULL, and
-- what is wrong.

-- Payloads that are to be looked at: those that are not what was stored, and the large ones, which stand elsewhere.

-- name: run_payloads
SELECT id, NULL, CAST(input AS BLOB), input_crc, CAST(output AS BLOB), output_crc, CAST(error AS BLOB), error_crc
FROM runs WHERE id > :after AND (
    octet_length(input) = :reference OR sum_of(CAST(input AS BLOB)) IS NOT input_crc
    OR octet_length(output) = :reference OR sum_of(CAST(output AS BLOB)) IS NOT output_crc
    OR octet_length(error) = :reference OR sum_of(CAST(error AS BLOB)) IS NOT error_crc)
ORDER BY id LIMIT 500

-- name: step_payloads
-- Of what a fork shares, the payloads of the row that has them, by the checksums that the fork has taken over.
SELECT steps.id, steps.run_id, steps.key, steps.attempt, CAST(held.input AS BLOB), steps.input_crc,
    CAST(held.output AS BLOB), steps.output_crc, CAST(held.error AS BLOB), steps.error_crc
FROM steps LEFT JOIN steps AS held ON held.id = coalesce(steps.shared_id, steps.id)
WHERE steps.id > :after AND (
    octet_length(held.input) = :reference OR sum_of(CAST(held.input AS BLOB)) IS NOT steps.input_crc
    OR octet_length(held.output) = :reference OR sum_of(CAST(held.output AS BLOB)) IS NOT steps.output_crc
    OR octet_length(held.error) = :reference OR sum_of(CAST(held.error AS BLOB)) IS NOT steps.error_crc)
ORDER BY steps.id LIMIT 500

-- name: attempt_payloads
SELECT run_id, key, attempt, CAST(error AS BLOB), error_crc FROM attempts
WHERE (run_id, key, attempt) > (:run, :key, :attempt)
    AND (octet_length(error) = :reference OR sum_of(CAST(error AS BLOB)) IS NOT error_crc)
ORDER BY run_id, key, attempt LIMIT 500

-- name: signal_payloads
SELECT id, run_id, CAST(value AS BLOB), value_crc FROM signals
WHERE id > :after AND (octet_length(value) = :reference OR sum_of(CAST(value AS BLOB)) IS NOT value_crc)
ORDER BY id LIMIT 500

-- name: payload
SELECT CAST(text AS BLOB) FROM payloads WHERE hash = :hash

-- name: source_hashes
SELECT hash FROM sources ORDER BY hash

-- name: source
SELECT CAST(text AS BLOB) FROM sources WHERE hash = :hash

-- name: half_pruned
-- A family whose deletion takes more than one transaction.
SELECT runs.id FROM meta JOIN runs ON runs.id = CAST(value AS INTEGER) OR root_id = CAST(value AS INTEGER)
WHERE meta.key = 'pruned_family'

-- name: missing_sources
-- plan: reads all snapshots.
SELECT NULL, NULL, 'the snapshot ' || substr(code, 1, 12) || ' lacks the source of ' || files.key
FROM snapshots, json_each(snapshots.files) AS files
WHERE NOT EXISTS (SELECT 1 FROM sources WHERE hash = files.value)

-- name: one_outcome
-- plan: walks an index of all steps.
SELECT run_id, key, 'more than one current row has this key' FROM steps WHERE superseded_at IS NULL
GROUP BY run_id, key HAVING count(*) > 1

-- name: one_place
-- plan: walks an index of all steps.
SELECT run_id, max(key), 'more than one current row has place ' || seq FROM steps WHERE superseded_at IS NULL
GROUP BY run_id, seq HAVING count(*) > 1

-- name: one_key
-- plan: walks an index of all runs with a key.
SELECT max(id), NULL, 'more than one run has the key ' || key FROM runs WHERE key IS NOT NULL
GROUP BY namespace, key HAVING count(*) > 1

-- name: one_child
-- plan: walks an index of all child runs.
SELECT parent_id, parent_step, 'more than one run answers this step' FROM runs
WHERE parent_id IS NOT NULL AND detached_at IS NULL GROUP BY parent_id, parent_step HAVING count(*) > 1

-- name: no_holes
-- plan: walks all steps.
SELECT run_id, NULL, 'its steps have ' || max(seq) || ' places, but ' || count(DISTINCT seq) || ' of them are recorded'
FROM steps WHERE run_id IN (SELECT id FROM runs WHERE state = 'succeeded')
GROUP BY run_id HAVING count(DISTINCT seq) <> max(seq)

-- name: final_is_final
-- plan: walks all steps.
SELECT run_id, steps.key, 'is ' || steps.state || ', but its run is ' || runs.state FROM steps JOIN runs ON runs.id = run_id
WHERE steps.finished_at IS NULL AND superseded_at IS NULL AND runs.state IN ('succeeded', 'failed', 'cancelled')

-- name: one_after_the_other
-- plan: walks all steps.
SELECT run_id, key, 'began, started and finished in another order' FROM steps
WHERE started_at < begun_at OR finished_at < started_at OR superseded_at < begun_at

-- name: woken
-- plan: walks all steps.
SELECT run_id, key, 'has ended, but still waits for an instant' FROM steps
WHERE finished_at IS NOT NULL AND wake_at IS NOT NULL

-- name: attempts_in_a_row
-- plan: walks all steps.
-- Every number below the latest is a recorded attempt or a replaced row's.
SELECT run_id, key, 'attempt ' || attempt || ' follows ' || earlier || ' recorded attempts' FROM (
    SELECT run_id, key, attempt, (
        SELECT count(*) FROM (
            SELECT attempt FROM attempts WHERE run_id = s.run_id AND key = s.key AND attempt < s.attempt
            UNION
            SELECT attempt FROM steps AS old
            WHERE old.run_id = s.run_id AND old.key = s.key AND old.superseded_at IS NOT NULL AND old.attempt < s.attempt
        )) AS earlier
    FROM steps AS s WHERE superseded_at IS NULL AND attempt > 1)
WHERE earlier <> attempt - 1

-- name: attempts_of_steps
-- plan: walks all attempts.
SELECT run_id, key, 'has attempt ' || attempt || ' recorded, but is no step' FROM attempts AS a
WHERE NOT EXISTS (SELECT 1 FROM steps WHERE run_id = a.run_id AND key = a.key AND superseded_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM steps WHERE run_id = a.run_id AND key = a.key AND superseded_at IS NOT NULL)

-- name: failure_recorded
-- plan: walks all steps.
SELECT run_id, key, 'is ' || state || ', but attempt ' || attempt || ' is not recorded' FROM steps
WHERE state IN ('failed', 'cancelled', 'interrupted') AND shared_id IS NULL AND NOT EXISTS (
    SELECT 1 FROM attempts AS a WHERE a.run_id = steps.run_id AND a.key = steps.key AND a.attempt = steps.attempt)

-- name: shared_steps
-- plan: walks the steps that forks share.
SELECT steps.run_id, steps.key, 'shares the payloads of row ' || steps.shared_id || ', which is not that step' FROM steps
LEFT JOIN steps AS held ON held.id = steps.shared_id
WHERE steps.shared_id IS NOT NULL AND (held.shared_id IS NOT NULL OR coalesce(held.run_id, steps.run_id) >= steps.run_id
    OR (held.seq, held.key, held.kind, held.state, held.input_hash)
        IS NOT (steps.seq, steps.key, steps.kind, steps.state, steps.input_hash))

-- name: interruptions_counted
-- plan: walks all steps.
SELECT run_id, key, 'counts ' || crashes || ' interruptions, but ' || recorded || ' are recorded' FROM (
    SELECT run_id, key, crashes, (
        SELECT count(*) FROM attempts AS a WHERE a.run_id = s.run_id AND a.key = s.key AND a.state = 'interrupted'
            AND a.attempt BETWEEN s.first_attempt AND s.attempt) AS recorded
    FROM steps AS s WHERE crashes > 0 OR attempt > 1 OR state = 'interrupted')
WHERE crashes <> recorded

-- name: held_by_a_running_engine
-- plan: walks the runs that engines hold.
SELECT runs.id, NULL, 'is running, but its engine ' || engines.id || ' has stopped' FROM engines
JOIN runs ON runs.engine_id = engines.id WHERE engines.stopped_at IS NOT NULL

-- name: families
-- plan: walks all runs.
SELECT runs.id, NULL, 'its parent is not an older run of its family' FROM runs
LEFT JOIN runs AS parent ON parent.id = runs.parent_id
WHERE runs.parent_id IS NOT NULL
    AND (parent.id IS NULL OR parent.id >= runs.id OR runs.root_id IS NOT coalesce(parent.root_id, parent.id))

-- name: waiting_for_something
-- plan: walks all runs.
SELECT runs.id, steps.key, 'waits for a child run that is final or not there' FROM runs
JOIN steps ON steps.run_id = runs.id AND steps.kind = 'child' AND steps.state = 'running' AND steps.superseded_at IS NULL
WHERE runs.state = 'waiting' AND NOT EXISTS (
    SELECT 1 FROM steps AS other WHERE other.run_id = runs.id AND other.state = 'running' AND other.superseded_at IS NULL
        AND (other.kind <> 'child' OR EXISTS (
            SELECT 1 FROM runs AS child WHERE child.parent_id = runs.id AND child.parent_step = other.key
                AND child.detached_at IS NULL AND child.state NOT IN ('succeeded', 'failed', 'cancelled'))))

-- name: signals_taken
-- plan: walks all signals.
-- The step that has taken a signal has an outcome: both are of one transaction.
SELECT run_id, taken_by, 'has taken signal ' || signals.id || ', but has no outcome' FROM signals
WHERE taken_by IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM steps WHERE steps.run_id = signals.run_id AND key = taken_by AND superseded_at IS NULL
            AND finished_at IS NOT NULL)
    AND NOT EXISTS (
        SELECT 1 FROM steps WHERE steps.run_id = signals.run_id AND key = taken_by AND superseded_at IS NOT NULL)

-- name: audit_log
-- plan: walks all runs.
-- The events of a run, folded in their order, give its state, epoch and attempt, and when it came to it.
SELECT runs.id, NULL, 'is ' || runs.state || ' at epoch ' || runs.epoch || ' in attempt ' || runs.attempt
    || ', but its last event says '
    || coalesce(last.state || ' at epoch ' || last.epoch || ' in attempt ' || last.attempt, 'nothing')
FROM runs LEFT JOIN events AS last ON last.id = (SELECT max(id) FROM events WHERE run_id = runs.id)
WHERE (last.state, last.epoch, last.attempt, last.at) IS NOT (runs.state, runs.epoch, runs.attempt, runs.changed_at)

-- name: audit_begins
-- plan: walks all runs.
-- One that waits for another of its schedule begins so.
SELECT runs.id, NULL, 'its first event is not that it was queued' FROM runs
LEFT JOIN events AS first ON first.id = (SELECT min(id) FROM events WHERE run_id = runs.id)
WHERE coalesce(first.state, '') NOT IN ('queued', 'waiting')
    OR (first.epoch, first.attempt, first.at) IS NOT (0, 1, runs.created_at)

-- name: audit_moves
-- plan: walks all events.
-- The epoch rises with each claim, the attempt with each retry, and neither otherwise.
WITH moves (old, new) AS (VALUES
    ('queued', 'running'), ('queued', 'paused'), ('queued', 'cancelled'), ('queued', 'failed'),
    ('running', 'queued'), ('running', 'sleeping'), ('running', 'waiting'), ('running', 'paused'), ('running', 'blocked'),
    ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('sleeping', 'queued'), ('sleeping', 'running'), ('sleeping', 'paused'), ('sleeping', 'cancelled'),
    ('waiting', 'queued'), ('waiting', 'running'), ('waiting', 'paused'), ('waiting', 'cancelled'),
    ('paused', 'queued'), ('paused', 'waiting'), ('paused', 'cancelled'), ('blocked', 'queued'), ('blocked', 'cancelled'),
    ('failed', 'queued'), ('cancelled', 'queued'))
SELECT run_id, NULL, 'went from ' || old_state || ' (attempt ' || old_attempt || ', epoch ' || old_epoch || ') to '
    || state || ' (attempt ' || attempt || ', epoch ' || epoch || ')'
FROM (
    SELECT run_id, state, attempt, epoch, lag(state) OVER each_run AS old_state, lag(attempt) OVER each_run AS old_attempt,
        lag(epoch) OVER each_run AS old_epoch
    FROM events WINDOW each_run AS (PARTITION BY run_id ORDER BY id))
WHERE (old_state, state) NOT IN moves
    OR epoch < old_epoch OR (epoch > old_epoch) <> (state = 'running')
    OR attempt - old_attempt <> (state = 'queued' AND old_state IN ('failed', 'cancelled', 'blocked'))

-- name: search_index
-- plan: walks all runs, steps and logs, and the index.
-- Every row that the index has come by is in it or was left out, and it has no row that is gone: see search.py.
WITH marks (events, steps, logs) AS (SELECT
    (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'search_events'),
    (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'search_steps'),
    (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'search_logs'))
SELECT id, NULL, 'is not in the search index' FROM runs, marks
WHERE EXISTS (SELECT 1 FROM events WHERE run_id = runs.id AND id <= marks.events)
    AND NOT EXISTS (SELECT 1 FROM search_docsize AS document WHERE document.id = runs.id)
    AND NOT EXISTS (SELECT 1 FROM unindexed WHERE kind = 'run' AND unindexed.id = runs.id)
UNION ALL
SELECT run_id, key, 'is not in the search index' FROM steps, marks
WHERE steps.id <= marks.steps
    AND NOT EXISTS (SELECT 1 FROM search_docsize AS document WHERE document.id = (1 << 50) + steps.id)
    AND NOT EXISTS (SELECT 1 FROM unindexed WHERE kind = 'step' AND unindexed.id = steps.id)
UNION ALL
SELECT run_id, step, 'has a log that is not in the search index' FROM logs, marks
WHERE logs.id <= marks.logs
    AND NOT EXISTS (SELECT 1 FROM search_docsize AS document WHERE document.id = (2 << 50) + logs.id)
UNION ALL
SELECT NULL, NULL, 'the search index has row ' || (id & ((1 << 50) - 1)) || ' of ' ||
    CASE id >> 50 WHEN 0 THEN 'runs' WHEN 1 THEN 'steps' ELSE 'logs' END || ', which is not there'
FROM search_docsize
WHERE CASE id >> 50
    WHEN 0 THEN NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = search_docsize.id)
    WHEN 1 THEN NOT EXISTS (SELECT 1 FROM steps WHERE steps.id = search_docsize.id - (1 << 50))
    ELSE NOT EXISTS (SELECT 1 FROM logs WHERE logs.id = search_docsize.id - (2 << 50)) END

-- name: slots_of_runs
-- plan: walks all slots. The run of a slot may have been pruned.
SELECT runs.id, NULL, 'was fired by a slot of ' || schedules.name || ', and says it is of ' || coalesce(runs.schedule, 'none')
FROM slots JOIN schedules ON schedules.id = schedule_id JOIN runs ON runs.id = slots.run_id
WHERE outcome = 'fired' AND (runs.namespace <> schedules.namespace OR runs.schedule IS NOT schedules.name)

-- name: next_slot
-- plan: reads all schedules.
SELECT NULL, NULL, 'the schedule ' || name || ' waits for a slot that is decided already' FROM schedules
WHERE next_at <= (SELECT max(due_at) FROM slots WHERE schedule_id = schedules.id)

-- name: queue_limits
-- plan: walks the runs that engines hold. A limit that was lowered since the last of them began is no finding.
SELECT max(runs.id), NULL, 'is one of ' || count(*) || ' that run in the queue ' || name || ', which allows ' || concurrency
FROM queues JOIN runs ON runs.engine_id IS NOT NULL AND runs.namespace = queues.namespace AND runs.queue = queues.name
GROUP BY queues.namespace, queues.name HAVING count(*) > concurrency AND max(runs.changed_at) > queues.changed_at

-- name: reserved_by_a_running_engine
-- plan: walks the runs that are reserved.
SELECT runs.id, NULL, 'is reserved for engine ' || engines.id || ', which has stopped' FROM runs
JOIN engines ON engines.id = runs.followed_by WHERE engines.stopped_at IS NOT NULL

-- name: future
-- plan: walks all runs, steps and events.
SELECT id, NULL, 'has a time after tomorrow' FROM runs
WHERE max(created_at, changed_at, coalesce(started_at, 0), coalesce(finished_at, 0)) > :latest
UNION ALL
SELECT run_id, key, 'has a time after tomorrow' FROM steps WHERE max(started_at, coalesce(finished_at, 0)) > :latest
UNION ALL
SELECT DISTINCT run_id, NULL, 'has an event after tomorrow' FROM events WHERE at > :latest
