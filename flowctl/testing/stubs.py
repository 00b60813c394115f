"""The test's side of steps that it answers: their bodies run here, in the test's own process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from flowctl.core.errors import UsageError
from flowctl.engine.supervisor import Supervisor
from flowctl.sdk.definition import Step
from flowctl.sdk.errors import Unstorable
from flowctl.sdk.stubbing import FACTS, SOCKET, error_fields, place_of

ANSWER_S = 10.0  # what a question may take to arrive, and its answer to be taken
_BOOT = (
    "import sys; sys.path[0] = sys.argv.pop(1); from flowctl.sdk.stubbing import install; install(sys.argv.pop(1)); "
    "from flowctl.sdk.executor import main; main()"
)


class Stubs:
    """The steps that a test answers, and the socket at which executors ask."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="flowctl-")  # short: the path of a socket has at most 107 bytes
        self._answers: dict[tuple[str, ...], tuple[Step[Any, Any], Callable[..., Any]]] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(os.path.join(self._folder, SOCKET))
        self._socket.listen(128)
        self.tell(0)

    def supervisor(self) -> Supervisor:
        """Return a supervisor whose executors ask here, while its engine listens."""
        supervisor = _StubbedSupervisor(self._folder)
        supervisor.also_hear(self._socket, self._answer)
        return supervisor

    def add(self, step: Step[Any, Any], answer: Callable[..., Any]) -> None:
        """Have the bodies of a step answered by this function."""
        if not isinstance(step, Step):
            raise UsageError(f"{step!r} is not a step, and only steps can be stubbed", "give a function under @step")
        self._answers[tuple(place_of(step.function))] = (step, answer)

    def tell(self, ahead_ms: int) -> None:
        """Tell executors which steps are answered, and how far the clock is ahead."""
        facts = {"stubs": list(self._answers), "ahead_ms": ahead_ms}
        fresh = os.path.join(self._folder, f"{FACTS}.new")
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(facts, file)
        os.replace(fresh, os.path.join(self._folder, FACTS))

    def close(self) -> None:
        """Answer no more."""
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self) -> None:
        channel, _ = self._socket.accept()
        with channel:
            channel.settimeout(ANSWER_S)
            with channel.makefile("rb") as asked:
                line = asked.readline()
            if line:  # else its executor has died meanwhile
                self._send(channel, self._result(json.loads(line)))

    def _send(self, channel: socket.socket, result: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # its executor has died meanwhile
            channel.sendall(json.dumps(result).encode() + b"\n")

    def _result(self, question: dict[str, Any]) -> dict[str, Any]:
        step, answer = self._answers[tuple(question["place"])]
        signature = step.signature
        try:
            value = signature.call(answer, signature.decode(question["input"]))
            return {"output": signature.output.encode(value), "error": None}
        except Unstorable as refusal:
            return {"error": error_fields(TypeError(f"the stub of {step.name} returned {refusal}"))}
        except Exception as error:  # noqa: BLE001 - whatever the stub raises is raised by the step
            return {"error": error_fields(error)}


class _StubbedSupervisor(Supervisor):
    """Starts executors that ask the test before they run the body of a step."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.boot = (_BOOT, folder)
