"""Real files in a temporary folder, and real processes that race for them."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from flowctl.core.model import Claim, NewEngine, NewRun, NewStep, Run, Snapshot, Step, code_of
from flowctl.store import Store
from flowctl.store.runs import Reach, Runs

SOURCE = {"/flows/digest.py": "def digest(): ...\n"}
SNAPSHOT = Snapshot(code_of("/flows/digest.py", SOURCE), "/flows/digest.py", SOURCE)
HASH = b"h" * 16


def new_run(**fields: Any) -> NewRun:
    """Return what creates a run, of which the test names what matters to it."""
    usual: dict[str, Any] = {
        "workflow": "digest",
        "path": SNAPSHOT.path,
        "function": "digest",
        "code": SNAPSHOT.code,
        "directory": "/work",
        "input": '{"top":5}',
        "input_hash": HASH,
    }
    return NewRun(**(usual | fields))


class Scene:
    """A store with verbs, each in a transaction of its own, at an instant that only moves when told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_000_000
        with store.transaction():
            store.snapshots.put(SNAPSHOT, self.now)

    def submit(self, **fields: Any) -> int:
        with self.store.transaction():
            return self.store.runs.create(new_run(**fields), self.now)[0]

    def engine(self) -> int:
        with self.store.transaction():
            token = f"token-{self.store.connection.value('SELECT count(*) FROM engines')}"
            return self.store.engines.start(NewEngine(token, "foreground", os.getpid(), "boot"), self.now)

    @property
    def engine_id(self) -> int:
        """Return an engine, the first one if there is any."""
        with self.store.reading():
            found = self.store.engines.running()
        return found[0].id if found else 1

    def claim(self, run_id: int) -> Claim:
        engine = self.engine()
        with self.store.transaction():
            run = self.store.runs.claim(run_id, engine, self.now)
        assert run is not None
        return Claim(run.id, run.epoch)

    def held(self, **fields: Any) -> Claim:
        return self.claim(self.submit(**fields))

    def begin(self, claim: Claim, key: str, seq: int, **fields: Any) -> Step:
        with self.store.transaction():
            return self.store.steps.begin(claim, new_step(key, seq, **fields), self.now)

    def succeed(self, claim: Claim, key: str, output: str = "1") -> None:
        with self.store.transaction():
            self.store.steps.succeed(claim, key, output, self.now)

    def fail(self, claim: Claim, key: str, message: str = "no") -> None:
        with self.store.transaction():
            self.store.steps.fail(claim, key, error(message), self.now)

    def finish(self, claim: Claim, state: Any = "succeeded", **fields: Any) -> Run:
        usual: dict[str, Any] = {"succeeded": {"output": '"done"'}, "failed": {"error": error()}, "cancelled": {}}[
            state
        ]
        with self.store.transaction():
            self.store.runs.finish(claim, self.now, state, **(usual | fields))
        return self.store.runs.get(claim.run_id)

    def release(self, claim: Claim, state: Any, **fields: Any) -> Run:
        with self.store.transaction():
            self.store.runs.release(claim, self.now, state, **fields)
        return self.store.runs.get(claim.run_id)

    def write(self, action: Callable[[], Any]) -> Any:
        with self.store.transaction():
            return action()

    def states(self, run_id: int) -> dict[str, str]:
        return {step.key: step.state for step in self.store.steps.of_run(run_id)}


def new_step(key: str, seq: int, **fields: Any) -> NewStep:
    usual: dict[str, Any] = {"name": key.split("#")[0], "kind": "step", "input": '{"n":1}', "input_hash": HASH}
    return NewStep(seq=seq, key=key, **(usual | fields))


def error(message: str = "no") -> str:
    return json.dumps({"type": "ValueError", "message": message, "traceback": ""})


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    tables = [
        name for (name,) in store.connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    ]
    return {name: sorted(store.connection.rows(f"SELECT * FROM {name}"), key=repr) for name in tables}


class Children:
    """Processes of their own. The test has no store open while they run: a fork with one open may write through it."""

    def run(self, action: Callable[[], Any]) -> Any:
        """Run something in a child and return its result, or the signal that ended it as a negative number."""
        return self.race([action])[0]

    def race(self, actions: list[Callable[[], Any]]) -> list[Any]:
        """Run all at the same moment, each in a child, and return their results."""
        start_read, start_write = os.pipe()
        started = [self._start(action, start_read, start_write) for action in actions]
        os.close(start_read)
        os.close(start_write)  # the end of file starts them all
        return [self._result(*child) for child in started]

    def _start(self, action: Callable[[], Any], start_read: int, start_write: int) -> tuple[int, int]:
        result_read, result_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(100)
                os.close(start_write)
                os.read(start_read, 1)
                answer = {"result": action()}
            except BaseException:  # noqa: BLE001 - the parent raises it
                answer = {"error": traceback.format_exc()}
            os.write(result_write, json.dumps(answer).encode())
            os._exit(0)
        os.close(result_write)
        return pid, result_read

    def _result(self, pid: int, result_read: int) -> Any:
        with open(result_read, "rb") as pipe:
            text = pipe.read()
        _, state = os.waitpid(pid, 0)
        if os.WIFSIGNALED(state):
            return -os.WTERMSIG(state)
        answer = json.loads(text)
        assert "error" not in answer, answer["error"]
        return answer["result"]


def claimable(runs: Runs, now: int, *, root_id: int | None = None, limit: int) -> list[int]:
    """Return the runs that an engine without labels may take, or those of a family that engine 1 has reserved."""
    return [run.id for run in runs.claimable(now, Reach(1, root_id=root_id), limit=limit)]
