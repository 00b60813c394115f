"""Workflows in the interpreters that people have: real environments, real runs, flowctl installed elsewhere."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UV = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
PYTHONS = "FLOWCTL_TEST_PYTHONS"  # more interpreters to try, as a path list

WHERE = """
import os, sys
from flowctl import step, workflow

@step
def where(what: str) -> dict:
    {body}
    return dict(version="%d.%d" % sys.version_info[:2], prefix=sys.prefix, **found)

@workflow
def main(what: str = "x") -> dict:
    return where(what)
"""
ONLY_THERE = 'import only_there\n    found = {"said": only_there.SAID}'


@functools.cache
def _interpreter(version: str) -> str | None:
    """Return a CPython of that version: on PATH, among those of pyenv, or named by the environment variable."""
    named = [path for path in os.environ.get(PYTHONS, "").split(os.pathsep) if path]
    own = [sys.executable] if f"{sys.version_info[0]}.{sys.version_info[1]}" == version else []
    kept = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob(f"versions/{version}.*/bin/python{version}")
    for python in [*named, *own, shutil.which(f"python{version}"), *map(str, kept)]:
        if python and _version(python) == f"CPython {version}":
            return python
    return None


def _version(python: str) -> str:
    code = "import platform as p; print(p.python_implementation(), '.'.join(p.python_version_tuple()[:2]))"
    try:
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=60, check=False
        ).stdout.strip()
    except OSError:
        return ""


def _workflow(folder: Path, body: str, head: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "wf.py"
    path.write_text(head + WHERE.format(body=body))
    return path


def _packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3*/site-packages"))


def test_a_workflow_uses_what_only_its_own_environment_has(flowctl: Callable[..., Any], tmp_path: Path) -> None:
    """And nothing of flowctl's: neither its packages nor the rest of flowctl itself."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = project / ".venv"
    venv.create(environment, symlinks=True, with_pip=False)
    (_packages(environment) / "only_there.py").write_text("SAID = 'from the environment'\n")
    body = (
        "import importlib.util as u, only_there\n"
        "    names = ['click', 'apsw', 'rich', 'flowctl.cli', 'flowctl.engine', 'flowctl.store']\n"
        "    found = {'said': only_there.SAID, 'foreign': [name for name in names if u.find_spec(name)]}"
    )
    path = _workflow(project / "flows", body)
    found = flowctl("run", path, cwd=elsewhere).json
    assert "from the environment" == found["said"]
    assert str(environment) == found["prefix"]
    assert [] == found["foreign"]
    said = flowctl("run", path, "--python", sys.executable, cwd=elsewhere, code=1)
    assert "No module named 'only_there'" in said.stderr  # so it really came from there


def _wheel(folder: Path) -> Path:
    path = folder / "only_there-1-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: only-there\nVersion: 1\n"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("only_there.py", "SAID = 'from a wheel'\n")
        wheel.writestr("only_there-1.dist-info/METADATA", about)
        wheel.writestr("only_there-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("only_there-1.dist-info/RECORD", "")
    return path


@pytest.mark.skipif(UV is None, reason="uv is neither on PATH nor beside this interpreter")
def test_a_script_with_inline_metadata_gets_the_environment_it_declares(
    flowctl: Callable[..., Any], tmp_path: Path
) -> None:
    dependency = f"only-there @ {_wheel(tmp_path).as_uri()}"
    head = f'# /// script\n# requires-python = ">=3.9"\n# dependencies = ["{dependency}"]\n# ///\n'
    path = _workflow(tmp_path / "flows", ONLY_THERE, head)
    own = os.path.dirname(os.path.realpath(sys.executable))
    env = {
        "PATH": f"{os.path.dirname(str(UV))}:{own}:/usr/bin:/bin",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_OFFLINE": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    found = flowctl("run", path, **env).json
    assert "from a wheel" == found["said"]
    assert found["prefix"].startswith(str(tmp_path / "cache"))
    said = flowctl("run", path, PATH="/usr/bin:/bin", code=1)
    assert "uv, which installs them, was not found" in said.stderr
    assert "No module named 'only_there'" in said.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_every_cpython_from_3_9_on_runs_a_workflow(flowctl: Callable[..., Any], tmp_path: Path, version: str) -> None:
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"CPython {version} is neither on PATH nor of pyenv nor in ${PYTHONS}")
    body = (
        "from dataclasses import dataclass\n    print('hello from', sys.version_info[:2])\n    found = {'said': what}"
    )
    path = _workflow(tmp_path, body)
    found = flowctl("run", path, "what=ünïcode", "--python", python).json
    assert (version, "ünïcode") == (found["version"], found["said"])
    assert f"hello from ({version.replace('.', ', ')})" in flowctl("logs", "1").stdout


def test_modules_of_the_users_do_not_break_the_executor(flowctl: Callable[..., Any], tmp_path: Path) -> None:
    """A json.py beside the workflow, or in the current folder, is the workflow's own affair."""
    for folder in (tmp_path / "flows", tmp_path / "here"):
        folder.mkdir()
        for name in ("json", "socket", "threading", "select", "struct", "logging", "signal", "re", "queue"):
            (folder / f"{name}.py").write_text(f"raise ImportError('{name} of the user')\n")
    body = "import colours\n    found = {'said': colours.NAME, 'path': sys.path[:1]}"
    path = _workflow(tmp_path / "flows", body)
    (tmp_path / "flows" / "colours.py").write_text("NAME = 'red'\n")
    # The console script has no current folder on its path; `python -m`, as here, has, unless it is told:
    found = flowctl("run", path, cwd=tmp_path / "here", PYTHONSAFEPATH="1").json
    assert ("red", [str(tmp_path / "flows")]) == (found["said"], found["path"])


def test_l09_what_is_meant_for_flowctl_s_own_process_does_not_leak(flowctl: Callable[..., Any], tmp_path: Path) -> None:
    names = ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "LD_PRELOAD", "FLOWCTL_DB", "MY_OWN"]
    body = (
        f"import subprocess\n    names = {names!r}\n"
        "    code = 'import os, json; print(json.dumps(dict(os.environ)))'\n"
        "    import json\n"
        "    child = json.loads(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)\n"
        "    found = {'own': [n for n in names if n in os.environ], 'child': [n for n in names if n in child]}\n"
        "    found['path'] = [entry for entry in sys.path if 'flowctl' in entry and 'sdk-' in entry]"
    )
    path = _workflow(tmp_path, body)
    leaking = {"LD_LIBRARY_PATH": "/nowhere", "PYTHONSTARTUP": "/nowhere", "MY_OWN": "1"}
    leaking["FLOWCTL_DB"] = str(tmp_path / "db" / "own.db")
    found = flowctl("run", path, **leaking).json
    assert ([], [], []) == (found["own"], found["child"], found["path"])
    (tmp_path / ".env").write_text("MY_OWN=mine\n")
    found = flowctl("run", path, "--env-file", tmp_path / ".env", **leaking).json
    assert (["MY_OWN"], ["MY_OWN"]) == (found["own"], found["child"])
