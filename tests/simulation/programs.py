"""Workflows that a seed makes up: data, which is executed step by step, or written as a Python file.

A program computes with one number, `n`: every outcome goes into it, so that a lost, doubled or altered outcome shows
in what the workflow asks next, and in what it returns.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

PATH = "/flows/simulated.py"
MODULUS = 1009

Waiting = Generator[Any, Any, Any]  # what a caller waits for is its own business


@dataclass(frozen=True, slots=True)
class Conduct:
    """How the bodies of a step behave: how long they take, in seconds, and how often they do not just return."""

    shortest: float = 0.001
    longest: float = 0.02
    fails: float = 0.0
    gives_up: float = 0.0  # of the failures: those that rule out another attempt
    asks_delay: float = 0.0  # of the failures: RetryAfter
    dies: float = 0.0
    hangs: float = 0.0
    prints: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a step. `options` are those of the wire, in its units."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    conduct: Conduct = Conduct()
    kind = "step"


@dataclass(frozen=True, slots=True)
class Draw:
    """A recorded random number."""

    name = "random"
    kind = "value"


@dataclass(frozen=True, slots=True)
class Sleep:
    """A durable wait."""

    ms: int
    name = "sleep"
    kind = "sleep"


@dataclass(frozen=True, slots=True)
class Child:
    """A call of another workflow."""

    name: str
    kind = "child"


@dataclass(frozen=True, slots=True)
class Gather:
    """Several operations at once."""

    branches: tuple[Call | Child, ...]
    concurrency: int


@dataclass(frozen=True, slots=True)
class Loop:
    """The same a few times over."""

    times: int
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Caught:
    """Something whose failure does not matter."""

    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class IfOdd:
    """Something that is done or not, as the number says."""

    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Raise:
    """The workflow function raises."""


Operation = Call | Draw | Sleep | Child
Statement = Operation | Gather | Loop | Caught | IfOdd | Raise


def runs_unasked(operation: Operation) -> bool:
    """Tell whether its body may run before the engine has heard of it."""
    return operation.kind == "value" or (isinstance(operation, Call) and "pure" in operation.options)


class StepFailure(Exception):
    """The operation with this key has failed for good."""

    def __init__(self, *keys: str) -> None:
        super().__init__(*keys)
        self.keys = keys


class Raised(Exception):
    """What the workflow function raises by itself."""


class Caller(Protocol):
    """What performs the operations of a program."""

    def call(self, operation: Operation, n: int) -> Waiting:
        """Return the outcome of an operation as a number. Raises StepFailure."""

    def gather(self, operations: Sequence[Call | Child], n: int, concurrency: int) -> Waiting:
        """Return the outcomes of operations as numbers, in order. Raises StepFailure."""


@dataclass(frozen=True, slots=True)
class Program:
    """A workflow: its name, the options that its runs have, and what it does."""

    name: str
    options: dict[str, Any]
    body: tuple[Statement, ...]

    def execute(self, n: int, caller: Caller) -> Waiting:
        """Do what the workflow does and return its output."""
        state = _State(n)
        yield from _execute(self.body, state, caller)
        return state.n


class _State:
    def __init__(self, n: int) -> None:
        self.n = n

    def mix(self, value: int) -> None:
        self.n = (31 * self.n + value) % MODULUS


def _execute(body: Sequence[Statement], state: _State, caller: Caller) -> Waiting:
    for statement in body:
        match statement:
            case Sleep():
                yield from caller.call(statement, state.n)
            case Call() | Draw() | Child():
                state.mix((yield from caller.call(statement, state.n)))
            case Gather():
                for value in (yield from caller.gather(statement.branches, state.n, statement.concurrency)):
                    state.mix(value)
            case Loop():
                for _ in range(statement.times):
                    yield from _execute(statement.body, state, caller)
            case Caught():
                try:
                    yield from _execute(statement.body, state, caller)
                except StepFailure:
                    state.mix(7)
            case IfOdd():
                if state.n % 2:
                    yield from _execute(statement.body, state, caller)
            case Raise():
                raise Raised


# -- as a file -------------------------------------------------------------------------------------------------------

_HEAD = f"""\
from flowctl import StepFailed, gather, random, sleep, step, workflow

def mix(n, value):
    return (31 * n + (value or 0)) % {MODULUS}
"""
_AUTHORS = {"backoff_ms": "backoff", "max_backoff_ms": "max_backoff", "timeout_ms": "timeout"}


def source(programs: Sequence[Program]) -> str:
    """Return a workflow file that does what the programs do. Its steps return n + 1; those called bad… raise."""
    steps = {call.name: call for program in programs for call in calls_of(program.body)}
    parts = [_HEAD]
    for call in steps.values():
        does = "raise ValueError(n)" if call.name.startswith("bad") else "return n + 1"
        parts.append(f"@step({_arguments(call.options)})\ndef {call.name}(n: int) -> int:\n    {does}\n")
    for program in programs:
        lines = [*_lines(program.body), "return n"]
        body = "\n".join(f"    {line}" for line in lines)
        parts.append(f"@workflow({_arguments(program.options)})\ndef {program.name}(n: int) -> int:\n{body}\n")
    return "\n".join(parts)


def _arguments(options: dict[str, Any]) -> str:
    """Return options as an author writes them: durations in seconds."""
    shown = {
        _AUTHORS.get(name, name): value / 1000 if name.endswith("_ms") else value for name, value in options.items()
    }
    return ", ".join(f"{name}={value!r}" for name, value in shown.items())


def _lines(body: Sequence[Statement]) -> list[str]:
    lines: list[str] = []
    for statement in body:
        match statement:
            case Sleep():
                lines.append(f"sleep({statement.ms / 1000})")
            case Draw():
                lines.append("n = mix(n, int(random() * 1000))")
            case Call() | Child():
                lines.append(f"n = mix(n, {statement.name}(n))")
            case Gather():
                bound = ", ".join(f"{branch.name}.bind(n)" for branch in statement.branches)
                lines.append(f"for value in gather({bound}, concurrency={statement.concurrency}):")
                lines.append("    n = mix(n, value)")
            case Loop():
                lines += [f"for _ in range({statement.times}):", *_indented(statement.body)]
            case Caught():
                lines += ["try:", *_indented(statement.body), "except StepFailed:", "    n = mix(n, 7)"]
            case IfOdd():
                lines += ["if n % 2:", *_indented(statement.body)]
            case Raise():
                lines.append("raise RuntimeError")
    return lines


def _indented(body: Sequence[Statement]) -> list[str]:
    return [f"    {line}" for line in _lines(body) or ["pass"]]


def calls_of(body: Sequence[Statement]) -> list[Call]:
    found: list[Call] = []
    for statement in body:
        match statement:
            case Call():
                found.append(statement)
            case Gather():
                found += [branch for branch in statement.branches if isinstance(branch, Call)]
            case Loop() | Caught() | IfOdd():
                found += calls_of(statement.body)
    return found


# -- made up ---------------------------------------------------------------------------------------------------------


class Author:
    """Makes up workflows. Children are always workflows that were made up before."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._names: list[str] = []
        self._steps = 0
        # What this author likes; half of the seeds do without each.
        self._trouble = random.choice((0.0, 0.15, 0.4))
        self._death = random.choice((0.0, 0.05))
        self._hang = random.choice((0.0, 0.03))
        self._long = random.random() < 0.4
        self._family = random.random() < 0.7
        self._limits = random.random() < 0.5

    def programs(self, count: int) -> list[Program]:
        """Return so many workflows; the last ones may have children, which may have children."""
        programs: list[Program] = []
        for number in range(1, count + 1):
            body = self._body(self._random.randint(1, 5), depth=0)
            programs.append(Program(f"w{number}", self._options(programs), body))
            self._names.append(f"w{number}")
        return programs

    def _options(self, earlier: Sequence[Program]) -> dict[str, Any]:
        random, options = self._random, dict[str, Any]()
        if random.random() < 0.2:
            options["attempts"] = random.randint(2, 3)
        if self._limits and random.random() < 0.3:
            options["timeout_ms"] = random.choice((300, 2_000, 60_000, 7_200_000))
        if random.random() < 0.1:
            options["isolation"] = "process"
        if random.random() < 0.2:
            options["priority"] = random.randint(-2, 5)
        if earlier and random.random() < 0.15:
            handler = random.choice(earlier).name
            options["on_failure"] = {"path": PATH, "function": handler, "workflow": handler, "parameter": "n"}
        return options

    def _body(self, length: int, depth: int) -> tuple[Statement, ...]:
        return tuple(self._statement(depth) for _ in range(length))

    def _statement(self, depth: int) -> Statement:
        random, kind = self._random, self._random.random()
        if kind < 0.1:
            return Sleep(self._sleep_ms())
        if kind < 0.15:
            return Draw()
        if kind < 0.3 and self._names and self._family:
            return Child(random.choice(self._names))
        if kind < 0.45:
            branches = tuple(self._branch() for _ in range(random.randint(2, 4)))
            return Gather(branches, random.choice((1, 2, 8)))
        if kind < 0.65 and depth < 2:
            body = self._body(random.randint(1, 2), depth + 1)
            return random.choice((Loop(random.randint(1, 3), body), Caught(body), Caught(body), IfOdd(body)))
        if kind < 0.67:
            return Raise()
        return self._call()

    def _branch(self) -> Call | Child:
        if self._names and self._family and self._random.random() < 0.5:
            return Child(self._random.choice(self._names))
        return self._call()

    def _sleep_ms(self) -> int:
        day = 86_400_000
        return self._random.choice((0, 40, 450, 499, 500, 501, 650, 5_000, 600_000, 7_200_000, 2 * day, 90 * day))

    def _call(self) -> Call:
        random = self._random
        self._steps += 1
        options: dict[str, Any] = {}
        if random.random() < 0.5:
            options["retries"] = random.randint(1, 3)
        if random.random() < 0.4:
            options["backoff_ms"] = random.choice((10, 400, 5_000))
        if self._limits and random.random() < 0.4:
            options["timeout_ms"] = random.choice((50, 50, 700, 30_000))
        if self._limits and random.random() < 0.15:
            options["total_timeout_ms"] = random.choice((100, 2_000, 60_000))
        if random.random() < 0.2:
            options["on_crash"] = "block"
        if random.random() < 0.3:
            options["pure"] = True
        return Call(f"s{self._steps}", options, self._conduct())

    def _conduct(self) -> Conduct:
        random = self._random
        spans = [(0.0, 0.0), (0.001, 0.02), (0.2, 0.8), (0.4, 0.6), (1.0, 30.0)]
        if self._long:
            spans += [(60.0, 3_600.0), (3_600.0, 3 * 3_600.0)]
        shortest, longest = random.choice(spans)
        fails = self._trouble if random.random() < 0.6 else 0.0
        dies = self._death if random.random() < 0.5 else 0.0
        return Conduct(shortest, longest, fails, 0.1, 0.2, dies, self._hang, random.choice((0.0, 0.0, 0.5)))
