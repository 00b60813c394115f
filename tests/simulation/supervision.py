"""A scripted supervisor: the verbs of flowctl.engine.supervisor.Supervisor over executors that no system runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from flowctl.core.errors import UsageError
from flowctl.engine.supervisor import CodeTarget, Event, Executor, Gone, Output, Received, Supervisor
from flowctl.sdk.wire import WIRE_VERSION, FrameReader, Message, encode_frame
from tests.simulation.executors import ScriptedExecutor
from tests.simulation.ledger import Broken

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class ScriptedSupervisor(Supervisor):
    """Starts and ends scripted executors, and carries what they and their engine say, each after a while.

    `reach` is called at each place where the engine's process may die, `heard` when there is something to poll,
    `sent` with every message of the engine.
    """

    def __init__(self, machine: Machine, token: str, reach: Callable[[str], None], heard: Callable[[], None]) -> None:
        self.token = token
        self._machine = machine
        self._reach = reach
        self._heard = heard
        self._living: list[ScriptedExecutor] = []
        self._events: list[Event] = []
        self._last_arrival: dict[tuple[str, str], float] = {}  # by marker and direction
        self._started = 0

    # -- the verbs of an engine ----------------------------------------------------------------------------------------

    def start(self, target: CodeTarget) -> Executor:
        """Start an executor and greet it."""
        self._reach("start")
        if self._machine.chance(self._machine.rates.no_interpreter):
            raise UsageError("cannot start Python", "give another interpreter with --python")
        self._started += 1
        marker = f"{self.token}.{self._started}"
        self._machine.note(f"executor {marker} starts")
        executor = ScriptedExecutor(self._machine, target, marker, self._say, self._closed)
        self._living.append(executor)
        self._machine.executors.append(executor)
        self.send(executor, [Message("welcome", {"wire": WIRE_VERSION, "payload_limit": 10 << 20})])
        return executor

    def take(self, target: CodeTarget, loaded: tuple[str, str], *, fresh: bool = False) -> Executor | None:
        """Return an idle executor for that target and code, or None; one that has run nothing yet, if `fresh`."""
        for executor in self._living:
            free = executor.session is None and not (fresh and executor.used)
            if free and executor.target == target and executor.loaded == loaded:
                return executor
        return None

    def send(self, executor: Executor, messages: Iterable[Message]) -> None:
        """Send the messages as one frame."""
        assert isinstance(executor, ScriptedExecutor)
        self._reach("send")
        frame = _carried(messages)
        for message in frame:
            self._machine.note(f"to {executor.marker}: {told(message)}")
            self._machine.sent(executor, message)
        if executor in self._living:
            self._machine.agenda.after(self._travel(executor, "to"), partial(executor.hear, frame))

    def poll(self, timeout: float) -> list[Event]:
        """Return what happened; the machine lets the time pass."""
        events, self._events = self._events, []
        return events

    def terminate(self, executor: Executor) -> None:
        """Send SIGTERM."""
        assert isinstance(executor, ScriptedExecutor)
        self._reach("terminate")
        self._machine.note(f"terminate {executor.marker}")
        self._machine.agenda.after(self._machine.latency(), executor.terminate)  # a signal overtakes messages

    def kill(self, executor: Executor, *, tree: bool = True) -> None:
        """Kill the executor. What it said and nobody has polled is lost."""
        assert isinstance(executor, ScriptedExecutor)
        self._reach("kill")
        self._bury_scripted(executor)

    def disown(self, executor: Executor, reason: str) -> list[Event]:
        """Refuse: no scripted executor says what makes no sense."""
        raise Broken(f"the engine does not understand {executor.marker}: it {reason}")

    def close(self) -> None:
        """Kill every executor."""
        for executor in list(self._living):
            self._bury_scripted(executor)

    def _bury_scripted(self, executor: ScriptedExecutor) -> None:
        if executor in self._living:
            self._living.remove(executor)
            self._events = [event for event in self._events if event.executor is not executor]
        if executor.alive:
            self._machine.note(f"kill {executor.marker}")
            executor.end()

    # -- what happens to it --------------------------------------------------------------------------------------------

    def abandon(self) -> list[ScriptedExecutor]:
        """Be gone with the engine's process; return the executors that it leaves."""
        left, self._living = self._living, []
        return left

    def print(self, executor: ScriptedExecutor, data: bytes) -> None:
        """Have bytes come out of an executor."""
        self._arrive(executor, [Output(executor, "stdout", data)])

    def _say(self, executor: ScriptedExecutor, messages: list[Message]) -> None:
        events: list[Event] = [Received(executor, message) for message in _carried(messages)]
        for message in messages:
            self._machine.note(f"{executor.marker} says: {told(message)}")
        self._later(executor, events)

    def _closed(self, executor: ScriptedExecutor, reason: str) -> None:
        self._later(executor, [Gone(executor, reason)])

    def _later(self, executor: ScriptedExecutor, events: list[Event]) -> None:
        self._machine.agenda.after(self._travel(executor, "from"), partial(self._arrive, executor, events))

    def _travel(self, executor: ScriptedExecutor, way: str) -> float:
        """Return how many seconds a frame is on its way. None overtakes another."""
        now = self._machine.clock.seconds
        at = max(now + self._machine.latency(), self._last_arrival.get((executor.marker, way), 0.0))
        self._last_arrival[executor.marker, way] = at
        return at - now

    def _arrive(self, executor: ScriptedExecutor, events: list[Event]) -> None:
        if executor not in self._living:
            return
        if any(isinstance(event, Gone) for event in events):
            self._living.remove(executor)
        self._events += events
        self._heard()


def _carried(messages: Iterable[Message]) -> list[Message]:
    """Return messages as they come out at the other end of the wire."""
    return FrameReader("token").feed(encode_frame("token", messages))


def told(message: Message) -> str:
    """Return a message as the trace shows it."""
    shown = (
        "seq",
        "key",
        "kind",
        "attempt",
        "state",
        "function",
        "run",
        "retry",
        "leftovers",
        "what",
        "expected",
        "serial",
    )
    fields = {name: message.fields[name] for name in shown if name in message.fields}
    words = [f"{name}={value}" for name, value in fields.items()]
    payload = "" if message.payload is None or len(message.payload) > 80 else message.payload
    return " ".join([message.kind, *words, payload])
