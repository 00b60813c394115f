"""The lint names what a workflow body must not do itself, and nothing else."""

from __future__ import annotations

import textwrap

import pytest

from flowctl.core.errors import UsageError
from flowctl.core.lint import Finding, lint

HEAD = """
import asyncio, datetime, glob, os, random, secrets, shutil, socket, subprocess, tempfile, threading, time, uuid
import httpx, requests, urllib.request
import datetime as dt
from datetime import datetime as moment
from pathlib import Path
from time import time as clock
from uuid import UUID, uuid4 as new_id
import flowctl
from flowctl import step, workflow
"""


def findings(body: str, head: str = HEAD) -> list[Finding]:
    lines = textwrap.indent(textwrap.dedent(body), "    ")
    return lint(f"{head}\n@workflow\ndef w(name: str, folder: Path):\n{lines}\n", "w.py")


@pytest.mark.parametrize(
    ("call", "name", "fix"),
    [
        ("time.time()", "time.time", "flowctl.now()"),
        ("clock()", "time.time", "flowctl.now()"),
        ("time.monotonic()", "time.monotonic", "flowctl.now()"),
        ("time.strftime('%F')", "time.strftime", "flowctl.now()"),
        ("time.sleep(1)", "time.sleep", "flowctl.sleep()"),
        ("dt.datetime.now()", "datetime.datetime.now", "flowctl.now()"),
        ("datetime.datetime.utcnow()", "datetime.datetime.utcnow", "flowctl.now()"),
        ("moment.now(tz=None)", "datetime.datetime.now", "flowctl.now()"),
        ("datetime.date.today()", "datetime.date.today", "flowctl.now()"),
        ("random.choice([1])", "random.choice", "flowctl.random()"),
        ("uuid.uuid4()", "uuid.uuid4", "flowctl.uuid4()"),
        ("new_id()", "uuid.uuid4", "flowctl.uuid4()"),
        ("secrets.token_hex()", "secrets.token_hex", "@step"),
        ("os.urandom(8)", "os.urandom", "@step"),
        ("socket.create_connection(('h', 1))", "socket.create_connection", "@step"),
        ("requests.get(name)", "requests.get", "@step"),
        ("urllib.request.urlopen(name)", "urllib.request.urlopen", "@step"),
        ("httpx.get(name)", "httpx.get", "@step"),
        ("open(name)", "open", "@step"),
        ("os.remove(name)", "os.remove", "@step"),
        ("os.path.exists(name)", "os.path.exists", "@step"),
        ("shutil.copy(name, name)", "shutil.copy", "@step"),
        ("glob.glob(name)", "glob.glob", "@step"),
        ("Path(name).write_text('')", "pathlib.Path.write_text", "@step"),
        ("(Path(name) / 'x').mkdir()", "pathlib.Path.mkdir", "@step"),
        ("folder.unlink()", "pathlib.Path.unlink", "@step"),
        ("some().there.read_text()", "read_text", "@step"),
        ("subprocess.run(['ls'])", "subprocess.run", "flowctl.sh()"),
        ("os.system(name)", "os.system", "flowctl.sh()"),
        ("input()", "input", "parameter"),
        ("threading.Thread()", "threading.Thread", "flowctl.gather()"),
    ],
)
def test_a_call_that_is_not_replay_safe_is_named_with_its_line_and_fix(call: str, name: str, fix: str) -> None:
    [found] = findings(f"x = 1\nreturn [{call}]")
    assert ("w.py", 15, "w", name) == (found.path, found.line, found.workflow, found.call)
    assert fix in found.fix


@pytest.mark.parametrize(
    "code",
    [
        "os.environ['HOME']; os.environ.get('A'); os.getenv('B')",
        "flowctl.now(); flowctl.random(); flowctl.uuid4(); flowctl.sh('ls')",
        "UUID(name); uuid.uuid5(uuid.NAMESPACE_DNS, name)",
        "time.strftime('%F', time.gmtime(3)); time.localtime(3)",
        "datetime.datetime.fromisoformat(name); datetime.timedelta(1)",
        "name.open(); name.replace('a', 'b'); folder.name; folder.with_suffix('.x')",
        "os.path.join(name, 'x'); Path(name) / 'x'",
        "open = print\nopen(name)",
        "requests = {}\nrequests.get(name)",
        "print(name)",
    ],
)
def test_what_is_replay_safe_is_left_alone(code: str) -> None:
    assert [] == findings(code)


def test_steps_may_do_everything_wherever_they_are_defined() -> None:
    head = HEAD + "@step(retries=2)\ndef fetch():\n    return requests.get('x')\n"
    body = "@step\ndef inner():\n    return time.time()\nreturn fetch(), inner()"
    assert [] == findings(body, head)


def test_a_function_of_the_file_that_a_workflow_calls_is_part_of_its_body() -> None:
    head = (
        HEAD
        + "def stamp():\n    return deeper()\ndef deeper():\n    return time.time()\ndef unused():\n    open('x')\n"
    )
    [found] = findings("return stamp()", head)
    assert ("time.time", "w", 14) == (found.call, found.workflow, found.line)


def test_functions_that_call_each_other_are_read_once() -> None:
    head = HEAD + "def a():\n    b()\ndef b():\n    a()\n    time.time()\n"
    assert ["time.time"] == [found.call for found in findings("a()\nb()", head)]


def test_functions_of_flowctl_are_not_mistaken_for_modules_of_the_same_name() -> None:
    source = """
from flowctl import now, random, uuid4, workflow as flow

@flow(queue="slow")
def w():
    return now(), random(), uuid4()
"""
    assert [] == lint(source, "w.py")


def test_a_file_that_imports_everything_of_flowctl_is_read_like_any_other() -> None:
    source = "import time\nfrom flowctl import *\n@workflow\ndef w():\n    return now(), random(), time.time()\n"
    assert ["time.time"] == [found.call for found in lint(source, "w.py")]


def test_imports_inside_the_body_count() -> None:
    [found] = findings("import random as r\nreturn r.random()")
    assert "random.random" == found.call


def test_a_function_of_the_file_hides_a_builtin_of_its_name() -> None:
    assert [] == findings("return open(name)", HEAD + "def open(x):\n    return x\n")


def test_only_workflows_are_read() -> None:
    assert [] == lint("import time\ndef plain():\n    return time.time()\nprint(time.time())\n", "w.py")


def test_a_file_that_is_not_python_is_refused_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"^w\.py:2: SyntaxError"):
        lint("x = 1\ndef (:\n", "w.py")
    with pytest.raises(UsageError, match=r"^w\.py"):
        lint("x = '\0'", "w.py")
