"""The scripted executors say what a real one says: the same messages in the same order for the same workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowctl.engine.supervisor import CodeTarget
from flowctl.sdk.wire import Message
from tests.sdk.scripted_engine import ScriptedEngine
from tests.simulation.executors import ScriptedExecutor
from tests.simulation.imitation import Fate
from tests.simulation.programs import (
    Call,
    Caught,
    Child,
    Conduct,
    Draw,
    Gather,
    IfOdd,
    Loop,
    Operation,
    Program,
    Raise,
    Sleep,
    Statement,
    source,
)
from tests.simulation.stage import StillMachine

ADD = Call("add")
PURE = Call("look", {"pure": True})
RETRIED = Call("bad", {"retries": 2, "backoff_ms": 10})
CHILD = Program("child", {"priority": 3}, (ADD,))

WORKFLOWS: dict[str, tuple[Statement, ...]] = {
    "in a row": (ADD, Draw(), PURE, Loop(3, (ADD, PURE)), IfOdd((ADD,)), Call("once", {"on_crash": "block"})),
    "waits": (ADD, Sleep(3_600_000), Child("child"), Sleep(0), PURE),
    "failures": (Caught((RETRIED,)), Caught((Call("badly", {"pure": True}),)), ADD, RETRIED),
    "raises": (PURE, Raise()),
    "gather in a row": (Gather((ADD, PURE, Child("child")), 1), ADD),
    "gather one by one": (Gather((ADD, RETRIED, PURE), 1),),
    "gather of two": (Gather((ADD, Child("child")), 8), ADD),
    "gather with a failure": (Caught((Gather((RETRIED, Child("child")), 2),)), PURE, ADD),
    "gather of pure steps": (Gather((PURE, Call("peek", {"pure": True})), 1), Draw(), ADD),
}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_scripted_executor_says_what_a_real_one_says(name: str, tmp_path: Path) -> None:
    programs = [CHILD, Program("main", {}, WORKFLOWS[name])]
    said = said_by_real(programs, tmp_path)
    assert normal(said_by_scripted(programs, said)) == normal(said)
    assert "ended" == said[-1].kind


def said_by_real(programs: list[Program], folder: Path) -> list[Message]:
    with ScriptedEngine(folder) as engine:
        engine.run(source(programs), input={"n": 5})
        return conversation(engine.messages)


def said_by_scripted(programs: list[Program], like: list[Message]) -> list[Message]:
    """Have a scripted executor talk to an engine that answers as the one of the SDK's tests does."""
    draws = [
        int(json.loads(each.payload or "0") * 1000)
        for each in like
        if each.fields.get("key", "").startswith("random") and each.kind == "done"
    ]
    machine = Imitating(programs, {"random": [Fate(0.0, "returns", draw) for draw in draws]})
    said: list[Message] = []

    def answer(executor: ScriptedExecutor, messages: list[Message]) -> None:
        said.extend(messages)
        answers: list[Message] = []
        for message in messages:
            fields = message.fields
            if message.kind == "loaded":
                run = {"run": 1, "attempt": 1, "function": "main", "replay": "pinned", "serial": False}
                answers.append(Message("run", run, '{"n":5}'))
            elif message.kind == "step" and fields["kind"] == "step" and not fields.get("options", {}).get("pure"):
                answers.append(Message("go", {"key": fields["key"], "attempt": 1}))
            elif message.kind == "step" and fields["kind"] in ("sleep", "child"):
                answers.append(Message("outcome", {"key": fields["key"], "state": "succeeded"}, "null"))
            elif message.kind == "done" and fields["state"] == "failed":
                answers.append(Message("outcome", {"key": fields["key"], "state": "failed"}, message.payload))
        machine.agenda.after(0.0, lambda: executor.hear(answers))

    executor = ScriptedExecutor(machine, CodeTarget("", ""), "x.1", answer, lambda *_: None)
    executor.hear([Message("load", {"path": "", "pinned": False})])
    while machine.agenda.next_at() is not None:
        machine.agenda.advance()
    return conversation(said)


class Imitating(StillMachine):
    """A machine whose bodies do what those of `programs.source` do."""

    def fate(self, operation: Operation, n: int) -> Fate:
        if operation.kind == "value":
            return super().fate(operation, n)
        return Fate(0.0, "fails" if operation.name.startswith("bad") else "returns", n + 1)


def conversation(messages: list[Message]) -> list[Message]:
    """Return what was said about the run."""
    return [message for message in messages if message.kind in ("step", "done", "ended")]


def normal(messages: list[Message]) -> list[Any]:
    """Return messages without what differs between two machines: source hashes, paths, tracebacks, random numbers."""
    return [(message.kind, _fields(message.fields), _payload(message)) for message in messages]


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    left = {name: value for name, value in fields.items() if name != "path"}
    if "source" in left:
        left["source"] = bool(left["source"])
    return left


def _payload(message: Message) -> Any:
    value = json.loads(message.payload or "null")
    if isinstance(value, float):
        return int(value * 1000)
    return value["type"] if isinstance(value, dict) and "traceback" in value else value


def test_conduct_is_not_part_of_what_a_workflow_file_says() -> None:
    quick, slow = Call("s1", {}, Conduct()), Call("s1", {}, Conduct(1.0, 2.0))
    assert source([Program("w", {}, (quick,))]) == source([Program("w", {}, (slow,))])
