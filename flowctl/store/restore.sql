-- name: highest_epoch
-- plan: reads all runs.
SELECT max(coalesce((SELECT max(epoch) FROM runs), 0), CAST(coalesce((SELECT value FROM meta WHERE key = 'epoch_base'), '0') AS INTEGER))

-- name: set_epoch_base
UPDATE meta SET value = :epoch WHERE key = 'epoch_base'

-- name: set_machine
INSERT INTO meta (key, value) VALUES ('machine', :machine) ON CONFLICT DO UPDATE SET value = excluded.value
