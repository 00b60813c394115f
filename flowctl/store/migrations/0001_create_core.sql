-- The whole data model of flowctl: what a fresh file gets. It equals the sum of the
-- migrations in flowctl/store/migrations (a test proves it), so change both or neither.
--
-- Instants end in _at and are UTC milliseconds since 1970. Durations end in _ms.
-- Payloads (input, output, error) are JSON text. A payload too large for its row is stored once in
-- `payloads`, and the row holds {"$payload": "<hash>"} instead: the codec writes no other object with that key.
-- A fork does not repeat the payloads of the steps it shares: its row holds '' and the checksum, and says in shared_id whose
-- row has them.
-- Columns named *_crc hold the CRC-32 of the stored text, so that a flipped bit is named by `flowctl db check`.

PRAGMA application_id = 0x666c6f77;  -- "flow"

-- Facts about this file: file_id (random, part of every idempotency key), created_at, epoch_base.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Large payloads, addressed by the SHA-256 of their text.
CREATE TABLE payloads (
    hash TEXT PRIMARY KEY CHECK (length(hash) = 64),
    text TEXT NOT NULL
) STRICT;

-- Source files, addressed by the SHA-256 of their text.
CREATE TABLE sources (
    hash TEXT PRIMARY KEY CHECK (length(hash) = 64),
    text TEXT NOT NULL
) STRICT;

-- A snapshot of the code a run started with: the workflow file and the local modules it imported.
CREATE TABLE snapshots (
    code       TEXT PRIMARY KEY CHECK (length(code) = 64),
    path       TEXT NOT NULL,               -- absolute path of the workflow file; '' for a shell command
    files      TEXT NOT NULL CHECK (json_valid(files)),  -- {absolute path: hash in sources}
    created_at INTEGER NOT NULL
) STRICT;

-- Environment variables that were captured where a workflow or a schedule was registered, by the SHA-256 of the text.
CREATE TABLE environments (
    hash TEXT PRIMARY KEY CHECK (length(hash) = 64),
    text TEXT NOT NULL CHECK (json_type(text) = 'object')
) STRICT;

-- The registry: names that runs and schedules can be started by.
CREATE TABLE workflows (
    id         INTEGER PRIMARY KEY,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    path       TEXT NOT NULL,               -- absolute path of the file that defines it
    function   TEXT NOT NULL,
    parameters TEXT NOT NULL CHECK (json_valid(parameters)),  -- the parameter schema
    options    TEXT NOT NULL CHECK (json_valid(options)),
    doc        TEXT NOT NULL,
    python     TEXT,                        -- the interpreter that --python chose; NULL: choose when a run starts
    code       TEXT NOT NULL REFERENCES snapshots (code),
    added_at   INTEGER NOT NULL,
    directory  TEXT NOT NULL,               -- working directory of its scheduled runs
    environment TEXT REFERENCES environments (hash),
    kept_because TEXT,                      -- why this is not what its file holds now; NULL: it is, as far as is known
    UNIQUE (namespace, name)
) STRICT;

-- Processes that decide. An engine is alive while it holds the flock on its lock file and its boot_id is this boot's.
CREATE TABLE engines (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    token      TEXT NOT NULL UNIQUE,        -- names the lock file, and marks the environment of its executors
    kind       TEXT NOT NULL CHECK (kind IN ('foreground', 'daemon')),
    pid        INTEGER NOT NULL,
    boot_id    TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    stopped_at INTEGER,
    labels     TEXT NOT NULL DEFAULT '[]' CHECK (json_type(labels) = 'array'),  -- what runs may require: "gpu", "ram=32"
    queues     TEXT CHECK (json_type(queues) = 'array')  -- the only queues it serves; NULL: all
) STRICT;

CREATE INDEX engines_running ON engines (id) WHERE stopped_at IS NULL;

CREATE TABLE runs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,  -- the run number, never reused
    namespace    TEXT NOT NULL,
    workflow     TEXT NOT NULL,
    path         TEXT NOT NULL,             -- file to load the newest code from; '' for a shell command
    function     TEXT NOT NULL,
    code         TEXT NOT NULL REFERENCES snapshots (code),
    earlier_code TEXT REFERENCES snapshots (code),  -- what a retry tries other code for; it counts again if that does not fit
    replay       TEXT NOT NULL DEFAULT 'pinned' CHECK (replay IN ('pinned', 'newest', 'accept')),
    options      TEXT NOT NULL CHECK (json_valid(options)),  -- what the workflow and the command line asked: timeout_ms, attempts, …
    python       TEXT,
    directory    TEXT NOT NULL,             -- working directory of user code
    env_file     TEXT,
    queue        TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    key          TEXT,                      -- idempotency key
    tags         TEXT NOT NULL CHECK (json_type(tags) = 'object'),
    input        TEXT NOT NULL,
    input_crc    INTEGER NOT NULL,
    input_hash   BLOB NOT NULL,             -- of the canonical JSON: equal inputs have equal hashes
    output       TEXT,
    output_crc   INTEGER,
    error        TEXT,                      -- {"type", "message", "traceback"}
    error_crc    INTEGER,
    failed_steps TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(failed_steps)),  -- keys that a retry runs again
    state        TEXT NOT NULL,
    reason       TEXT,                      -- why it is in that state, for a person
    request      TEXT CHECK (request IN ('cancel', 'pause')),  -- asked from outside, not yet done
    attempt      INTEGER NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    crashes      INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),  -- engine deaths survived since it last advanced
    epoch        INTEGER NOT NULL DEFAULT 0,
    engine_id    INTEGER REFERENCES engines (id),
    root_id      INTEGER,                   -- the run at the top of its family; NULL: itself
    parent_id    INTEGER REFERENCES runs (id),
    parent_step  TEXT,
    rerun_of     INTEGER,                   -- a run that may have been pruned since
    wake_at      INTEGER,                   -- not before this instant
    created_at   INTEGER NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    changed_at   INTEGER NOT NULL,          -- of the last change of state
    detached_at  INTEGER,                   -- set when a retry of the parent starts this child anew: then it answers no step
    schedule     TEXT,                      -- name of the schedule that made it
    due_at       INTEGER,                   -- the slot it is for; a fork and a rerun keep that of the run they are made of
    requires     TEXT CHECK (json_type(requires) = 'array'),  -- labels that its engine must have; NULL: none
    environment  TEXT REFERENCES environments (hash),
    followed_by  INTEGER REFERENCES engines (id),  -- the engine that alone may claim it, because a person watches it there
    after_id     INTEGER,                   -- waits until that run is final: overlapping slots of one schedule
    forked_from  INTEGER REFERENCES runs (id),  -- a run that is kept as long as this one: it shares steps with it
    forked_step  TEXT,                      -- key of the step it was forked from; NULL: from the beginning
    dropped_at   INTEGER,                   -- set when a person says that this failure needs nothing more
    handles      INTEGER,                   -- the failed run whose on_failure workflow this is; it may have been pruned since
    verdict      TEXT CHECK (json_valid(verdict)),  -- the error that it fails with once it has undone what it has done

    CHECK (state IN ('queued', 'running', 'sleeping', 'waiting', 'paused', 'blocked', 'succeeded', 'failed', 'cancelled')),
    CHECK ((state = 'running') = (engine_id IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK ((state = 'succeeded') = (output IS NOT NULL)),
    CHECK ((state = 'failed') = (error IS NOT NULL)),
    CHECK (state NOT IN ('running', 'succeeded') OR started_at IS NOT NULL),
    CHECK (state <> 'sleeping' OR wake_at IS NOT NULL),
    CHECK (wake_at IS NULL OR state IN ('queued', 'sleeping', 'waiting')),
    CHECK (state <> 'blocked' OR reason IS NOT NULL),
    CHECK ((parent_id IS NULL) = (parent_step IS NULL)),
    CHECK (forked_step IS NULL OR forked_from IS NOT NULL),
    CHECK (due_at IS NULL OR schedule IS NOT NULL OR forked_from IS NOT NULL OR rerun_of IS NOT NULL),
    CHECK (finished_at IS NULL OR started_at IS NULL OR started_at <= finished_at),
    CHECK (dropped_at IS NULL OR state = 'failed')
) STRICT;

CREATE UNIQUE INDEX runs_key ON runs (namespace, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX runs_child ON runs (parent_id, parent_step) WHERE parent_id IS NOT NULL AND detached_at IS NULL;
CREATE INDEX runs_parent ON runs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX runs_root ON runs (root_id, state) WHERE root_id IS NOT NULL;
CREATE INDEX runs_due ON runs (namespace, queue, priority DESC, id, requires)  -- ready now: of each queue in claiming order
    WHERE state = 'queued' AND wake_at IS NULL AND followed_by IS NULL;
CREATE INDEX runs_wake ON runs (wake_at) WHERE wake_at IS NOT NULL;                            -- queued for later, or asleep
CREATE INDEX runs_engine ON runs (engine_id) WHERE engine_id IS NOT NULL;
CREATE INDEX runs_namespace ON runs (namespace, id);
CREATE INDEX runs_state ON runs (namespace, state, id);
CREATE INDEX runs_workflow ON runs (namespace, workflow, id);
CREATE INDEX runs_schedule ON runs (namespace, schedule, id) WHERE schedule IS NOT NULL;
CREATE INDEX runs_overlap ON runs (namespace, schedule, id) WHERE schedule IS NOT NULL AND finished_at IS NULL;
CREATE INDEX runs_followed ON runs (followed_by) WHERE followed_by IS NOT NULL;
CREATE INDEX runs_forked ON runs (forked_from) WHERE forked_from IS NOT NULL;
CREATE INDEX runs_rerun ON runs (rerun_of) WHERE rerun_of IS NOT NULL;
CREATE INDEX runs_handles ON runs (handles) WHERE handles IS NOT NULL;
CREATE INDEX runs_after ON runs (after_id) WHERE after_id IS NOT NULL AND state = 'waiting';

CREATE TABLE steps (
    id            INTEGER PRIMARY KEY,
    run_id        INTEGER NOT NULL REFERENCES runs (id),
    seq           INTEGER NOT NULL CHECK (seq >= 1),  -- place in the program's order, from 1
    key           TEXT NOT NULL,
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL,
    state         TEXT NOT NULL,
    attempt       INTEGER NOT NULL CHECK (attempt >= 1),  -- the latest; earlier ones are in `attempts`
    first_attempt INTEGER NOT NULL,         -- 1, or where a retry of the run began to count anew
    crashes       INTEGER NOT NULL DEFAULT 0,  -- interrupted attempts: not counted against retries
    input         TEXT NOT NULL,
    input_crc     INTEGER NOT NULL,
    input_hash    BLOB NOT NULL,
    source_hash   BLOB,                     -- of the step function it ran with; NULL where there is none
    output        TEXT,
    output_crc    INTEGER,
    error         TEXT,
    error_crc     INTEGER,
    wake_at       INTEGER,                  -- end of a sleep, or start of the next attempt
    begun_at      INTEGER NOT NULL,         -- first attempt
    started_at    INTEGER NOT NULL,         -- latest attempt
    finished_at   INTEGER,
    on_crash      TEXT NOT NULL CHECK (on_crash IN ('rerun', 'block')),  -- when nobody knows whether a body finished
    superseded_at INTEGER,                  -- set when a retry replaces this row; the row itself stays as it was
    shared_id     INTEGER,                  -- of a fork: the row of an earlier run that holds the payloads; they are '' here
    said_by       TEXT,                     -- the person who said this outcome, where no body has come to it
    progress      TEXT CHECK (json_type(progress) = 'object'),  -- the latest word of its body: {"done", "total", "text"}
    external_id   TEXT,                     -- what its body has begun elsewhere, for `reconcile` to ask about
    undoes        INTEGER,                  -- of compensate() and of the steps that undo: where a retry starts over, once it was undone

    -- Not IN: for every row SQLite would build a list of more than two values anew, and a fork writes thousands of rows.
    CHECK (kind = 'step' OR kind = 'shell' OR kind = 'sleep' OR kind = 'signal' OR kind = 'child' OR kind = 'value'),
    CHECK (state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled' OR state = 'interrupted'),
    CHECK ((state IN ('running', 'interrupted')) = (finished_at IS NULL)),
    CHECK ((state = 'succeeded') = (output IS NOT NULL)),
    CHECK ((state = 'failed') = (error IS NOT NULL)),
    CHECK (shared_id IS NULL OR (state IN ('succeeded', 'failed') AND input = '')),
    CHECK (said_by IS NULL OR state IN ('succeeded', 'failed')),
    CHECK (finished_at IS NULL OR begun_at <= finished_at)
) STRICT;

-- Recorded exactly once: at most one current outcome per step of a run.
CREATE UNIQUE INDEX steps_key ON steps (run_id, key) WHERE superseded_at IS NULL;
CREATE UNIQUE INDEX steps_seq ON steps (run_id, seq) WHERE superseded_at IS NULL;
CREATE INDEX steps_superseded ON steps (run_id, key) WHERE superseded_at IS NOT NULL;
CREATE INDEX steps_signal ON steps (run_id, name) WHERE kind = 'signal' AND finished_at IS NULL AND superseded_at IS NULL;
CREATE INDEX steps_undo ON steps (run_id, undoes) WHERE undoes IS NOT NULL AND superseded_at IS NULL;

-- Every attempt that did not succeed. The attempt that succeeded, or that is under way, is the step's own row.
CREATE TABLE attempts (
    run_id      INTEGER NOT NULL REFERENCES runs (id),
    key         TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('failed', 'cancelled', 'interrupted')),
    error       TEXT CHECK ((state = 'failed') = (error IS NOT NULL)),
    error_crc   INTEGER,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL CHECK (finished_at >= started_at),
    PRIMARY KEY (run_id, key, attempt)
) STRICT, WITHOUT ROWID;

-- What user code printed and logged, a captured chunk a row.
CREATE TABLE logs (
    id      INTEGER PRIMARY KEY,
    run_id  INTEGER NOT NULL REFERENCES runs (id),
    step    TEXT,                           -- key; NULL: outside any step
    attempt INTEGER,
    at      INTEGER NOT NULL,
    stream  TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr', 'log')),
    level   TEXT,                           -- of a logging record
    text    TEXT NOT NULL
) STRICT;

CREATE INDEX logs_run ON logs (run_id, id);

-- Messages to runs from outside, in their order. A step of kind `signal` takes the oldest of its name, once.
CREATE TABLE signals (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id    INTEGER NOT NULL REFERENCES runs (id),
    name      TEXT NOT NULL,
    value     TEXT NOT NULL CHECK (json_valid(value)),
    value_crc INTEGER NOT NULL,
    sender    TEXT NOT NULL,                -- "ada", or "run 12" for a workflow
    sent_at   INTEGER NOT NULL,
    taken_by  TEXT,                         -- key of the step that has taken it
    taken_at  INTEGER,
    CHECK ((taken_by IS NULL) = (taken_at IS NULL))
) STRICT;

CREATE INDEX signals_run ON signals (run_id, id);
CREATE INDEX signals_open ON signals (run_id, name, id) WHERE taken_by IS NULL;
-- The words of inputs, outputs, errors and logs, for `flowctl grep`. A row is that of a run, of a step that has ended, or of
-- a chunk of logs, and numbered after it: see flowctl/store/search.py. The text itself is not kept a second time. It is
-- brought up to date now and then, and never by a transaction that records something; how far it has come is in meta.
CREATE VIRTUAL TABLE search USING fts5 (
    text, content = '', contentless_delete = 1, detail = none, tokenize = 'unicode61 remove_diacritics 0'
);

-- Rows that the index has come by and left out, and that a search reads one by one: steps that have not ended yet, and rows
-- with a payload that is kept apart.
CREATE TABLE unindexed (
    kind TEXT NOT NULL CHECK (kind IN ('run', 'step')),
    id   INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- The audit log. The lines of a run are its changes of state, written by the triggers below and by nothing else; other
-- lines tell in `reason` what happened to their subject: "machine", "daemon", "schedule nightly", "run 42". `actor` is who
-- did it: "ann: flowctl cancel", "daemon (pid 12)". actor() is a function of each connection of flowctl.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    run_id  INTEGER REFERENCES runs (id),
    at      INTEGER NOT NULL,
    state   TEXT CHECK ((run_id IS NULL) = (state IS NULL)),
    epoch   INTEGER CHECK ((run_id IS NULL) = (epoch IS NULL)),
    attempt INTEGER CHECK ((run_id IS NULL) = (attempt IS NULL)),
    reason  TEXT CHECK (reason IS NOT NULL OR run_id IS NOT NULL),
    subject TEXT CHECK ((run_id IS NULL) = (subject IS NOT NULL)),
    actor   TEXT
) STRICT;

CREATE INDEX events_run ON events (run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX events_subject ON events (subject, id) WHERE subject IS NOT NULL;

-- Queues with limits. A queue without a row has none.
CREATE TABLE queues (
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    concurrency INTEGER CHECK (concurrency >= 1),  -- runs at once
    rate        INTEGER CHECK (rate >= 1),         -- starts within any rate_ms
    rate_ms     INTEGER CHECK (rate_ms >= 1),
    key         TEXT,                              -- attribute of a run: workflow, schedule, tags.NAME or input.NAME
    key_limit   INTEGER CHECK (key_limit >= 1),    -- runs at once with an equal one
    paused_at   INTEGER,
    changed_at  INTEGER NOT NULL,
    CHECK ((rate IS NULL) = (rate_ms IS NULL)),
    CHECK ((key IS NULL) = (key_limit IS NULL)),
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

-- Runs begun in queues with a rate limit, kept as long as they count.
CREATE TABLE starts (
    namespace TEXT NOT NULL,
    queue     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    run_id    INTEGER NOT NULL,
    PRIMARY KEY (namespace, queue, at, run_id)
) STRICT, WITHOUT ROWID;

-- Circuit breakers, shared by all runs of a namespace. One without a row has seen no failure, and is closed.
CREATE TABLE breakers (
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    failures    INTEGER NOT NULL CHECK (failures >= 1),  -- so many within window_ms open it; as the last step said
    window_ms   INTEGER NOT NULL CHECK (window_ms >= 1),
    cooldown_ms INTEGER NOT NULL CHECK (cooldown_ms >= 0),
    opened_at   INTEGER,
    probe_run   INTEGER,                    -- the one attempt that is tried while it is half open
    probe_step  TEXT,
    probe_epoch INTEGER,                    -- once its run is claimed anew, another attempt may be the probe
    changed_at  INTEGER NOT NULL,
    CHECK ((state = 'closed') = (opened_at IS NULL)),
    CHECK ((state = 'half_open') = (probe_run IS NOT NULL)),
    CHECK ((probe_run IS NULL) = (probe_step IS NULL) AND (probe_run IS NULL) = (probe_epoch IS NULL)),
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

-- Failed attempts of steps with a breaker, kept as long as they count.
CREATE TABLE breaker_failures (
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    at        INTEGER NOT NULL,
    run_id    INTEGER NOT NULL,
    step      TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, run_id, step, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX breaker_failures_at ON breaker_failures (namespace, name, at);

-- Runs that wait for a breaker, so that they go on as soon as it closes.
CREATE TABLE breaker_waits (
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    run_id    INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, run_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX breaker_waits_run ON breaker_waits (run_id);

-- Rules that create runs.
CREATE TABLE schedules (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace    TEXT NOT NULL,
    name         TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('cron', 'every', 'once', 'change')),
    expression   TEXT NOT NULL,             -- of a change: the patterns of its files, a line each
    zone         TEXT NOT NULL,             -- '': the machine's own
    start_at     INTEGER,
    end_at       INTEGER,
    jitter_ms    INTEGER NOT NULL DEFAULT 0 CHECK (jitter_ms >= 0),
    catch_up     TEXT NOT NULL CHECK (catch_up IN ('latest', 'skip', 'all')),
    catch_up_cap INTEGER NOT NULL CHECK (catch_up_cap >= 1),
    window_ms    INTEGER CHECK (window_ms >= 1),  -- a slot that is later than this is stale
    overlap      TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'allow', 'replace')),
    pause_after  INTEGER CHECK (pause_after >= 1),  -- failures in a row
    workflow     TEXT,                      -- registered name; NULL: a shell command
    input        TEXT NOT NULL,             -- JSON; of a command {"argv": […]} or {"command": "…"}
    options      TEXT NOT NULL CHECK (json_type(options) = 'object'),  -- what its runs ask: queue, priority, tags, timeout_ms, attempts, requires
    directory    TEXT NOT NULL,
    python       TEXT,
    env_file     TEXT,
    environment  TEXT REFERENCES environments (hash),
    description  TEXT NOT NULL DEFAULT '',
    source       TEXT NOT NULL CHECK (source IN ('person', 'code', 'crontab')),  -- who made it
    next_at      INTEGER,                   -- instant of its next slot; NULL: there is none any more
    planned_to   INTEGER NOT NULL,          -- every slot up to this instant has its row in `slots`
    paused_at    INTEGER,
    pause_reason TEXT CHECK ((paused_at IS NULL) = (pause_reason IS NULL)),
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL,
    debounce_ms  INTEGER NOT NULL DEFAULT 2000 CHECK (debounce_ms >= 0),  -- of a change: how long its files have stood still
    UNIQUE (namespace, name),
    CHECK (end_at IS NULL OR start_at IS NULL OR start_at <= end_at)
) STRICT;

CREATE INDEX schedules_next ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_change ON schedules (id) WHERE kind = 'change';

-- The slot ledger: what became of every due instant of a schedule.
CREATE TABLE slots (
    schedule_id INTEGER NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    due_at      INTEGER NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN ('fired', 'skipped', 'coalesced', 'missed')),
    reason      TEXT,
    run_id      INTEGER,                    -- the run it fired, or was coalesced into
    decided_at  INTEGER NOT NULL,
    CHECK ((outcome IN ('fired', 'coalesced')) = (run_id IS NOT NULL)),
    CHECK (outcome IN ('fired', 'coalesced') OR reason IS NOT NULL),
    PRIMARY KEY (schedule_id, due_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX slots_missed ON slots (decided_at) WHERE outcome = 'missed';

-- Where a person is told of failures.
CREATE TABLE channels (
    id         INTEGER PRIMARY KEY,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('command', 'desktop', 'webhook', 'mail')),
    settings   TEXT NOT NULL CHECK (json_type(settings) = 'object'),
    workflow   TEXT,                        -- only about this one; NULL: about every one
    failures   INTEGER NOT NULL DEFAULT 1 CHECK (failures >= 1),  -- in a row, before the first word
    created_at INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT;

-- What a channel has been told of a workflow or schedule. Its absence: nothing, so all is well.
CREATE TABLE standings (
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    subject    TEXT NOT NULL,               -- "workflow digest", "schedule nightly", "run 42"
    state      TEXT NOT NULL,
    since      INTEGER NOT NULL,
    told_at    INTEGER NOT NULL,
    PRIMARY KEY (channel_id, subject)
) STRICT, WITHOUT ROWID;

-- Messages to channels, delivered at least once.
CREATE TABLE notices (
    id         INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    subject    TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('failed', 'still_failing', 'recovered', 'missed', 'blocked', 'test')),
    run_id     INTEGER,
    text       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER,                     -- of the next try; NULL: sent, or given up
    sent_at    INTEGER,
    error      TEXT,
    CHECK (sent_at IS NULL OR next_at IS NULL)
) STRICT;

CREATE INDEX notices_due ON notices (next_at) WHERE next_at IS NOT NULL;

-- How long runs are kept, where it is not the default.
CREATE TABLE retention (
    namespace      TEXT NOT NULL,
    workflow       TEXT NOT NULL,
    keep_ms        INTEGER CHECK (keep_ms >= 0),
    keep_runs      INTEGER CHECK (keep_runs >= 0),
    keep_failed_ms INTEGER CHECK (keep_failed_ms >= 0),
    PRIMARY KEY (namespace, workflow)
) STRICT, WITHOUT ROWID;

-- What is recorded is deleted only by `flowctl db prune` and the daemon's retention: in a transaction that begins by
-- putting the key `pruning` into meta, and ends by taking it out.

CREATE TRIGGER runs_created AFTER INSERT ON runs BEGIN
    INSERT INTO events (run_id, at, state, epoch, attempt, reason, actor)
    VALUES (NEW.id, NEW.created_at, NEW.state, NEW.epoch, NEW.attempt, NEW.reason, actor());
END;

CREATE TRIGGER runs_changed AFTER UPDATE OF state, epoch ON runs
WHEN OLD.state IS NOT NEW.state OR OLD.epoch IS NOT NEW.epoch BEGIN
    INSERT INTO events (run_id, at, state, epoch, attempt, reason, actor)
    VALUES (NEW.id, NEW.changed_at, NEW.state, NEW.epoch, NEW.attempt, NEW.reason, actor());
END;

CREATE TRIGGER runs_finished BEFORE UPDATE OF state, input, output, error, finished_at ON runs
WHEN OLD.state IN ('succeeded', 'cancelled', 'failed')
 AND NOT (OLD.state IN ('failed', 'cancelled') AND NEW.state = 'queued' AND NEW.attempt = OLD.attempt + 1) BEGIN
    SELECT RAISE(ABORT, 'a finished run does not change');
END;

CREATE TRIGGER runs_input BEFORE UPDATE OF id, namespace, input, input_crc, input_hash, created_at ON runs BEGIN
    SELECT RAISE(ABORT, 'the input of a run does not change');
END;

CREATE TRIGGER runs_kept BEFORE DELETE ON runs WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'pruning') BEGIN
    SELECT RAISE(ABORT, 'a run is not deleted');
END;

CREATE TRIGGER steps_recorded BEFORE UPDATE ON steps
WHEN OLD.finished_at IS NOT NULL OR OLD.superseded_at IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'a recorded outcome does not change')
    WHERE OLD.superseded_at IS NOT NULL OR NEW.superseded_at IS NULL
       OR (OLD.state, OLD.attempt, OLD.input, OLD.output, OLD.error, OLD.finished_at, OLD.run_id, OLD.key, OLD.seq,
           OLD.shared_id, OLD.said_by)
          IS NOT (NEW.state, NEW.attempt, NEW.input, NEW.output, NEW.error, NEW.finished_at, NEW.run_id, NEW.key, NEW.seq,
           NEW.shared_id, NEW.said_by);
END;

CREATE TRIGGER steps_input BEFORE UPDATE OF run_id, seq, key, name, kind, input, input_crc, input_hash, begun_at ON steps BEGIN
    SELECT RAISE(ABORT, 'the input of a step does not change');
END;

CREATE TRIGGER steps_kept BEFORE DELETE ON steps WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'pruning') BEGIN
    SELECT RAISE(ABORT, 'a step is not deleted');
END;

CREATE TRIGGER signals_recorded BEFORE UPDATE ON signals
WHEN OLD.taken_by IS NOT NULL
  OR (OLD.id, OLD.run_id, OLD.name, OLD.value, OLD.value_crc) IS NOT (NEW.id, NEW.run_id, NEW.name, NEW.value, NEW.value_crc) BEGIN
    SELECT RAISE(ABORT, 'a signal does not change, and is taken once');
END;

CREATE TRIGGER signals_kept BEFORE DELETE ON signals WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'pruning') BEGIN
    SELECT RAISE(ABORT, 'a signal is not deleted');
END;

CREATE TRIGGER attempts_recorded BEFORE UPDATE ON attempts BEGIN
    SELECT RAISE(ABORT, 'a recorded attempt does not change');
END;

CREATE TRIGGER attempts_kept BEFORE DELETE ON attempts WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'pruning') BEGIN
    SELECT RAISE(ABORT, 'an attempt is not deleted');
END;

CREATE TRIGGER events_recorded BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'the audit log does not change');
END;

CREATE TRIGGER events_kept BEFORE DELETE ON events WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'pruning') BEGIN
    SELECT RAISE(ABORT, 'the audit log does not change');
END;

CREATE TRIGGER payloads_recorded BEFORE UPDATE ON payloads BEGIN
    SELECT RAISE(ABORT, 'a recorded payload does not change');
END;

CREATE TRIGGER payloads_kept BEFORE DELETE ON payloads WHEN NOT EXISTS (SELECT 1 FROM meta WHERE key = 'pruning') BEGIN
    SELECT RAISE(ABORT, 'a payload is not deleted');
END;

CREATE TRIGGER sources_recorded BEFORE UPDATE ON sources BEGIN
    SELECT RAISE(ABORT, 'recorded source does not change');
END;

CREATE TRIGGER snapshots_recorded BEFORE UPDATE ON snapshots BEGIN
    SELECT RAISE(ABORT, 'a snapshot does not change');
END;
