"""The bench: a workflow under test, on the real engine, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flowctl.engine import commands
from flowctl.engine.checking import Checker
from flowctl.engine.histories import from_json
from flowctl.engine.interpreter import own_python
from flowctl.engine.loading import LoadedFile, load_file
from flowctl.engine.places import keep_variables
from flowctl.engine.supervisor import CodeTarget
from flowctl.sdk.codec import ANY
from flowctl.sdk.definition import Step, Workflow
from flowctl.sdk.durations import to_ms
from flowctl.store import Store
from flowctl.testing.clock import ForwardClock
from flowctl.testing.crashes import Crashed, CrashPoint, MortalEngine, points_of
from flowctl.testing.records import RecordedRun
from flowctl.testing.stubs import Stubs

LONGEST_MS = 366 * 86_400_000  # what `finish` lets pass at most


class Bench:
    """Runs workflows on the real engine and real executors, in a store of its own.

    Time passes only when the test says so: a run that waits is `sleeping`, or `waiting`, until `advance` or `finish`.
    The working directory of user code is `folder`; `environment` holds further variables for it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        self.environment: dict[str, str] = {}
        self.clock = ForwardClock()
        hidden = self.folder / ".flowctl"
        hidden.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = Store.open(hidden / "flowctl.db")
        self._stubs = Stubs()
        self._engine: MortalEngine | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every process and close the store."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.__exit__(None, None, None)
        self._stubs.close()
        self.store.close()

    # -- what a test asks for

    def stub(self, step: Step[Any, Any], answer: Callable[..., Any]) -> None:
        """Have a function of the test answer for a step: its result is recorded, what it raises makes an attempt fail.

        It runs in the test's own process, so it may be a lambda, a closure or a mock.
        """
        self._stubs.add(step, answer)
        self._stubs.tell(self.clock.ahead_ms)

    def run(self, workflow: Workflow[Any, Any], /, **input: Any) -> RecordedRun:
        """Run a workflow until it is final, or waits for something, and return what is recorded of it."""
        number = self._submit(workflow, input)
        self._drain()
        return RecordedRun(self.store, number)

    def advance(self, duration: Any) -> None:
        """Let so much time pass, and do what becomes due in it: a duration as `sleep` takes it."""
        self._pass_time(self.clock.now() + to_ms(duration))

    def finish(self) -> None:
        """Let time pass until no run waits for an instant. AssertionError when that takes more than a year."""
        limit = self.clock.now() + LONGEST_MS
        while (wake_at := self.store.runs.next_wake(self.clock.now())) is not None:
            if wake_at > limit:
                raise AssertionError("a run would still wait for an instant more than a year from now")
            self._pass_time(wake_at)

    def signal(self, run: RecordedRun, name: str, value: Any = None) -> None:
        """Send a signal to a run, and let it go on."""
        text = ANY.encode(value)
        commands.signal(self.store, run.number, self.clock.now(), name=name, value=text, sender="a test")
        self._drain()

    def retry(self, run: RecordedRun) -> None:
        """Retry a failed, cancelled or blocked run, with the code it has."""
        commands.retry(self.store, run.number, self.clock.now(), replay="pinned")
        self._drain()

    def cancel(self, run: RecordedRun) -> None:
        """Cancel a run and its children."""
        commands.cancel(self.store, run.number, self.clock.now())
        self._drain()

    def crash_points(self, workflow: Workflow[Any, Any], /, **input: Any) -> list[CrashPoint]:
        """Run a workflow to its end, and return every point at which `crash` can interrupt one like it."""
        run = self.run(workflow, **input)
        self.finish()
        if run.state != "succeeded":
            raise AssertionError(f"without any crash, {run.told}")
        return points_of(self.store.steps.of_run(run.number), workflow, input)

    def crash(self, point: CrashPoint) -> RecordedRun:
        """Run the workflow of a crash point anew, kill the engine and its executors there, let another one go on.

        Returns the run as it is once no run waits for an instant any more.
        """
        number = self._submit(point.workflow, point.input)
        engine = self._engine
        assert engine is not None
        engine.doom = (number, point)
        with suppress(Crashed):
            self._drain()
            self.finish()
            raise AssertionError(f"the run never came to the point {point}: {RecordedRun(self.store, number).told}")
        self._engine = None
        engine.die()
        self._drain()
        self.finish()
        return RecordedRun(self.store, number)

    def replay(self, workflow: Workflow[Any, Any], history: str | os.PathLike[str], /) -> None:
        """Replay a history that `flowctl show RUN --history` has exported; no body of a step runs.

        AssertionError, with the first step that the workflow does not ask for as it is recorded.
        """
        path = Path(history)
        recorded = from_json(path.read_text(encoding="utf-8"), path.name)
        verdict = Checker(self._load(workflow)).check(recorded)
        self._living().supervisor.retire(inf)  # the workflow function may stand in the middle
        if verdict.mismatch is not None:
            raise AssertionError(f"{verdict.name} {verdict.workflow}: {verdict.mismatch}")

    # -- parts

    def _pass_time(self, until: int) -> None:
        """Let time pass until that instant, and stop at each at which a run becomes due."""
        self._drain()
        while (wake_at := self.store.runs.next_wake(self.clock.now())) is not None and wake_at <= until:
            self._set_clock(wake_at)
            self._drain()
        self._set_clock(until)
        self._drain()

    def _set_clock(self, instant: int) -> None:
        self.clock.set_forward(instant)
        self._stubs.tell(self.clock.ahead_ms)

    def _submit(self, workflow: Workflow[Any, Any], input: dict[str, Any] | Any) -> int:
        """Create a run with the code that the file holds now, and return its number."""
        environment = keep_variables(self.store, self.environment) if self.environment else None
        loaded = self._load(workflow)
        found = loaded.choose(workflow.function.__name__)
        signature = workflow.signature
        bound = loaded.bind(found, {}, signature.encode(signature.bind((), input))[0])
        new = loaded.new_run(found, bound)._replace(environment=environment)
        return commands.submit(self.store, new, loaded.snapshot, self.clock.now())[0]

    def _load(self, workflow: Workflow[Any, Any]) -> LoadedFile:
        """Import the file of a workflow anew."""
        supervisor = self._living().supervisor
        supervisor.retire(inf)
        variables = tuple(sorted(self.environment.items()))
        return load_file(supervisor, CodeTarget(workflow.path, str(self.folder), own_python()[0], None, variables))

    def _living(self) -> MortalEngine:
        """Return the engine of the bench, started at its first use and after a crash."""
        if self._engine is None:
            engine = MortalEngine(self.store, self._stubs.supervisor(), clock=self.clock)
            engine.__enter__()
            self._engine = engine
        return self._engine

    def _drain(self) -> None:
        self._living().drain()
