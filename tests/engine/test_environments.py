"""Runs keep the variables of the shell that made them, whichever engine works on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowctl.core.clock import SYSTEM_CLOCK
from flowctl.core.model import NewRun, Snapshot, code_of
from flowctl.engine import commands
from flowctl.engine.claiming import Role
from flowctl.engine.interpreter import choose_interpreter, executor_environment, seen_by_person
from flowctl.engine.places import keep_variables, shell_variables
from flowctl.sdk.codec import canonical_hash
from tests.faults.hosted import Hosted, hosted

SNAPSHOT = Snapshot(code_of("", {}), "", {})


@pytest.fixture
def host() -> Iterator[Hosted]:
    with hosted() as host:
        yield host


def command(host: Hosted, directory: Path, text: str, variables: dict[str, str] | None, **fields: Any) -> int:
    """Create a run of a shell command that carries these variables."""
    given = json.dumps({"command": text})
    new = NewRun(
        workflow="command",
        path="",
        function="",
        code=SNAPSHOT.code,
        directory=str(directory),
        input=given,
        input_hash=canonical_hash(given),
        environment=None if variables is None else keep_variables(host.store, variables),
        **fields,
    )
    return commands.submit(host.store, new, SNAPSHOT, SYSTEM_CLOCK.now())[0]


def printed(host: Hosted, number: int) -> str:
    run = host.store.runs.get(number)
    assert "succeeded" == run.state, run.error
    return json.loads(run.output or "null")["stdout"].strip()


def drain(host: Hosted) -> None:
    with host.engine() as engine:
        engine.drain()


@pytest.fixture
def tool(tmp_path: Path) -> str:
    """Return a PATH that leads to a program of its own."""
    program = tmp_path / "bin" / "greet"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho hello from here\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_a_detached_command_finds_the_programs_of_its_shell(flowctl, host: Hosted, tool: str) -> None:
    number = int(flowctl("exec", "--detach", "--", "greet", PATH=tool).stdout)
    drain(host)
    assert "hello from here" == printed(host, number)


def test_a_run_without_captured_variables_has_those_of_its_engine(
    host: Hosted, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", tool)
    monkeypatch.setenv("LC_TIME", "C")
    number = command(host, tmp_path, 'greet; echo "$LC_TIME"', None)
    drain(host)
    assert "hello from here\nC" == printed(host, number)


def test_a_detached_workflow_runs_in_the_virtual_environment_of_its_shell(
    flowctl, host: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shell", "daemon"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / name], check=True)
    path = tmp_path / "where.py"
    path.write_text(
        "import sys\nfrom flowctl import step, workflow\n"
        "@step\ndef look() -> str:\n    return sys.prefix\n"
        "@workflow\ndef where() -> str:\n    return look()\n"
    )
    numbers = [
        int(flowctl("run", path, "--detach", VIRTUAL_ENV=str(tmp_path / "shell")).stdout),
        int(flowctl("run", path, "--detach").stdout),
    ]
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "daemon"))
    drain(host)
    outputs = [json.loads(host.store.runs.get(number).output or "null") for number in numbers]
    assert str(tmp_path / "shell") == outputs[0]
    assert str(tmp_path / "daemon") != outputs[1]


def test_what_was_registered_goes_before_the_host_and_the_env_file_before_both(
    host: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_A", "LC_B", "LC_C"):
        monkeypatch.setenv(name, "host")
    (tmp_path / ".env").write_text("LC_C=file\n")
    captured = {"LC_B": "captured", "LC_C": "captured", "TOKEN": "captured"}
    number = command(host, tmp_path, "echo $LC_A $LC_B $LC_C $TOKEN", captured, env_file=str(tmp_path / ".env"))
    drain(host)
    assert "host captured file captured" == printed(host, number)


def test_a_secret_that_was_captured_is_found_and_stays_masked(host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "tell.py"
    path.write_text(
        "from flowctl import secret, step, workflow\n"
        "@step\ndef use() -> int:\n    return len(secret('TOKEN'))\n"
        "@workflow\ndef tell() -> int:\n    return use()\n"
    )
    first = host.store.runs.get(host.submit(path))
    assert "TOKEN" not in os.environ
    fields = {name: getattr(first, name) for name in NewRun._fields if hasattr(first, name)}
    new = NewRun(**fields | {"environment": keep_variables(host.store, {"TOKEN": "four"})})
    commands.cancel(host.store, first.id, SYSTEM_CLOCK.now())
    number, _ = commands.submit(host.store, new, host.store.snapshots.get(first.code), SYSTEM_CLOCK.now())
    drain(host)
    assert "4" == host.store.runs.get(number).output


def test_an_executor_is_shared_only_by_runs_with_equal_variables(host: Hosted, tmp_path: Path) -> None:
    equal = [command(host, tmp_path, "echo $PPID", {"TOKEN": "one"}) for _ in range(3)]
    other = command(host, tmp_path, "echo $PPID $TOKEN", {"TOKEN": "two"})
    with host.engine(role=Role(capacity=1)) as engine:
        engine.drain()
    executors = {printed(host, number) for number in equal}
    assert 1 == len(executors)
    assert "two" == printed(host, other).split()[1]
    assert printed(host, other).split()[0] not in executors


def test_n05_only_what_a_run_needs_is_captured_and_each_set_is_stored_once(flowctl, host: Hosted) -> None:
    for _ in range(2):
        flowctl("exec", "--detach", "--", "true", SECRET_TOKEN="hidden", LC_ALL="C.UTF-8", VIRTUAL_ENV="/nowhere")
    flowctl("exec", "--", "true", SECRET_TOKEN="hidden", LC_ALL="C.UTF-8", VIRTUAL_ENV="/nowhere")
    ((text,),) = host.store.connection.rows("SELECT text FROM environments")
    kept = json.loads(text)
    assert ("C.UTF-8", "/nowhere") == (kept["LC_ALL"], kept["VIRTUAL_ENV"])
    assert all(name in ("PATH", "VIRTUAL_ENV", "LANG") or name.startswith("LC_") for name in kept)


def test_a_registered_workflow_that_a_person_runs_has_what_was_kept_and_the_paths_of_the_shell(
    flowctl, host: Hosted, tool: str, tmp_path: Path
) -> None:
    path = tmp_path / "look.py"
    path.write_text(
        "from flowctl import sh, workflow\n@workflow\ndef look() -> str:\n    return sh('greet; echo $TOKEN').stdout\n"
    )
    flowctl("workflows", "add", path)
    with host.store.transaction():
        kept = host.store.environments.put({"PATH": "/usr/bin:/bin", "TOKEN": "kept"})
        host.store.connection.write("UPDATE workflows SET environment = :kept", {"kept": kept})
    assert "hello from here\nkept\n" == flowctl("run", "look", PATH=tool).json


# -- the rules


def test_the_shell_is_captured_by_name() -> None:
    environ = {"PATH": "/bin", "LANG": "C", "LC_ALL": "C", "VIRTUAL_ENV": "/env", "HOME": "/home/me", "TOKEN": "x"}
    assert {"PATH": "/bin", "LANG": "C", "LC_ALL": "C", "VIRTUAL_ENV": "/env"} == shell_variables(environ)
    assert {} == shell_variables({})


def test_the_interpreter_is_looked_for_where_the_person_was(tmp_path: Path) -> None:
    seen: Callable[..., dict[str, str]] = seen_by_person
    assert {"PATH": "/own", "TZ": "UTC"} == seen({"PATH": "/host", "TZ": "UTC", "VIRTUAL_ENV": "/e"}, {"PATH": "/own"})
    assert {"PATH": "/host", "VIRTUAL_ENV": "/e"} == seen({"PATH": "/host", "VIRTUAL_ENV": "/e"}, {})
    path = tmp_path / "digest.py"
    path.write_text("x = 1\n")
    assert "" == choose_interpreter(str(path), None, seen({"VIRTUAL_ENV": "/gone"}, {"PATH": "/bin"})).python


def test_a_captured_virtual_environment_counts_only_where_its_interpreter_is_used() -> None:
    captured = {"PATH": "/env/bin:/bin", "VIRTUAL_ENV": "/env"}
    assert {"PATH": "/env/bin:/bin"} == executor_environment({}, None, None, captured)
    assert "/env" == executor_environment({}, None, "/env", captured)["VIRTUAL_ENV"]
