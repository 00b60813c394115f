"""The house is as docs/architecture.md says: who may import whom, who may read the clock, how big things get."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "flowctl"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
SDK = [name for name in MODULES if name.startswith("sdk/")]

LONGEST_MODULE = 420
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 7  # self not counted; beyond that, a record
HAND_OPTIONS_OVER = {"step", "workflow", "sh"}  # each option of theirs is a parameter, and so it is in `cli/`

BANNED_WORDS = {"job", "task", "execution", "manager", "helper", "util"}
KERNEL_WORDS = {("sdk/state.py", "task")}  # /proc/PID/task

# Reading the clock, or rolling dice.
IMPURE = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "uuid.uuid1", "uuid.uuid4", "os.urandom", "threading.Timer",
    "random.random", "random.uniform", "random.randint", "random.choice", "random.Random", "random.SystemRandom",
}  # fmt: skip
MAY_READ_THE_CLOCK = {"core/clock.py"}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"), filename=name)


def imports(name: str) -> Iterator[str]:
    """Yield every module that a file imports when it runs, wherever in it."""
    for_types_only = {
        node
        for check in ast.walk(tree(name))
        if isinstance(check, ast.If) and dotted(check.test) == "TYPE_CHECKING"
        for statement in check.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree(name)):
        if node in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} imports relatively"
            yield node.module or ""


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def impurities(name: str) -> list[str]:
    """Return where a file reads the clock or rolls dice: line and call, however it was imported."""
    renamed = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree(name))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    } | {
        alias.asname: alias.name
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    found = []
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.Name, ast.Attribute)):
            first, _, rest = dotted(node).partition(".")
            full = ".".join(filter(None, [renamed.get(first, first), rest]))
            if any(full == impure or full.endswith(f".{impure}") for impure in IMPURE):
                found.append(f"{name}:{node.lineno} {full}")
    return found


def test_the_contracts_of_the_bands_hold():
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "lint-imports"), "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_sdk_needs_the_standard_library_alone():
    foreign = {
        (name, module)
        for name in SDK
        for module in imports(name)
        if module.split(".")[0] not in sys.stdlib_module_names and module.split(".")[:2] != ["flowctl", "sdk"]
    }
    # The codec knows three kinds of models; it looks for them only where the author's code already imported them.
    assert set() == {pair for pair in foreign if pair[1].split(".")[0] not in ("pydantic", "attr", "attrs", "msgspec")}


def test_the_sdk_is_written_in_the_oldest_python_it_runs_in():
    for name in ["__init__.py", *SDK]:
        ast.parse((PACKAGE / name).read_text(encoding="utf-8"), filename=name, feature_version=(3, 9))


def test_the_public_package_imports_only_the_sdk():
    ours = [each for each in imports("__init__.py") if each.split(".")[0] not in sys.stdlib_module_names]
    assert all(each.startswith("flowctl.sdk") for each in ours)


def test_only_the_clock_reads_the_clock():
    assert [] == [
        found
        for name in MODULES
        if name not in MAY_READ_THE_CLOCK and not name.startswith("sdk/")
        for found in impurities(name)
    ]


def test_the_search_for_clock_readers_finds_every_way_to_write_it(monkeypatch):
    sources = [
        "import time\ntime.time()",
        "import time as t\nt.time()",
        "from time import time\ntime()",
        "from time import monotonic as m\nm()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import datetime as d\nd.now()",
        "import uuid\nuuid.uuid4()",
        "from os import urandom\nurandom(8)",
    ]
    for source in sources:
        monkeypatch.setitem(globals(), "tree", lambda _name, source=source: ast.parse(source))
        assert impurities("x.py"), source


def test_only_one_function_knows_where_flowctls_python_is():
    readers = {name for name in MODULES for node in ast.walk(tree(name)) if dotted(node) == "sys.executable"}
    assert readers <= {"engine/interpreter.py"}


def test_no_module_reads_package_metadata_or_unpickles():
    for name in MODULES:
        assert not {"importlib.metadata", "pkg_resources", "pickle", "shelve", "marshal", "sqlite3"} & set(
            imports(name)
        )


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_functions_stay_small(name):
    lines = (PACKAGE / name).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_MODULE, f"{name} has {lines} lines"
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{name}:{node.lineno} {node.name} has {length} lines"
            count = len([arg for arg in parameters(node) if arg not in ("self", "cls")])
            many = name.startswith("cli/") or node.name in HAND_OPTIONS_OVER
            assert many or count <= MOST_PARAMETERS, f"{name}:{node.lineno} {node.name} has {count} parameters"


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]


def words_of(identifier: str) -> set[str]:
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)
    return {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


@pytest.mark.parametrize("name", MODULES)
def test_names_use_the_words_of_the_design(name):
    names = {name}
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    found = {word for each in names for word in BANNED_WORDS & words_of(each)}
    assert set() == {word for word in found if (name, word) not in KERNEL_WORDS}


def test_the_texts_for_people_use_the_words_of_the_design():
    pattern = re.compile(r"\b(jobs?|tasks?|executions?|helpers?|utils?)\b", re.IGNORECASE)
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"(?m)^.*words not used.*$", "", path.read_text(encoding="utf-8"), flags=re.IGNORECASE)
        assert [] == pattern.findall(text), path


def test_the_top_level_holds_what_it_is_meant_to_hold():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("not a git checkout")
    folders = {"flowctl", "tests", "examples", "docs", "bench"}
    files = {
        "pyproject.toml", "schema.sql", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
        "requirements.lock",
    }  # fmt: skip
    top = {line.split("/")[0] for line in tracked.splitlines()}
    assert set() == {each for each in top - folders - files if not each.startswith(".")}
