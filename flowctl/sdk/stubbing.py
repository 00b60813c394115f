"""Steps that a test answers: only the executors of `flowctl.testing` import this.

The test's process says in a file which steps it answers and what time it is there. A body of such a step is a question
over a socket, and the test's own function is the answer. Everything else about the step is real.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import socket
import sys
from typing import Any, Callable, Optional

from flowctl.sdk import operations
from flowctl.sdk.definition import FunctionCall

FACTS = "facts.json"
SOCKET = "socket"


def install(folder: str) -> None:
    """Have the steps of this process answered, and its clock set, as the files in this folder say."""
    own_body = FunctionCall.run
    own_value = operations._Value.run  # `now` is a draw like others: only here does it follow another clock

    def body(call: FunctionCall[Any]) -> Any:
        place = place_of(call.callee.function)
        return _ask(folder, place, call) if place in _facts(folder)["stubs"] else own_body(call)

    def value(call: Any) -> Any:
        return _now(folder) if call.name == "now" else own_value(call)

    setattr(FunctionCall, "run", body)  # noqa: B010 - to the type checker a method is no variable
    setattr(operations._Value, "run", value)  # noqa: B010


def place_of(function: Callable[..., Any]) -> list[str]:
    """Return what names a function in every process: its file and its qualified name."""
    inner = inspect.unwrap(function)
    return [os.path.realpath(inner.__code__.co_filename), inner.__qualname__]


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return what makes an exception anew in the executor: its class, arguments and attributes, as far as JSON goes."""
    kind = type(error)
    module = sys.modules.get(kind.__module__)
    return {
        "module": kind.__module__,
        "file": getattr(module, "__file__", None),
        "name": kind.__qualname__,
        "args": [_plain(value) for value in error.args],
        "fields": {name: _plain(value) for name, value in vars(error).items() if name != "__notes__"},
    }


def _plain(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value


def _facts(folder: str) -> Any:
    with open(os.path.join(folder, FACTS), encoding="utf-8") as file:
        return json.load(file)


def _now(folder: str) -> Any:
    from datetime import datetime, timedelta, timezone

    return datetime.now(timezone.utc) + timedelta(milliseconds=_facts(folder)["ahead_ms"])


def _ask(folder: str, place: list[str], call: FunctionCall[Any]) -> Any:
    """Have the test run the body; return or raise what it did."""
    args, kwargs = call.signature.arguments(call.values)
    own = call.callee.signature  # not that of the call, if it is a fallback
    question = {"place": place, "input": own.encode(own.bind(tuple(args), kwargs))[0]}
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(os.path.join(folder, SOCKET))
        channel.sendall(json.dumps(question).encode() + b"\n")
        with channel.makefile("rb") as said:
            answer = json.loads(said.readline())
    if answer["error"] is not None:
        raise _error(answer["error"])
    return call.decode_output(answer["output"])


def _error(fields: dict[str, Any]) -> BaseException:
    kind = _class(fields)
    if kind is None:
        return RuntimeError(f"{fields['name']}: {' '.join(map(str, fields['args']))}")
    error: BaseException = kind.__new__(kind, *fields["args"])
    error.args = tuple(fields["args"])
    vars(error).update(fields["fields"])
    return error


def _class(fields: dict[str, Any]) -> Optional[type[BaseException]]:
    """Return the class of that name: this process may know its module, the workflow file, by another name."""
    modules = [each for each in list(sys.modules.values()) if fields["file"] and _file_of(each) == fields["file"]]
    with contextlib.suppress(ImportError):
        modules.append(importlib.import_module(fields["module"]))
    for module in modules:
        found: Any = module
        for name in fields["name"].split("."):
            found = getattr(found, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None


def _file_of(module: Any) -> Optional[str]:
    return getattr(module, "__file__", None)
