-- part: channel
id, namespace, name, kind, settings, workflow, failures, created_at

-- part: notice
id, channel_id, subject, kind, run_id, text, created_at, tries, next_at, sent_at, error

-- name: channels
-- plan: a row for each channel, a handful.
SELECT {channel} FROM channels ORDER BY namespace, name

-- name: add_channel
-- plan: the scan looks for rows whose foreign key this one would mend; without such rows SQLite skips it.
INSERT INTO channels (namespace, name, kind, settings, workflow, failures, created_at)
VALUES (:namespace, :name, :kind, :settings, :workflow, :failures, :now)
ON CONFLICT (namespace, name) DO NOTHING RETURNING id

-- name: remove_channel
-- plan: what it was told goes with it; both are small.
DELETE FROM channels WHERE namespace = :namespace AND name = :name

-- name: standing
SELECT subject, state, since, told_at FROM standings WHERE channel_id = :channel AND subject = :subject

-- name: put_standing
INSERT INTO standings (channel_id, subject, state, since, told_at)
VALUES (:channel, :subject, :state, :since, :told_at)
ON CONFLICT (channel_id, subject) DO UPDATE SET
    state = excluded.state, since = excluded.since, told_at = excluded.told_at

-- name: drop_standing
DELETE FROM standings WHERE channel_id = :channel AND subject = :subject

-- name: add
INSERT INTO notices (channel_id, subject, kind, run_id, text, created_at, next_at)
VALUES (:channel_id, :subject, :kind, :run_id, :text, :now, :next_at) RETURNING {notice}

-- name: due
-- The oldest message of each channel that has one to send: a later one waits for it.
SELECT {notice} FROM notices WHERE next_at <= +:now AND id IN (
    SELECT min(id) FROM notices WHERE next_at IS NOT NULL GROUP BY channel_id) ORDER BY id

-- name: next_due_at
SELECT min(next_at) FROM notices WHERE next_at IS NOT NULL AND id IN (
    SELECT min(id) FROM notices WHERE next_at IS NOT NULL GROUP BY channel_id)

-- name: sent
UPDATE notices SET sent_at = :now, next_at = NULL, tries = tries + 1, error = NULL WHERE id = :id AND sent_at IS NULL

-- name: not_sent
UPDATE notices SET next_at = :next_at, tries = tries + 1, error = :error WHERE id = :id AND sent_at IS NULL

-- name: waiting
-- plan: counts what is to be sent, a handful.
SELECT channel_id, count(*), max(error) FROM notices WHERE next_at IS NOT NULL GROUP BY channel_id

-- name: newest_event
-- plan: the last row.
SELECT max(id) FROM events

-- name: cursor
SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'notified_event'

-- name: set_cursor
INSERT INTO meta (key, value) VALUES ('notified_event', :event) ON CONFLICT DO UPDATE SET value = excluded.value

-- name: news
SELECT events.id, events.state, runs.id, runs.namespace, runs.workflow, runs.root_id, runs.parent_id, runs.state
FROM events JOIN runs ON runs.id = events.run_id WHERE events.id > +:after ORDER BY events.id LIMIT +:limit

-- name: workflow_of
SELECT workflow FROM runs WHERE id = :run

-- name: outcomes
SELECT id, state, error, finished_at FROM runs INDEXED BY runs_workflow
WHERE namespace = +:namespace AND workflow = +:workflow AND parent_id IS NULL AND state IN ('succeeded', 'failed')
ORDER BY id DESC LIMIT +:limit

-- name: missing
SELECT DISTINCT schedules.id, namespace, name, workflow, zone
FROM slots INDEXED BY slots_missed JOIN schedules ON schedules.id = slots.schedule_id
WHERE outcome = 'missed' AND decided_at >= +:since

-- name: missed
SELECT due_at, reason FROM slots WHERE schedule_id = +:schedule AND due_at > +:after AND outcome = 'missed' ORDER BY due_at
