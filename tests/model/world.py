"""The real thing under the same operations as the model: a store in a folder of its own, commands, and engine locks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flowctl.core.errors import ClaimLost, NotFound
from flowctl.core.model import FINAL_STATES, Claim, NewEngine, NewRun, NewStep, Run, Said, Snapshot, Step
from flowctl.engine import closing, commands, forks, recovery, resolving
from flowctl.engine.claim import EngineLock
from flowctl.sdk import processes
from flowctl.store import Store, payloads
from tests.model.model import reason_of
from tests.model.tables import BY, CRASH_LIMIT, SPILL_BYTES, Row

TABLES = {
    "runs": "id",
    "steps": "id",
    "attempts": "run_id, key, attempt",
    "events": "id",
    "engines": "id",
    "logs": "id",
    "signals": "id",
    "payloads": "text",
    "snapshots": "code",
    "sources": "text",
    "workflows": "id",
}
SERIAL = ("steps", "events", "logs", "signals")  # their numbers only order them
DERIVED = {
    "input_crc",
    "output_crc",
    "error_crc",
    "value_crc",
    "hash",
}  # `flowctl db check` compares them with what they are of
JSON = {"options", "tags", "failed_steps", "files"}
PAYLOADS = {"input", "output", "error"}


class World:
    """One database file and the engines that hold locks beside it."""

    def __init__(self, folder: str, now: int, boot: str) -> None:
        self.now = now
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.path = self.folder / "flow.db"
        self._locks: dict[int, EngineLock] = {}
        self._killed: dict[str, int] = {}
        self._patches = ExitStack()
        self._patches.enter_context(patch.object(recovery, "CRASH_LIMIT", CRASH_LIMIT))
        self._patches.enter_context(patch.object(payloads, "SPILL_BYTES", SPILL_BYTES))
        self._patches.enter_context(patch.object(processes, "kill_engine", self._kill_engine))
        self._patches.enter_context(patch.dict(os.environ, FLOWCTL_TESTING="1", FLOWCTL_BOOT_ID=boot))
        self._last: dict[str, list[Row]] = {}
        self._seen: dict[tuple[str, tuple[Any, ...]], Row] = {}
        self._count = -1  # of changed rows, when they were read last
        self._open(self.path)
        self._columns = {
            table: [row[1] for row in self.store.connection.rows(f"PRAGMA table_info({table})")] for table in TABLES
        }

    def close(self) -> None:
        """Let go of everything."""
        self.store.close()
        for number in list(self._locks):
            self.crash_engine(number)
        self._patches.close()
        shutil.rmtree(self.folder)

    def tables(self, *, anew: bool = False) -> dict[str, list[Row]]:
        """Return every row of every table, without what only SQLite and the checksums need.

        What was read last is returned again when SQLite has counted no changed row since, unless asked to read `anew`.
        """
        count = self.store.connection.raw.total_changes()
        if anew or count != self._count:
            with self.store.reading():
                self._last = {table: self._rows(table, order) for table, order in TABLES.items()}
            self._count = count
        return self._last

    def _rows(self, table: str, order: str) -> list[Row]:
        found = self.store.connection.rows(f"SELECT * FROM {table} ORDER BY {order}")
        return [self._seen.get((table, row)) or self._see(table, row) for row in found]

    def _see(self, table: str, row: tuple[Any, ...]) -> Row:
        """Return a row as the model has it, and remember it: most rows of most snapshots were in the one before."""
        without = DERIVED | {"id"} if table in SERIAL else DERIVED
        values = zip(self._columns[table], row, strict=True)
        made = {name: self._value(name, value) for name, value in values if name not in without}
        self._seen[table, row] = made
        return made

    def _value(self, name: str, value: Any) -> Any:
        if name in JSON:
            return json.loads(value)
        return self.store.payloads.unpack_optional(value) if name in PAYLOADS else value

    def holds(self, claim: Claim) -> bool:
        """Tell whether a claim is the one that counts."""
        try:
            self.store.steps.require(claim)
        except ClaimLost:
            return False
        return True

    # -- the file

    def reopen(self) -> None:
        """Close the file and open it again, which finds nothing to migrate."""
        self.store.close()
        self._open(self.path)

    def restore(self) -> None:
        """Take a backup while the file is in use, and go on with the backup."""
        copy = self.folder / "copy.db"
        self.store.backup(copy)
        self.store.close()
        for name in ("flow.db-wal", "flow.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        copy.replace(self.path)
        self._open(self.path)

    def _open(self, path: Path) -> None:
        self.store = Store.open(path)
        self._count = -1
        self.store.connection.rows("PRAGMA synchronous = OFF")  # the machine does not lose its power here

    # -- engines

    def start_engine(self, token: str, pid: int, labels: tuple[str, ...]) -> int:
        lock = EngineLock(self.store.path, token)
        with self.store.transaction():
            number = self.store.engines.start(
                NewEngine(token, "foreground", pid, os.environ["FLOWCTL_BOOT_ID"], labels), self.now
            )
        self._locks[number] = lock
        return number

    def stop_engine(self, engine: int) -> None:
        recovery.retire(self.store, engine, self.now)
        self._locks.pop(engine).release()

    def crash_engine(self, engine: int) -> None:
        os.close(self._locks.pop(engine)._fd)  # as the kernel does for a process that was killed

    def reboot(self, boot: str) -> None:
        for number in list(self._locks):
            self.crash_engine(number)
        os.environ["FLOWCTL_BOOT_ID"] = boot

    def recover(self) -> dict[int, int]:
        return self._killing(lambda: recovery.recover_store(self.store, self.now))

    def _killing(self, action: Callable[[], object]) -> dict[int, int]:
        self._killed.clear()
        action()
        tokens: dict[str, int] = dict(self.store.connection.rows("SELECT token, id FROM engines"))
        return {tokens[token]: held for token, held in self._killed.items()}

    def _kill_engine(self, token: str) -> list[int]:
        """Stand in for the end of an engine's processes: note how many runs it has at that moment."""
        held = "SELECT count(*) FROM runs JOIN engines ON engines.id = engine_id WHERE token = :token"
        self._killed.setdefault(token, int(self.store.connection.value(held, {"token": token})))
        return []

    # -- commands

    def submit(self, new: NewRun, snapshot: Snapshot) -> tuple[int, bool]:
        return commands.submit(self.store, new, snapshot, self.now)

    def cancel(self, run: int) -> Row:
        return _run(commands.cancel(self.store, run, self.now))

    def pause(self, run: int) -> Row:
        return _run(commands.pause(self.store, run, self.now))

    def resume(self, run: int) -> Row:
        return _run(commands.resume(self.store, run, self.now))

    def reserve(self, run: int, engine: int) -> None:
        commands.reserve(self.store, run, engine, self.now)

    def steal(self, run: int) -> dict[int, int]:
        return self._killing(lambda: commands.steal(self.store, run, self.now))

    def retry(self, run: int, replay: Any, snapshot: Snapshot | None, from_step: str | None) -> Row:
        return _run(commands.retry(self.store, run, self.now, replay=replay, snapshot=snapshot, from_step=from_step))

    def rerun(self, run: int, snapshot: Snapshot | None) -> int:
        return commands.rerun(self.store, run, self.now, snapshot)

    def fork(self, run: int, key: str | None, output: str | None, snapshot: Snapshot | None) -> int:
        self.store.runs.get(run)
        step = None if key is None else self._step(run, key, replaced=False)
        how = forks.Fork(BY, step, snapshot, output=output if step is not None else None)
        return forks.fork(self.store, run, self.now, how)

    def resolve(self, run: int, key: str, output: str | None, snapshot: Snapshot | None) -> Row:
        said = None if output is None else Said(BY, output)
        how = resolving.Resolution(BY, said, "newest" if snapshot else "pinned", snapshot)
        return _run(resolving.resolve(self.store, run, self._step(run, key, replaced=True), how, self.now))

    def _step(self, run: int, key: str, *, replaced: bool) -> Step:
        found = self.store.steps.get(run, key)
        if found is None and replaced:
            found = next((step for step in self.store.steps.replaced(run) if step.key == key), None)
        if found is None:
            raise NotFound("no such step")
        return found

    # -- claims

    def claim(self, run: int, engine: int) -> Row | None:
        found = self._write(lambda: self.store.runs.claim(run, engine, self.now))
        return None if found is None else _run(found)

    def release(self, claim: Claim, state: Any, reason: str | None, wake_at: int | None) -> None:
        self._write(lambda: self.store.runs.release(claim, self.now, state, reason=reason, wake_at=wake_at))

    def finish(self, claim: Claim, state: Any, outcome: str | None, failed: list[str]) -> None:
        """Do in one transaction what an engine does when a run ends."""
        with self.store.transaction():
            if state != "succeeded":
                self.store.steps.cancel(claim, self.now)
                below = recovery.with_children(self.store, claim.run_id)[1:]
                recovery.cancel_all(self.store, below, self.now)
            self._end(claim, state, outcome, failed)
            run = self.store.runs.get(claim.run_id)
            if run.parent_id is not None:
                self.store.runs.wake(run.parent_id, self.now)
            if state == "failed" and "on_failure" in run.options:
                self.store.runs.create(closing.failure_handler(run, run.error or ""), self.now)

    def fail_and_retry(self, claim: Claim, error: str, failed: list[str], wake_at: int) -> None:
        with self.store.transaction():
            self.store.steps.cancel(claim, self.now)
            self._end(claim, "failed", error, failed)
            self.store.runs.retry(claim.run_id, self.now, replay="pinned", wake_at=wake_at)

    def _end(self, claim: Claim, state: Any, outcome: str | None, failed: list[str]) -> None:
        field = {"succeeded": "output", "failed": "error"}.get(state)
        fields = {} if field is None else {field: outcome}
        reason = reason_of(state, outcome)
        self.store.runs.finish(claim, self.now, state, failed_steps=failed, reason=reason, **fields)

    def take_back_code(self, claim: Claim) -> None:
        self._write(lambda: self.store.runs.take_back_code(claim, self.now))

    def orphan(self, claim: Claim, state: Any, reason: str | None) -> bool:
        return bool(self._write(lambda: self.store.runs.orphan(claim.run_id, claim.epoch, self.now, state, reason)))

    def wake(self, run: int) -> bool:
        return bool(self._write(lambda: self.store.runs.wake(run, self.now)))

    def wake_after(self) -> int:
        return int(self._write(lambda: self.store.runs.wake_after(self.now)))

    # -- steps

    def begin(self, claim: Claim, new: NewStep) -> Row:
        step: Step = self._write(lambda: self.store.steps.begin(claim, new, self.now))
        return {name: getattr(step, name) for name in Step.__annotations__ if name != "id"}

    def start_attempt(self, claim: Claim, key: str) -> int:
        return int(self._write(lambda: self.store.steps.start_attempt(claim, key, self.now)))

    def succeed(self, claim: Claim, key: str, output: str) -> None:
        self._write(lambda: self.store.steps.succeed(claim, key, output, self.now))

    def fail(self, claim: Claim, key: str, error: str) -> None:
        self._write(lambda: self.store.steps.fail(claim, key, error, self.now))

    def fail_attempt(self, claim: Claim, key: str, error: str, wake_at: int) -> None:
        self._write(lambda: self.store.steps.fail_attempt(claim, key, error, wake_at, self.now))

    def interrupt(self, claim: Claim, keys: list[str] | None) -> None:
        self._write(lambda: self.store.steps.interrupt(claim, self.now, keys))

    def cancel_steps(self, claim: Claim) -> None:
        self._write(lambda: self.store.steps.cancel(claim, self.now))

    def begin_child(self, claim: Claim, step: NewStep, child: NewRun) -> int:
        """Do in one transaction what an engine does when a step calls another workflow."""
        with self.store.transaction():
            self.store.steps.begin(claim, step, self.now)
            found = self.store.runs.child_of(claim.run_id, step.key)
            if found is None:
                return self.store.runs.create(child, self.now)[0]
            if found.state in FINAL_STATES - {"succeeded"}:
                self.store.runs.retry(found.id, self.now, replay="pinned")
            return found.id

    # -- signals

    def send_signal(self, run: int, name: str, value: str) -> int:
        return commands.signal(self.store, run, self.now, name=name, value=value, sender=BY)

    def take_signal(self, claim: Claim, key: str, name: str) -> bool:
        """Do in one transaction what an engine does for a step that waits for a signal."""
        with self.store.transaction():
            signal = self.store.signals.oldest(claim.run_id, name)
            if signal is None:
                return False
            self.store.signals.take(claim, signal, key, self.now)
            self.store.steps.succeed(claim, key, signal.value, self.now)
            return True

    def log(self, claim: Claim, step: str | None, text: str) -> None:
        self._write(lambda: self.store.logs.append(claim.run_id, step, None, self.now, "stdout", None, text))

    def _write(self, action: Callable[[], Any]) -> Any:
        with self.store.transaction():
            return action()


def _run(run: Run) -> Row:
    return {name: getattr(run, name) for name in Run.__annotations__}
