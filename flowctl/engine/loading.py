"""From a workflow file to something that can run: an executor imports it and says what it found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.errors import NotFound, UsageError
from flowctl.engine.supervisor import CodeTarget, Executor, Gone, Received, Supervisor
from flowctl.sdk.wire import Message

if TYPE_CHECKING:
    from flowctl.core.model import NewRun, Snapshot

LOAD_TIMEOUT_S = 60.0


class Description(NamedTuple):
    """A workflow as its file defines it."""

    name: str
    function: str
    doc: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    schedule: dict[str, Any] | None = None  # that its code asks for


class BoundInput(NamedTuple):
    """A run's input as JSON text, and its canonical hash."""

    text: str
    hash: bytes


def code_messages(snapshot: Snapshot, path: str) -> list[Message]:
    """Return the messages that make an executor import this code: from the disk when it still is the same there."""
    pinned = not all(_on_disk(name) == text for name, text in snapshot.files.items())
    sources = [Message("source", {"path": name}, text) for name, text in snapshot.files.items()] if pinned else []
    return [*sources, Message("load", {"path": path, "pinned": pinned})]


def _on_disk(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


class Loading:
    """A workflow file that a new executor imports, while this process does something else: `finish` waits for it."""

    def __init__(self, supervisor: Supervisor, target: CodeTarget, snapshot: Snapshot | None = None) -> None:
        self.supervisor = supervisor
        self.path = path = target.path
        self.executor: Executor = supervisor.start(target)
        self.files: dict[str, str] = {}
        newest = [Message("load", {"path": path, "pinned": False})]
        supervisor.send(self.executor, code_messages(snapshot, path) if snapshot else newest)

    def finish(self) -> LoadedFile:
        """Return the file once it is imported. Raises UsageError when that fails."""
        loaded = self.answer("loaded", "load_failed")
        if loaded.kind == "load_failed":
            self.close()
            raise UsageError(_load_error(loaded, self.path))
        return LoadedFile(self, loaded)

    def answer(self, *kinds: str) -> Message:
        """Wait for a message of one of these kinds. What user code prints while it is imported is left aside."""
        overdue = SYSTEM_CLOCK.monotonic() + LOAD_TIMEOUT_S
        while True:
            left = overdue - SYSTEM_CLOCK.monotonic()
            events = self.supervisor.poll(left)
            if not events and left <= 0:
                self.close()
                raise UsageError(
                    f"importing {self.path} took longer than {LOAD_TIMEOUT_S:g} s", "move slow work into a step"
                )
            for event in events:
                if isinstance(event, Gone):
                    raise UsageError(f"importing {self.path} failed: the interpreter {event.reason}")
                if isinstance(event, Received) and event.message.kind == "source":
                    self.files[event.message.fields["path"]] = event.message.payload or ""
                elif isinstance(event, Received) and event.message.kind in kinds:
                    return event.message

    def close(self) -> None:
        """End the executor."""
        self.supervisor.kill(self.executor)


class LoadedFile:
    """A workflow file that an executor has imported. An engine with the same supervisor finds that executor warm."""

    def __init__(self, loading: Loading, loaded: Message) -> None:
        from flowctl.core.model import Snapshot, code_of

        self._loading = loading
        self.supervisor = loading.supervisor
        self.path = loading.path
        self.executor = loading.executor
        self.workflows = tuple(Description(**_description(fields)) for fields in loaded.fields["workflows"])
        self.snapshot = Snapshot(code_of(self.path, loading.files), self.path, loading.files)
        self.executor.loaded = (self.snapshot.code, self.path)

    def choose(self, function: str | None) -> Description:
        """Return the workflow of that function or name, or the only one there is."""
        names = [workflow.function for workflow in self.workflows]
        if not names:
            raise UsageError(f"{self.path} defines no workflow", "put @workflow above a function")
        if function is None:
            if len(names) > 1:
                raise UsageError(f"{self.path} defines {', '.join(names)}", f"say which: {self.path}:{names[0]}")
            return self.workflows[0]
        for workflow in self.workflows:
            if function in (workflow.function, workflow.name):
                return workflow
        import difflib

        near = difflib.get_close_matches(function, names, n=1)
        raise NotFound(
            f"{self.path} defines no workflow {function}",
            f"did you mean {near[0]}?" if near else f"it defines {', '.join(names)}",
        )

    def bind(self, workflow: Description, texts: dict[str, str], json_text: str | None = None) -> BoundInput:
        """Return the input that these arguments make. Raises UsageError when they do not fit the parameters."""
        fields = {"function": workflow.function, "texts": texts}
        self.supervisor.send(self.executor, [Message("bind", fields, json_text)])
        answer = self._loading.answer("bound", "rejected")
        if answer.kind == "rejected":
            raise UsageError(answer.fields["message"], answer.fields.get("hint", ""))
        return BoundInput(answer.payload or "{}", bytes.fromhex(answer.fields["input_hash"]))

    def new_run(self, workflow: Description, bound: BoundInput) -> NewRun:
        """Return what creates a run of one of its workflows, as the workflow's options say, where it was imported."""
        from flowctl.core.model import NewRun

        target = self.executor.target
        return NewRun(
            workflow=workflow.name,
            path=self.path,
            function=workflow.function,
            code=self.snapshot.code,
            directory=target.directory,
            input=bound.text,
            input_hash=bound.hash,
            python=target.python,
        ).with_options(workflow.options)

    def close(self) -> None:
        """End the executor."""
        self._loading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load_file(supervisor: Supervisor, target: CodeTarget, snapshot: Snapshot | None = None) -> LoadedFile:
    """Import a workflow file in a new executor, as it is now or as it was. Raises UsageError when that fails."""
    return Loading(supervisor, target, snapshot).finish()


def _description(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields.get(name) for name in ("name", "function", "doc", "parameters", "options", "schedule")}


def _load_error(message: Message, path: str) -> str:
    error = json.loads(message.payload or "{}")
    where = message.fields.get("file") or path
    line = message.fields.get("line")
    return f"{where}{f':{line}' if line else ''}: {error.get('type')}: {error.get('message')}"
