"""`flowctl init`: a first workflow file."""

from __future__ import annotations

import os

import click

from flowctl.cli.group import Command
from flowctl.cli.invocation import Invocation, pass_invocation
from flowctl.cli.targets import working_directory
from flowctl.core.errors import Conflict, DiskTrouble, NotPermitted

FILE = "hello.py"
TEXT = '''"""A first workflow. Run it:  flowctl run hello.py name=World"""

from flowctl import sleep, step, workflow


@step(retries=3, backoff="1s")  # fails? tried again after 1 s, 2 s and 4 s
def greet(name: str) -> str:
    return f"Hello, {name}!"


@step  # what it was given and what it returned is recorded: it does not run again after a crash
def decorate(text: str) -> str:
    print("decorating", text)  # prints are captured: flowctl logs @last
    return f"*** {text} ***"


@workflow
def hello(name: str = "World") -> str:
    """Greet somebody, slowly."""
    text = greet(name)
    sleep("5s")  # durable: kill flowctl here, and `flowctl resume @last` goes on from here
    return decorate(text)
'''
NEXT = ("flowctl run hello.py name=World", "flowctl show @last")


@click.command("init", cls=Command, examples=["flowctl init", "flowctl init && flowctl run hello.py"])
@pass_invocation
def init(invocation: Invocation, /) -> int:
    """Write hello.py, a small workflow to begin with, into this folder, and create the database where it is missing.

    A file that exists is never overwritten.
    """
    path = os.path.join(working_directory(), FILE)
    if os.path.lexists(path):
        raise Conflict(f"{FILE} exists already, and is left as it is", f"flowctl run {FILE}")
    with invocation.writing(create=True):
        _write(path)
    text = f"wrote {FILE}; next:\n" + "\n".join(f"  {command}" for command in NEXT)
    invocation.answer({"file": path, "next": list(NEXT)}, text)
    return 0


def _write(path: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(TEXT)
    except FileExistsError:
        raise Conflict(f"{FILE} exists already, and is left as it is", f"flowctl run {FILE}") from None
    except PermissionError:
        raise NotPermitted(f"this folder is not writable: {os.path.dirname(path)}", "cd to another one") from None
    except OSError as error:
        raise DiskTrouble(f"{FILE} cannot be written: {error.strerror}") from None
