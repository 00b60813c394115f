"""The docs say what is there: every command has its entry, every code block runs, every link leads somewhere."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import pytest

from flowctl.cli.main import cli
from flowctl.core.config import load_config
from tests.conftest import FLOWCTL, ROOT

PAGES = sorted([ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if path.name != "cli.md")])
OTHER_PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "cli.md"]

# ```sh runs in a shell, ```python title="x.py" is written to x.py, other ```python is executed.
# ```toml is read as config.toml. A block with `not-tested` after the language installs something.
FENCE = re.compile(r"(?ms)^```(\w+)([^\n]*)\n(.*?)^```$")


class Block(NamedTuple):
    language: str
    words: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], m[3], text.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(text)]


def code_of(page: Path) -> str:
    """Return the commands that a page shows: its blocks and inline code, or the docstring of an example."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return "\n".join([block.text for block in blocks(page) if block.language in ("sh", "text")] + inline)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Path:
    """A folder as a reader of the docs has it: flowctl on the path and in .venv, the examples beside."""
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    program = binaries / "flowctl"
    program.write_text("#!/bin/sh\nexec " + shlex.join(FLOWCTL) + ' "$@"\n')
    program.chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PATH", f"{binaries}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_code_block_runs(page, workshop):
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if "not-tested" in block.words:
            continue
        if title := re.search(r'title="([^"]+)"', block.words):
            (workshop / title[1]).write_text(block.text)
        elif block.language == "python":
            run([sys.executable, "-c", block.text], workshop, where)
        elif block.language == "sh":
            run(["bash", "-e", "-o", "pipefail", "-c", block.text], workshop, where)
        elif block.language == "toml":
            (workshop / "flowctl").mkdir(exist_ok=True)
            (workshop / "flowctl" / "config.toml").write_text(block.text)
            assert load_config({"XDG_CONFIG_HOME": str(workshop)}), where
        else:
            assert block.language in ("text", "mermaid"), f"{where}: nothing runs a block of {block.language}"


def run(words: list[str], folder: Path, where: str) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, f"{where}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{where}\n{done.stderr}"


@pytest.fixture(scope="module")
def write_cli() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_cli", ROOT / "docs" / "write_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_current(write_cli):
    assert write_cli.render() == write_cli.PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_every_command_and_option_has_help(write_cli):
    found = list(write_cli.commands(cli, write_cli.context_of(cli, "flowctl")))
    assert len(found) > 15
    for path, command, context in found:
        assert command.help, f"{path} has no help"
        assert isinstance(command, click.Group) or command.examples, f"the help of {path} has no example"
        for option in command.params:
            assert isinstance(option, click.Argument) or getattr(option, "help", None), (
                f"{path} {option.name} has no help"
            )
        assert command.get_help(context)


def test_every_command_that_the_docs_name_exists(write_cli):
    known = {path for path, _, _ in write_cli.commands(cli, write_cli.context_of(cli, "flowctl"))}
    for page in [*PAGES, ROOT / "CHANGELOG.md", *(ROOT / "examples").rglob("*.py")]:
        named = re.findall(r"(?m)(?:^|[ /;&|])flowctl ([a-z]+)", code_of(page))
        assert set() == {name for name in named if f"flowctl {name}" not in known}, name_of(page)


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=name_of)
def test_every_link_inside_the_project_leads_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert "://" in target or (page.parent / target).exists(), f"{name_of(page)}: {target}"


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=name_of)
def test_every_file_that_a_page_names_exists(page):
    named = re.findall(r"`((?:flowctl|tests|docs|examples|\.ci)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [] == [name for name in named if "NNNN" not in name and not (ROOT / name).exists()]


def test_the_pages_keep_their_size():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80
